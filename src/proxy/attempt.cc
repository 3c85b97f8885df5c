#include "proxy/attempt.h"

#include <utility>

#include "base/check.h"

namespace outrigger::proxy {

Attempt::Started Attempt::start(upstream::Cluster& cluster, upstream::Offer offer,
                                std::optional<std::uint64_t> hash, TimePoint now) {
  check(!active() && !chosen_, "an attempt starts while another runs");
  cluster_ = &cluster;
  ++count_;
  started_at_ = now;
  answer_ = Answer::none;
  request_ended_ = sent_ = reused_ = http2_ = false;
  slot_ = cluster.breaker().requests.try_take();
  if (!slot_) return Started::overflow;
  chosen_ = cluster.choose(tried(), hash);
  if (!chosen_) return Started::no_endpoint;
  if (tried_count_ < tried_.size()) tried_[tried_count_++] = chosen_.identity;
  endpoint_ = &chosen_.host->name();
  const upstream::Pool::Grant grant = cluster.pool(*chosen_.host, offer).acquire(*this);
  if (grant.connection != nullptr) {
    take(*grant.connection);
    return Started::streaming;
  }
  return grant.queued ? Started::waiting : Started::overflow;
}

void Attempt::take(upstream::ClientConnection& connection) {
  reused_ = connection.streams_opened() > 0;
  http2_ = connection.http2();
  sent_ = true;
  stream_ = &connection.open_stream(*this);
}

void Attempt::request_sent() {
  request_ended_ = true;
  // The answer may have ended first; then the stream is over now.
  if (answer_ == Answer::ended) stream_ = nullptr;
}

void Attempt::answer_ended() {
  answer_ = Answer::ended;
  if (request_ended_) stream_ = nullptr;
}

void Attempt::cancel(http::StreamEnd reason) {
  PoolTicket::leave();
  if (http::Stream* stream = std::exchange(stream_, nullptr)) stream->reset(reason);
  if (chosen_) report({.kind = Outcome::Kind::cancelled});
  slot_.release();
}

void Attempt::report(const Outcome& outcome) {
  if (!chosen_) return;
  cluster_->finished(chosen_, outcome);
  chosen_ = {};
}

void Attempt::on_head(http::Head& head, bool end) {
  answer_ = Answer::begun;
  cluster_->answered(http2_);
  if (end) answer_ended();
  owner_.on_attempt_head(head, end);
}

void Attempt::on_data(std::string_view bytes, bool end) {
  if (end) answer_ended();
  owner_.on_attempt_data(bytes, end);
}

void Attempt::on_trailers(http::Fields& trailers) {
  answer_ended();
  owner_.on_attempt_trailers(trailers);
}

void Attempt::on_reset(http::StreamEnd reason) {
  stream_ = nullptr;
  const http::StreamEnd end =
      answer_ != Answer::none ? reason : cluster_->attempt_ended(reason, http2_, reused_);
  owner_.on_attempt_failed(AttemptFailure::stream, end, http::to_string(end));
}

void Attempt::on_pool_ready(upstream::ClientConnection& connection) {
  take(connection);
  owner_.on_attempt_stream();
}

void Attempt::on_pool_failure(upstream::ConnectFailure failure, const std::string& detail) {
  AttemptFailure reason = AttemptFailure::connect_refused;
  if (failure == upstream::ConnectFailure::timeout) reason = AttemptFailure::connect_timeout;
  if (failure == upstream::ConnectFailure::handshake) reason = AttemptFailure::handshake;
  if (failure == upstream::ConnectFailure::wrong_version)
    cluster_->attempt_ended(http::StreamEnd::wrong_version, http2_, reused_);
  owner_.on_attempt_failed(reason, http::StreamEnd::connection_lost, detail);
}

}  // namespace outrigger::proxy
