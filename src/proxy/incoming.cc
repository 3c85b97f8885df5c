#include "proxy/incoming.h"

#include "proxy/detect.h"

namespace outrigger::proxy {
namespace {

// As HttpConnection's: a request may be on its way.
constexpr Duration last_patience = seconds(1);

}  // namespace

Incoming::Incoming(Scope& scope, std::unique_ptr<net::Connection> connection, IncomingOwner& owner)
    : scope_(scope),
      owner_(owner),
      connection_(std::move(connection)),
      timer_(net::Timer::to<&Incoming::on_timer>(*this)),
      hook_(*this),
      silence_max_(scope.idle_timeout) {}

void Incoming::on_open() {
  scope_.worker.loop.timers().arm(timer_, silence_max_);
  if (!connection_->secure()) return;
  const std::string& alpn = connection_->transport()->info().alpn;
  if (alpn == "outrigger-tcp") decide(false);
  if (alpn == "h2" || alpn == "http/1.1") decide(true);
}

std::size_t Incoming::on_bytes(std::string_view bytes) {
  if (verdict_ > Verdict::begun) return 0;
  const Detected detected = detect(bytes);
  if (detected != Detected::more) {
    decide(detected == Detected::http1 || detected == Detected::http2);
  } else if (verdict_ == Verdict::none) {
    verdict_ = Verdict::begun;
    scope_.worker.loop.timers().arm(timer_, scope_.header_timeout);
  }
  return 0;
}

void Incoming::on_end_of_input() {
  if (verdict_ == Verdict::none) connection_->finish();
  if (verdict_ == Verdict::begun) decide(false);
}

void Incoming::drain() {
  silence_max_ = last_patience;
  if (verdict_ == Verdict::none && connection_->open())
    scope_.worker.loop.timers().arm(timer_, silence_max_);
}

void Incoming::decide(bool http) {
  verdict_ = http ? Verdict::http : Verdict::tcp;
  timer_.cancel();
  scope_.worker.loop.at_turn_end(hook_);
}

void Incoming::hand_over() {
  unlink();
  if (verdict_ == Verdict::http) {
    owner_.on_incoming_http(scope_, std::move(connection_));
  } else {
    owner_.on_incoming_tcp(scope_, std::move(connection_));
  }
  scope_.worker.loop.retire(std::unique_ptr<net::Retirable>(this));
}

void Incoming::on_closed(net::CloseReason reason) {
  timer_.cancel();
  static_cast<net::TurnHook&>(hook_).unlink();
  unlink();
  owner_.on_incoming_closed(scope_, *connection_, reason);
  scope_.worker.loop.retire(std::unique_ptr<net::Retirable>(this));
}

}  // namespace outrigger::proxy
