#include "proxy/http_connection.h"

#include <algorithm>

#include "base/log.h"
#include "http/h1_server_codec.h"
#include "http/h2_codec.h"
#include "net/socket.h"
#include "proxy/detect.h"

namespace outrigger::proxy {
namespace {

std::uint64_t milliseconds_of(TimePoint t) {
  return static_cast<std::uint64_t>(t.time_since_epoch() / milliseconds(1));
}

// On an idle connection a request may be on its way, and HTTP/1 cannot take it back: a connection
// that is to drain waits this long for one more, whose response says close.
constexpr Duration last_patience = seconds(1);
// Streams are checked this often per write timeout: one whose reader has stalled is noticed at most
// two of these intervals too late.
constexpr int looks_a_stall = 4;
// What unknown clients cause is logged at most this often.
constexpr Duration tell_interval = seconds(10);

}  // namespace

HttpConnection::HttpConnection(Scope& scope, std::unique_ptr<net::Connection> connection,
                               HttpConnectionOwner& owner)
    : scope_(scope),
      owner_(owner),
      connection_(std::move(connection)),
      wire_(*connection_),
      timer_(net::Timer::to<&HttpConnection::on_timer>(*this)) {
  since_.set_to(scope.worker.loop.now());
}

HttpConnection::~HttpConnection() {
  if (!connection_->closed()) connection_->abort();
  // Streams that are still open must not reach into a destroyed codec.
  if (codec_ && codec_->open_streams() > 0) codec_->connection_lost(true);
}

void HttpConnection::start() {
  if (connection_->open()) {
    connection_->set_handler(*this);
    on_open();
  } else {
    connection_->start(*this);
  }
}

void HttpConnection::on_open() {
  learn_peer();
  since_.set_to(scope_.worker.loop.now());
  // The first request's head must arrive in time; after that, the idle timeout applies.
  scope_.worker.loop.timers().arm(
      timer_, draining_ == Draining::soon ? last_patience : scope_.header_timeout);
  if (!connection_->secure() || connection_->transport()->info().alpn != "h2") return;
  make_codec(true);
  if (draining_ == Draining::soon) drain_codec();
}

void HttpConnection::learn_peer() {
  const std::string address = connection_->channel().peer_host();
  if (!connection_->secure()) {
    peer_ = scope_.peers.hold(address, [this, &address](Peer& peer) { fill(peer, address); });
    return;
  }
  const net::HandshakeInfo& info = connection_->transport()->info();
  const std::string key = address + ' ' + info.version + ' ' + info.peer_hash;
  peer_ = scope_.peers.hold(key, [this, &address, &info](Peer& peer) {
    fill(peer, address);
    peer.secure = !info.version.empty();
    peer.identity = info.peer_identity;
    peer.tls_version = info.version;
    if (info.peer_identity.empty()) return;
    peer.client_cert = "Hash=" + info.peer_hash + ";Subject=\"" + info.peer_subject +
                       "\";URI=" + info.peer_identity;
    peer.id = scope_.worker.metrics.peer(info.peer_identity);
  });
}

void HttpConnection::fill(Peer& peer, const std::string& address) const {
  peer.address = address;
  peer.trusted_proxy = std::any_of(scope_.trusted_proxies.begin(), scope_.trusted_proxies.end(),
                                   [&address](const Cidr& cidr) { return cidr.contains(address); });
}

bool HttpConnection::choose_codec(std::string_view first_bytes) {
  const Detected detected = detect(first_bytes);
  if (detected == Detected::more) {
    head_begins();
    return false;
  }
  if (detected == Detected::opaque) {
    refuse_opaque();
    return false;
  }
  // What begins like the preface but is not gets HTTP/2's error for that.
  make_codec(detected == Detected::http2 || first_bytes.starts_with("PRI * HTTP/2."));
  return true;
}

// The client does not speak HTTP, so it would not understand a response either.
void HttpConnection::refuse_opaque() {
  if (connection_->closed()) return;
  scope_.connections->not_http.add();
  const TimePoint now = scope_.worker.loop.now();
  if (now >= scope_.tell_not_http_at) {
    scope_.tell_not_http_at = now + tell_interval;
    log::warn("proxy", "refused a connection that does not speak HTTP",
              {{"listener", scope_.name}, {"peer", connection_->peer_address()}});
  }
  connection_->kill(false);
}

void HttpConnection::make_codec(bool http2) {
  WorkerContext& worker = scope_.worker;
  http::ServerEvents& events = *this;
  const std::string_view scheme = peer_->secure ? "https" : "http";
  if (http2) {
    codec_ = std::make_unique<http::H2ServerCodec>(wire_, events, scope_.limits,
                                                   worker.codec_counters, worker.loop.blocks(),
                                                   worker.loop.buffers(), worker.h2_memory);
    keepalive_ =
        std::make_unique<http::H2Keepalive>(http::H2Keepalive::Towards::client, *connection_,
                                            *codec_, scope_.keepalive, worker.codec_counters);
  } else {
    codec_ = std::make_unique<http::H1ServerCodec>(
        wire_, events, scope_.limits, worker.codec_counters, worker.loop.blocks(), scheme);
  }
  wire_.set_codec(codec_.get());
}

std::size_t HttpConnection::on_bytes(std::string_view bytes) {
  if (!codec_ && !choose_codec(bytes)) return 0;
  if (keepalive_) keepalive_->heard();
  const std::size_t consumed = codec_->feed(bytes, milliseconds_of(scope_.worker.loop.now()));
  // Only now, so that what has begun is served.
  if (draining_ == Draining::soon) drain_codec();
  if (draining_ == Draining::after_next && codec_->version() != http::Version::http2) drain_codec();
  watch_head();
  return consumed;
}

// The header deadline is absolute: it runs from a head's first byte and is checked by the
// connection's one timer.
void HttpConnection::watch_head() {
  if (codec_->receiving_head()) {
    head_begins();
  } else {
    waits_for_ = WaitsFor::head;
  }
}

void HttpConnection::head_begins() {
  if (head_begun()) return;
  waits_for_ = WaitsFor::rest_of_head;
  since_.set_to(scope_.worker.loop.now());
  wait_for(scope_.header_timeout);
}

void HttpConnection::on_timer() {
  const TimePoint now = scope_.worker.loop.now();
  if (output_stalled(now)) return connection_->kill(true, net::CloseReason::write_stalled);
  const Duration stall = connection_->limits().write_stall;
  if (codec_ && codec_->output_queued() && stall > Duration(0)) {
    codec_->end_stalled(milliseconds_of(now), static_cast<std::uint64_t>(stall / milliseconds(1)));
    if (connection_->closed()) return;
  }
  if (keepalive_ && keepalive_->last_word_by() <= now) {
    keepalive_->drain_has_waited();
    codec_->stop_waiting();
    if (connection_->closed()) return;
  }
  if (head_begun()) {
    const Duration waited = since_.until(now);
    if (waited < scope_.header_timeout) return wait_for(scope_.header_timeout - waited);
    // Too few bytes to tell the protocol: an HTTP/1 response is the one that may be understood.
    if (!codec_) make_codec(false);
    return codec_->head_late(connection_->kept_input());
  }
  if (draining_ == Draining::soon) return codec_ ? drain_codec() : wire_.finish();
  if (draining_ == Draining::now) return wait_for(scope_.idle_timeout);
  if (open_streams() > 0) return wait_for(scope_.idle_timeout);
  const Duration quiet = since_.until(now);
  if (quiet < scope_.idle_timeout) return wait_for(scope_.idle_timeout - quiet);
  codec_ ? drain_codec() : wire_.finish();
}

// The timer fires after `most`, or earlier to check on a client that does not read or does not
// answer.
void HttpConnection::wait_for(Duration most) {
  const TimePoint now = scope_.worker.loop.now();
  if (waits_since_.set())
    most = std::min(most, connection_->limits().write_stall - waits_since_.until(now));
  if (keepalive_) most = std::min(most, keepalive_->last_word_by() - now);
  const Duration stall = connection_->limits().write_stall;
  if (codec_ && codec_->output_queued() && stall > Duration(0))
    most = std::min(most, stall / looks_a_stall);
  scope_.worker.loop.timers().arm(timer_, most);
}

// Stalled streams are found by periodic checks.
void HttpConnection::on_output_queued() {
  const Duration look = connection_->limits().write_stall / looks_a_stall;
  const TimePoint now = scope_.worker.loop.now();
  if (look > Duration(0) && draining_ != Draining::soon &&
      (!timer_.armed() || timer_.deadline() > now + look))
    scope_.worker.loop.timers().arm(timer_, look);
}

void HttpConnection::on_output_waits() {
  if (connection_->limits().write_stall == Duration(0)) return;
  const auto written = static_cast<std::uint32_t>(connection_->bytes_written() & waits_at_mask);
  if (waits_since_.set() && waits_at_ == written) return;
  const TimePoint now = scope_.worker.loop.now();
  waits_since_.set_to(now);
  waits_at_ = written & waits_at_mask;
  const Duration stall = connection_->limits().write_stall;
  if (!timer_.armed() || timer_.deadline() > now + stall) wait_for(stall);
}

bool HttpConnection::output_stalled(TimePoint now) {
  if (!waits_since_.set()) return false;
  if (!connection_->output_waits()) {
    waits_since_.clear();
    return false;
  }
  // Bytes that have been sent since are reported by on_output_waits(), a moment later.
  const auto written = static_cast<std::uint32_t>(connection_->bytes_written() & waits_at_mask);
  if (written != waits_at_ || (codec_ && codec_->reader_may_stall())) {
    waits_since_.set_to(now);
    waits_at_ = written & waits_at_mask;
  }
  return waits_since_.until(now) >= connection_->limits().write_stall;
}

void HttpConnection::on_end_ahead(std::size_t most) {
  if (codec_) codec_->input_ends_within(most);
}

void HttpConnection::on_end_of_input() {
  if (codec_) {
    codec_->input_ended();
  } else {
    connection_->finish();
  }
}

void HttpConnection::on_drained() {
  if (codec_) codec_->output_drained();
}

void HttpConnection::on_rest() {
  if (codec_) codec_->rest();
}

void HttpConnection::on_closed(net::CloseReason reason) {
  timer_.cancel();
  keepalive_.reset();
  if (codec_)
    codec_->connection_lost(reason != net::CloseReason::finished &&
                            reason != net::CloseReason::peer_closed);
  wire_.set_codec(nullptr);
  unlink();
  owner_.on_http_connection_done(*this, reason);
  scope_.worker.loop.retire(std::unique_ptr<net::Retirable>(this));
}

http::StreamSink& HttpConnection::on_stream(http::Stream& stream) {
  if (keepalive_) keepalive_->stream_opened();
  waits_for_ = WaitsFor::head;  // the next one gets its own deadline
  // Owns itself from here on: finish() hands it to Loop::retire().
  return *std::make_unique<Exchange>(scope_, *peer_, stream, bodies_).release();
}

// A request without an exchange is counted and logged too.
void HttpConnection::on_refused(const http::Refusal& refusal) {
  WorkerContext& worker = scope_.worker;
  const Duration duration = head_begun() ? since_.until(worker.loop.now()) : Duration(0);
  telemetry::RequestOutcome outcome;
  outcome.status = refusal.status;
  outcome.grpc_status = refusal.grpc_status;
  outcome.flag = Flag::DPE;
  outcome.peer = peer_->id;
  outcome.duration = duration;
  outcome.bytes_out = refusal.bytes_out;
  telemetry::RequestCells& cells = scope_.destination != nullptr
                                       ? worker.cells(*scope_.destination, nullptr)
                                       : worker.unrouted(scope_.direction);
  cells.started();
  cells.finished(outcome);
  if (!worker.access_log.enabled()) return;
  telemetry::AccessRecord record;
  record.time = worker.loop.wall_now() - std::chrono::duration_cast<microseconds>(duration);
  record.direction = scope_.direction;
  if (scope_.destination != nullptr) record.service = scope_.destination->service;
  record.method = refusal.head.method_text;
  record.path = refusal.head.path;
  record.status = refusal.status;
  record.grpc_status = refusal.grpc_status;
  record.flag = Flag::DPE;
  record.bytes_out = refusal.bytes_out;
  record.duration = duration;
  record.peer = peer_->identity;
  record.request_id = refusal.head.fields.value(http::Known::x_request_id);
  record.protocol_in = http::to_string(codec_->version());
  record.tls_version = peer_->tls_version;
  worker.access_log.write(record);
}

void HttpConnection::on_idle() {
  if (!head_begun()) since_.set_to(scope_.worker.loop.now());
}

void HttpConnection::drain_after_next() {
  if (draining_ != Draining::no) return;
  draining_ = Draining::after_next;
  const bool busy = codec_ != nullptr && codec_->version() != http::Version::http2 &&
                    (codec_->open_streams() > 0 || codec_->receiving_head());
  if (busy) drain_codec();
}

void HttpConnection::drain() {
  if (draining_ >= Draining::soon) return;
  draining_ = Draining::soon;
  if (!codec_ && head_begun()) return;  // the first bytes have arrived
  const bool at_rest =
      codec_ == nullptr || (codec_->version() != http::Version::http2 &&
                            codec_->open_streams() == 0 && !codec_->receiving_head());
  if (!at_rest) return drain_codec();
  if (connection_->open()) scope_.worker.loop.timers().arm(timer_, last_patience);
}

void HttpConnection::drain_codec() {
  draining_ = Draining::now;
  codec_->drain();
  // A client that is gone does not answer the PING; this bounds the wait for it.
  if (!keepalive_) return;
  keepalive_->drain_began();
  const TimePoint now = scope_.worker.loop.now();
  wait_for(head_begun() ? scope_.header_timeout - since_.until(now) : scope_.idle_timeout);
}

}  // namespace outrigger::proxy
