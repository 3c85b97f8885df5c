// How an exchange ends: local replies, timeouts, the only exit, and the log.

#include <utility>

#include "http/upgrades.h"
#include "proxy/exchange.h"
#include "proxy/local_reply.h"
#include "proxy/request_ids.h"

namespace outrigger::proxy {

void Exchange::redirect() {
  http::Fields extra(*request_->arena);
  extra.add("location", route_->location(*request_));
  reply(route_->config().redirect->status, {}, {}, &extra, &route_->response_edits());
}

void Exchange::local_reply(int status, Flag flag, std::string_view detail) {
  flag_ = flag;
  const http::LocalReply made =
      http::make_local_reply(*request_->arena, status, flag, detail, grpc_);
  http::Fields extra(*request_->arena);
  http::add_reply_fields(extra, made, flag);
  // The callee's sidecar attests that its app has not seen the request: it may be sent elsewhere.
  if (status == 503 && tries_.unseen() && scope_.direction == telemetry::Direction::inbound &&
      peer_.secure)
    extra.add(not_processed_name, "1");
  if (grpc_) grpc_status_ = made.grpc_status;
  reply(made.status, made.content_type, made.body, &extra);
}

void Exchange::reply(int status, std::string_view content_type, std::string_view body,
                     http::Fields* extra, const HeaderEdits* edits) {
  report_attempt(Outcome::Kind::cancelled);  // unless already reported
  attempt_.cancel(http::StreamEnd::local);
  state_.on(ExchangeEvent::answer);
  status_ = status;
  http::Head head(*request_->arena);
  head.status = status;
  head.fields.add(http::Known::server, "outrigger");
  head.fields.add(http::Known::date, loop_.http_date());
  if (!content_type.empty()) head.fields.add(http::Known::content_type, content_type);
  if (extra != nullptr) {
    for (const http::Field& field : *extra) head.fields.add(field);
  }
  if (edits != nullptr) edits->apply(head.fields);
  if (!grpc_) head.content_length = body.size();
  const bool bare = body.empty() || request_->method == http::Method::head;
  if (!bare) bytes_out_ = body.size();
  http::Stream& stream = *std::exchange(stream_, nullptr);
  finish();
  stream.send_head(head, bare);
  if (!bare) stream.send_data(body, true);
}

// The response has begun and cannot be completed: it must look truncated.
void Exchange::fail_answer(Flag flag, http::StreamEnd reason) {
  flag_ = flag;
  http::Stream* stream = std::exchange(stream_, nullptr);
  finish();
  if (stream != nullptr) stream->reset(reason);
}

void Exchange::out_of_time() {
  const bool answering = state_.is(ExchangeState::answering);
  report_attempt(answering ? Outcome::Kind::answered : Outcome::Kind::timed_out);
  if (!answering) return local_reply(504, Flag::UT, "the response did not arrive in time");
  if (!grpc_) return fail_answer(Flag::UT, http::StreamEnd::idle);
  end_grpc(504, Flag::UT, "the response did not end in time");
}

// A gRPC response that has begun can still say why it ends.
void Exchange::end_grpc(int status, Flag flag, std::string_view detail) {
  flag_ = flag;
  const http::LocalReply made =
      http::make_local_reply(*request_->arena, status, flag, detail, true);
  grpc_status_ = made.grpc_status;
  http::Fields trailers(*request_->arena);
  http::add_reply_fields(trailers, made, flag);
  http::Stream& stream = *std::exchange(stream_, nullptr);
  finish();
  stream.send_trailers(trailers);
}

void Exchange::fell_idle() {
  const bool answering = state_.is(ExchangeState::answering);
  // A body that we did not read does not count as missing.
  if (!answering && (downstream_paused_ || http::asks_for_tunnel(*request_))) return out_of_time();
  report_attempt(Outcome::Kind::cancelled);
  if (answering) return fail_answer(Flag::SI, http::StreamEnd::idle);
  local_reply(408, Flag::SI, "the request body stopped arriving");
}

// The only exit.
void Exchange::finish() {
  state_.on(ExchangeEvent::end);
  timer_.cancel();
  tries_.release();
  body_.clear();
  const Duration duration = loop_.now() - started_at_;
  telemetry::RequestOutcome outcome;
  outcome.status = status_;
  outcome.grpc_status = grpc_status_;
  outcome.flag = flag_;
  outcome.peer = peer_.id;
  outcome.duration = duration;
  outcome.bytes_in = body_.received();
  outcome.bytes_out = bytes_out_;
  cells_->finished(outcome);
  if (scope_.worker.access_log.enabled()) write_log(duration);
  attempt_.cancel(flag_ == Flag::none ? http::StreamEnd::complete : http::StreamEnd::cancelled);
  loop_.retire(std::unique_ptr<net::Retirable>(this));
}

void Exchange::write_log(Duration duration) const {
  telemetry::AccessRecord record;
  record.time = loop_.wall_now() - std::chrono::duration_cast<microseconds>(duration);
  record.direction = scope_.direction;
  if (destination_ != nullptr) record.service = destination_->service;
  if (route_ != nullptr) record.route = route_->config().name;
  record.endpoint = endpoint_;
  record.method = request_->method_text;
  record.path = request_->path;
  record.status = status_;
  record.grpc_status = grpc_status_;
  record.flag = flag_;
  record.bytes_in = body_.received();
  record.bytes_out = bytes_out_;
  record.duration = duration;
  if (answered_at_ != TimePoint{}) record.upstream_duration = answered_at_ - attempt_.started_at();
  record.attempts = attempt_.count();
  record.peer = peer_.identity;
  record.trace_id = trace_id_of(*request_);
  record.request_id = request_id_;
  record.protocol_in = http::to_string(request_->version);
  if (attempt_.count() > 0) record.protocol_out = attempt_.upstream_http2() ? "HTTP/2" : "HTTP/1.1";
  record.tls_version = peer_.tls_version;
  scope_.worker.access_log.write(record);
}

}  // namespace outrigger::proxy
