#include "proxy/exchange.h"

#include <algorithm>
#include <utility>

#include "http/upgrades.h"
#include "proxy/head_rules.h"
#include "proxy/local_reply.h"
#include "proxy/request_ids.h"

namespace outrigger::proxy {
namespace {

using policy::AttemptEnd;

constexpr int grpc_unavailable = 14;
// How much earlier a deadline may expire at the endpoint than here: the time that is passed on is
// rounded down, and the loop's clock does not advance during a turn.
constexpr Duration deadline_slack = milliseconds(10);

Flag flag_of(AttemptFailure failure, http::StreamEnd end) {
  switch (failure) {
    case AttemptFailure::no_endpoint:
      return Flag::UH;
    case AttemptFailure::overflow:
      return Flag::UO;
    case AttemptFailure::connect_refused:
    case AttemptFailure::connect_timeout:
    case AttemptFailure::handshake:
      return Flag::UF;
    case AttemptFailure::timeout:
      return Flag::UT;
    case AttemptFailure::stream:
      break;
  }
  const bool broken = end == http::StreamEnd::protocol_error || end == http::StreamEnd::too_large ||
                      end == http::StreamEnd::flood;
  return broken ? Flag::UPE : Flag::UC;
}

AttemptEnd::Kind kind_of(AttemptFailure failure) {
  switch (failure) {
    case AttemptFailure::connect_refused:
    case AttemptFailure::connect_timeout:
    case AttemptFailure::handshake:
      return AttemptEnd::Kind::connect_failed;
    case AttemptFailure::timeout:
      return AttemptEnd::Kind::timed_out;
    default:
      return AttemptEnd::Kind::reset;
  }
}

// What an attempt without a response says about its endpoint.
Outcome::Kind outcome_of(AttemptFailure failure, http::StreamEnd end) {
  switch (failure) {
    case AttemptFailure::no_endpoint:
    case AttemptFailure::overflow:
      return Outcome::Kind::cancelled;  // our own limits
    case AttemptFailure::timeout:
      return Outcome::Kind::timed_out;
    case AttemptFailure::stream:
      // A request that could not be written is the caller's fault; HTTP/2 without tunnels is no
      // fault.
      return end == http::StreamEnd::local || end == http::StreamEnd::no_tunnel ||
                     end == http::StreamEnd::head_refused
                 ? Outcome::Kind::cancelled
                 : Outcome::Kind::failed;
    default:
      return Outcome::Kind::failed;
  }
}

telemetry::RetryReason reason_of_grpc(int code) {
  using telemetry::RetryReason;
  switch (code) {
    case 1:
      return RetryReason::grpc_cancelled;
    case 4:
      return RetryReason::grpc_deadline_exceeded;
    case 8:
      return RetryReason::grpc_resource_exhausted;
    case 13:
      return RetryReason::grpc_internal;
    default:
      return RetryReason::grpc_unavailable;
  }
}

telemetry::RetryReason reason_of(policy::RetryCause cause, const AttemptEnd& end) {
  using telemetry::RetryReason;
  switch (cause) {
    case policy::RetryCause::connect_failure:
      return RetryReason::connect_failed;
    case policy::RetryCause::stale_connection:
      return RetryReason::stale_connection;
    case policy::RetryCause::refused_stream:
      return RetryReason::refused_stream;
    case policy::RetryCause::not_processed:
      return RetryReason::not_processed;
    case policy::RetryCause::reset:
      return RetryReason::reset_before_response;
    case policy::RetryCause::timeout:
      return RetryReason::per_try_timeout;
    case policy::RetryCause::header:
      return RetryReason::retriable_headers;
    case policy::RetryCause::grpc_status:
      return reason_of_grpc(end.grpc_status.value_or(grpc_unavailable));
    default:
      return end.status >= 500 ? RetryReason::server_error : RetryReason::status;
  }
}

}  // namespace

Exchange::Exchange(Scope& scope, const Peer& peer, http::Stream& stream, HeldBodies& bodies)
    : scope_(scope),
      peer_(peer),
      loop_(scope.worker.loop),
      stream_(&stream),
      routing_(scope.worker.routing),
      attempt_(*this),
      body_(scope.worker.loop.buffers(), bodies, scope.copies_max),
      timer_(net::Timer::to<&Exchange::on_timer>(*this)),
      started_at_(scope.worker.loop.now()) {}

// The entry point.
void Exchange::on_head(http::Head& head, bool end) {
  request_ = &head;
  grpc_ = head.is_grpc();
  if (!find_destination()) return;
  prepare_head();
  if (!apply_route() || !admit_tunnel()) return;
  destination_->cluster->retry_budget().on_request(loop_.now());
  if (scope_.body_max && head.content_length.value_or(0) > *scope_.body_max) {
    return local_reply(413, Flag::none, "the body is larger than this listener allows");
  }
  allowed_ = policy::time_allowed(timeout(), head);
  deadlines_.request_began(started_at_, allowed_.whole, service().idle());
  if (end) {
    request_complete();
  } else if (http::asks_for_tunnel(head)) {
    // Its response is due although the request has not ended.
    deadlines_.answer_expected(started_at_, allowed_.answer);
  }
  start_attempt();
}

bool Exchange::find_destination() {
  destination_ = scope_.destination;
  if (destination_ == nullptr) {
    const std::string_view name = routing_->hosts.service_of(request_->authority, *request_->arena);
    if (!name.empty()) destination_ = scope_.worker.find(name);
  }
  if (destination_ == nullptr) {
    cells_ = &scope_.worker.unrouted(scope_.direction);
    cells_->started();
    local_reply(404, Flag::NR, "no service matches the Host header");
    return false;
  }
  // Only outbound requests are routed.
  const ServiceRoutes* routes = scope_.direction == telemetry::Direction::outbound
                                    ? routing_->routes->of(destination_->service)
                                    : nullptr;
  if (!settle_path(*request_, scope_.paths, routes != nullptr && routes->reads_paths())) {
    cells_ = &scope_.worker.cells(*destination_, nullptr);
    cells_->started();
    local_reply(400, Flag::DPE, "the path cannot be normalised");
    return false;
  }
  if (routes != nullptr) route_ = routes->match(*request_);
  // An HTTP/1.0 request may have no authority; the next hop must get one.
  if (request_->authority.empty()) {
    const std::string& name = destination_->service;
    request_->authority = name.empty() ? std::string_view("localhost") : std::string_view(name);
  }
  cells_ = &scope_.worker.cells(*destination_, route_);
  cells_->started();
  return true;
}

// Whether the request is an upgrade that only HTTP/1 can carry.
bool Exchange::needs_http1() const {
  return !request_->protocol.empty() && !http::has_extended_connect(*request_);
}

// In HTTP/1, an upgrade to a protocol that the listener does not allow is an ordinary request; in
// HTTP/2, and for CONNECT, there is no such alternative.
bool Exchange::admit_tunnel() {
  const http::Upgrades& allowed = *scope_.limits.upgrades;
  if (!request_->protocol.empty()) {
    request_->protocol = allowed.find(request_->protocol);
    if (request_->protocol.empty()) {
      local_reply(501, Flag::none, "the protocol is not among this listener's upgrades");
      return false;
    }
    const bool http2_only =
        !destination_->cluster->secure() && plain_offer() == upstream::Offer::http2;
    if (http2_only && needs_http1()) {
      local_reply(501, Flag::none,
                  "the endpoint speaks HTTP/2, which does not support this upgrade");
      return false;
    }
  } else if (request_->method == http::Method::connect && !allowed.allows_connect()) {
    local_reply(501, Flag::none, "CONNECT is not among this listener's upgrades");
    return false;
  }
  return true;
}

bool Exchange::apply_route() {
  if (route_ == nullptr) return true;
  route_->request_edits().apply(request_->fields);
  if (route_->config().redirect) {
    redirect();
    return false;
  }
  if (const auto& answer = route_->config().answer) {
    reply(answer->status, answer->content_type, answer->body, nullptr, &route_->response_edits());
    return false;
  }
  route_->rewrite(*request_);
  if (route_->to_called_service()) return true;
  Destination* chosen = scope_.worker.find(routing_->target_names[route_->choose(loop_.random())]);
  if (chosen == nullptr) {
    local_reply(503, Flag::NR, "the route's destination does not exist");
    return false;
  }
  destination_ = chosen;
  return true;
}

void Exchange::prepare_head() {
  const HeadContext context{*request_, peer_.address, peer_.secure, peer_.trusted_proxy,
                            peer_.client_cert};
  if (scope_.direction == telemetry::Direction::inbound) {
    set_forwarded(context);
  } else {
    strip_identity(*request_);
  }
  request_id_ = ensure_request_id(*request_, loop_.random());
  ensure_traceparent(*request_, loop_.random());
}

void Exchange::request_complete() {
  request_ended_ = true;
  // The route's timeout runs from here: a slow upload is not the upstream's fault.
  deadlines_.request_ended();
  deadlines_.answer_expected(loop_.now(), allowed_.answer);
  if (!state_.is(ExchangeState::begun)) watch_deadlines();  // otherwise the first attempt does
}

const config::Retry& Exchange::retry() const {
  return route_ != nullptr && route_->config().retry ? *route_->config().retry : service().retry;
}

config::Millis Exchange::timeout() const {
  return route_ != nullptr && route_->config().timeout ? *route_->config().timeout
                                                       : service().timeout;
}

upstream::Offer Exchange::offer() const {
  // On a new connection: an upgraded connection is never reused.
  return needs_http1() || http1_tunnel_ ? upstream::Offer::http1 : plain_offer();
}

upstream::Offer Exchange::plain_offer() const {
  switch (service().wire) {
    case config::Wire::http1:
      return upstream::Offer::http1;
    case config::Wire::http2:
      return upstream::Offer::http2;
    case config::Wire::auto_:
      break;
  }
  if (destination_->cluster->secure()) return upstream::Offer::http;
  // Without TLS, nothing is negotiated: gRPC is HTTP/2 by definition, everything else is HTTP/1.1
  // unless the app has shown otherwise.
  const bool http2 = service().protocol == config::Protocol::grpc || grpc_ ||
                     destination_->cluster->speaks_http2();
  return http2 ? upstream::Offer::http2 : upstream::Offer::http1;
}

void Exchange::start_attempt() {
  state_.on(ExchangeEvent::attempt);
  cells_->attempted();
  if (const auto reason = std::exchange(retry_reason_, std::nullopt)) cells_->retried(*reason);
  const TimePoint now = loop_.now();
  answered_at_ = {};
  pause_asked_ = {};
  deadlines_.attempt_began(now, retry().per_try);
  watch_deadlines();
  using Started = Attempt::Started;
  switch (attempt_.start(*destination_->cluster, offer(), std::nullopt, now)) {
    case Started::streaming:
      return send_request();
    case Started::waiting:
      return;
    case Started::no_endpoint:
      return attempt_failed(AttemptFailure::no_endpoint, http::StreamEnd::local, {});
    case Started::overflow:
      return attempt_failed(AttemptFailure::overflow, http::StreamEnd::local, {});
  }
}

// Until the request has ended, the full time for the response is left.
policy::TimeAllowed Exchange::time_left() const {
  const TimePoint now = loop_.now();
  policy::TimeAllowed left = allowed_;
  const TimePoint answer_by = deadlines_[Deadline::answer];
  if (left.answer && answer_by != Deadlines::never) left.answer = answer_by - now;
  if (left.whole) {
    left.whole = deadlines_[Deadline::whole] - now;
    left.answer = std::min(left.answer.value_or(*left.whole), *left.whole);
  }
  return left;
}

void Exchange::send_request() {
  http::Stream& upstream = *attempt_.stream();
  if (destination_->cluster->secure() || grpc_) policy::pass_on_deadline(time_left(), *request_);
  if (request_ended_ && body_.empty() && trailers_ == nullptr) {
    upstream.send_head(*request_, true);
    return attempt_.request_sent();
  }
  upstream.send_head(*request_, false);
  if (!body_.empty()) upstream.send_data(body_.view(), request_ended_ && trailers_ == nullptr);
  if (trailers_ != nullptr) upstream.send_trailers(*trailers_);
  if (request_ended_) attempt_.request_sent();
  const bool may_be_stale = attempt_.on_reused_connection() && !attempt_.upstream_http2();
  const bool again = policy::may_send_again(retry(), spent(), may_be_stale) ||
                     destination_->cluster->finding_out();
  copy_kept(body_.sent(again, retry().body_max));
  if (!upstream.above_high()) pause_caller(false);
}

// Once a body has begun, it must keep a minimum rate, except for streams that may be slow.
void Exchange::expect_body() {
  if (scope_.body_rate == 0 || grpc_ || http::asks_for_tunnel(*request_)) return;
  deadlines_.body_began(loop_.now(), scope_.body_rate);
  watch_deadlines();
}

// A copy that was needed has exceeded a limit: from here on the request cannot be retried.
void Exchange::copy_kept(bool kept) {
  if (!kept) cells_->replay_dropped();
}

void Exchange::pause_caller(bool paused) {
  if (stream_ == nullptr || downstream_paused_ == paused) return;
  downstream_paused_ = paused;
  stream_->pause(paused);
  if (paused) {
    deadlines_.body_paused(loop_.now());
  } else {
    deadlines_.body_resumed(loop_.now());
  }
  watch_deadlines();
}

void Exchange::on_data(std::string_view bytes, bool end) {
  const TimePoint now = loop_.now();
  deadlines_.moved(now);
  if (body_.received() == 0) expect_body();
  deadlines_.body_came(now, bytes.size());
  body_.arrived(bytes.size());
  if (scope_.body_max && body_.received() > *scope_.body_max) {
    if (state_.is(ExchangeState::answering))
      return fail_answer(Flag::none, http::StreamEnd::too_large);
    return local_reply(413, Flag::none, "the body is larger than this listener allows");
  }
  if (end) request_complete();
  http::Stream* upstream = attempt_.stream();
  if (upstream == nullptr) {
    // Until there is a connection, no more is read from the caller than could be sent again.
    body_.hold(bytes);
    if (body_.beyond(retry().body_max)) pause_caller(true);
    return;
  }
  copy_kept(body_.copy(bytes, retry().body_max));
  upstream->send_data(bytes, end);
  if (end) attempt_.request_sent();
  upstream = attempt_.stream();
  if (upstream != nullptr && upstream->above_high()) pause_caller(true);
}

void Exchange::on_trailers(http::Fields& trailers) {
  request_complete();
  void* memory = request_->arena->allocate(sizeof(http::Fields), alignof(http::Fields));
  trailers_ = new (memory) http::Fields(*request_->arena);
  for (const http::Field& field : trailers) {
    trailers_->add(
        {request_->arena->copy(field.name), request_->arena->copy(field.value), field.known});
  }
  if (http::Stream* upstream = attempt_.stream()) {
    upstream->send_trailers(*trailers_);
    attempt_.request_sent();
  }
}

std::size_t Exchange::attempt_piece_max() {
  const std::size_t most = stream_ != nullptr ? stream_->piece_max() : http::any_piece;
  if (most == 0) {
    if (http::Stream* upstream = attempt_.stream()) upstream->pause(true);
  }
  return most;
}

void Exchange::on_attempt_drained() {
  pause_caller(false);
}

void Exchange::on_drained() {
  if (http::Stream* upstream = attempt_.stream()) upstream->pause(false);
}

// The downstream stream is gone: it was cancelled or violated the protocol.
void Exchange::on_reset(http::StreamEnd reason) {
  stream_ = nullptr;
  const bool broken = reason == http::StreamEnd::protocol_error ||
                      reason == http::StreamEnd::too_large || reason == http::StreamEnd::flood;
  flag_ = broken ? Flag::DPE : reason == http::StreamEnd::idle ? Flag::SI : Flag::DC;
  // The HTTP/1 codec has already answered a malformed body.
  if (broken && !state_.is(ExchangeState::answering) && request_->version != http::Version::http2)
    status_ = reason == http::StreamEnd::too_large ? 431 : 400;
  report_attempt(Outcome::Kind::cancelled);
  finish();
}

void Exchange::on_attempt_interim(http::Head& head) {
  if (stream_ != nullptr && state_.is(ExchangeState::attempting)) stream_->send_interim(head);
}

void Exchange::on_attempt_head(http::Head& head, bool end) {
  const TimePoint now = loop_.now();
  answered_at_ = now;
  status_ = head.status;
  if (grpc_) grpc_status_ = grpc_status_of(head.fields);
  // The mark is private to sidecars: it is trusted from an authenticated callee and never passed
  // on. It is ignored if an app sets it.
  const bool marked = head.fields.remove(not_processed_name) > 0;
  // A header or a listed status may request a retry of a response that is not an error in itself.
  const bool listed = !retry().headers.empty() || !retry().statuses.empty();
  if (head.status >= 400 || grpc_status_ > 0 || listed) {
    AttemptEnd result = policy::read_answer(retry(), head, loop_.wall_now());
    pause_asked_ = policy::pause_asked(result);
    const bool unavailable = head.status == 503 || grpc_status_ == grpc_unavailable;
    result.not_processed = marked && unavailable && destination_->cluster->secure();
    if (try_again(result)) return;
  }
  tries_.answered();
  tries_.release();
  if (route_ != nullptr) route_->response_edits().apply(head.fields);
  state_.on(ExchangeEvent::answer);
  body_.clear();
  if (end) return complete().send_head(head, true);
  deadlines_.answer_began(now);
  watch_deadlines();
  stream_->send_head(head, false);
}

void Exchange::on_attempt_data(std::string_view bytes, bool end) {
  deadlines_.moved(loop_.now());
  bytes_out_ += bytes.size();
  if (end) return complete().send_data(bytes, true);
  stream_->send_data(bytes, false);
  if (stream_->above_high()) {
    if (http::Stream* upstream = attempt_.stream()) upstream->pause(true);
  }
}

void Exchange::on_attempt_trailers(http::Fields& trailers) {
  if (grpc_) grpc_status_ = grpc_status_of(trailers);
  if (grpc_status_ > 0) {
    AttemptEnd result;
    policy::read_trailers(trailers, result);
    pause_asked_ = policy::pause_asked(result);
  }
  complete().send_trailers(trailers);
}

// The request's head is freed with its stream, so everything is reported before the last call on
// the stream.
http::Stream& Exchange::complete() {
  report_attempt(Outcome::Kind::answered);
  http::Stream& stream = *std::exchange(stream_, nullptr);
  finish();
  return stream;
}

void Exchange::on_attempt_failed(AttemptFailure failure, http::StreamEnd end,
                                 const std::string& detail) {
  // A gRPC server enforces the caller's deadline as well and may be the first to do so: with
  // RST_STREAM(CANCEL), since no one is waiting for a response any more.
  const bool late = loop_.now() + deadline_slack >= deadlines_[Deadline::whole];
  if (grpc_ && end == http::StreamEnd::cancelled && late) return out_of_time();
  attempt_failed(failure, end, detail);
}

void Exchange::attempt_failed(AttemptFailure failure, http::StreamEnd end,
                              const std::string& detail) {
  tries_.ended(failure, end, attempt_.sent());
  report_attempt(outcome_of(failure, end));
  const Flag flag = flag_of(failure, end);
  if (state_.is(ExchangeState::answering))
    return fail_answer(flag, http::StreamEnd::connection_lost);
  if (end == http::StreamEnd::head_refused) {
    attempt_.cancel(http::StreamEnd::local);
    return local_reply(431, Flag::DPE, "the request head is larger than the endpoint accepts");
  }
  if (end == http::StreamEnd::no_tunnel) {
    // Where HTTP/2 was negotiated, HTTP/1 may work.
    http1_tunnel_ = plain_offer() == upstream::Offer::http;
    if (!http1_tunnel_) {
      attempt_.cancel(http::StreamEnd::local);
      return local_reply(501, Flag::none, "the endpoint's HTTP/2 does not support this upgrade");
    }
  }
  if (failure != AttemptFailure::no_endpoint && failure != AttemptFailure::overflow) {
    AttemptEnd result;
    result.kind = kind_of(failure);
    result.end = end;
    if (try_again(result)) return;
  }
  attempt_.cancel(http::StreamEnd::local);
  const bool late = failure == AttemptFailure::timeout;
  const bool gave_up = flag_ == Flag::URX;
  local_reply(late ? 504 : flag == Flag::UPE ? 502 : 503, gave_up ? Flag::URX : flag, detail);
}

policy::RetryState Exchange::spent() const {
  policy::RetryState state;
  tries_.spent(state);
  state.idempotent = http::is_idempotent(request_->method);
  return state;
}

// Starts another attempt if policy, budget and time allow; otherwise the result stands.
bool Exchange::try_again(const AttemptEnd& end) {
  const TimePoint now = loop_.now();
  tries_.release();  // the failed try is no longer in flight
  policy::RetryState state = spent();
  state.replayable = body_.whole();
  state.budget_left = destination_->cluster->retry_budget().has_left(now);
  const TimePoint answer_by = std::min(deadlines_[Deadline::answer], deadlines_[Deadline::whole]);
  if (answer_by != Deadlines::never) state.time_left = answer_by - now;
  const policy::RetryDecision decision = policy::decide_retry(retry(), end, state, loop_.random());
  if (!decision.retry()) {
    if (decision.refusal == policy::RetryRefusal::limit && tries_.retries() > 0) flag_ = Flag::URX;
    if (decision.refusal == policy::RetryRefusal::budget) cells_->retry_budget_exhausted();
    return false;
  }
  if (decision.free) {
    tries_.take_free();
  } else if (const auto took = tries_.take(*destination_->cluster, now); took != Tries::Took::yes) {
    // The breaker counts its own refusals.
    if (took == Tries::Took::budget_exhausted) cells_->retry_budget_exhausted();
    return false;
  }
  retry_reason_ = reason_of(decision.cause, end);
  if (end.kind == AttemptEnd::Kind::answered) {
    if (!end.not_processed) tries_.answered();
    report_attempt(Outcome::Kind::answered);
  }
  attempt_.cancel(http::StreamEnd::local);
  status_ = 0;
  grpc_status_ = -1;
  if (decision.delay > Duration(0)) {
    state_.on(ExchangeEvent::back_off);
    deadlines_.paused(now + decision.delay);
    watch_deadlines();
  } else {
    start_attempt();
  }
  return true;
}

void Exchange::report_attempt(Outcome::Kind kind) {
  if (!attempt_.engaged()) return;
  endpoint_ = request_->arena->copy(attempt_.endpoint());
  Outcome outcome;
  outcome.kind = kind;
  const TimePoint until = answered_at_ == TimePoint{} ? loop_.now() : answered_at_;
  outcome.latency = until - attempt_.started_at();
  outcome.timeout = timeout();
  if (kind == Outcome::Kind::answered) {
    outcome.status = status_;
    if (grpc_status_ >= 0) outcome.grpc_status = grpc_status_;
    if (outcome.is_failure()) outcome.retry_after = pause_asked_;
  }
  attempt_.report(outcome);
}

// The timer is only moved to earlier times: a deadline that has moved later is noticed when the
// timer fires.
void Exchange::watch_deadlines() {
  const TimePoint at = deadlines_.soonest();
  if (at == Deadlines::never || (timer_.armed() && timer_.deadline() <= at)) return;
  loop_.timers().arm_at(timer_, at);
}

void Exchange::on_timer() {
  deadlines_.look_again();
  const std::optional<Deadline> due = deadlines_.due(loop_.now());
  if (!due) return watch_deadlines();
  switch (*due) {
    case Deadline::whole:
    case Deadline::answer:
      return out_of_time();
    case Deadline::attempt:
      return attempt_failed(AttemptFailure::timeout, http::StreamEnd::idle,
                            "the attempt took too long");
    case Deadline::pause:
      return start_attempt();
    case Deadline::body:
      report_attempt(Outcome::Kind::cancelled);
      return local_reply(408, Flag::SI, "the request body is too slow");
    case Deadline::idle:
      return fell_idle();
  }
}

}  // namespace outrigger::proxy
