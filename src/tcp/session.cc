#include "tcp/session.h"

#include <algorithm>
#include <utility>

namespace outrigger::tcp {
namespace {

// Everything was said. After any other end (a reset, a broken record, a host that is gone) bytes
// may be missing.
bool is_whole(net::CloseReason reason) {
  return reason == net::CloseReason::finished || reason == net::CloseReason::peer_closed;
}

}  // namespace

Session::Session(net::Loop& loop, upstream::Cluster& cluster,
                 std::unique_ptr<net::Connection> downstream, Duration idle_timeout,
                 SessionOwner& owner, void* context)
    : loop_(loop),
      cluster_(cluster),
      owner_(owner),
      context_(context),
      idle_timeout_(idle_timeout),
      down_(*this),
      up_(*this),
      idle_timer_(net::Timer::to<&Session::on_idle>(*this)),
      started_at_(loop.now()),
      moved_at_(loop.now()),
      dialled_at_(loop.now()) {
  down_.connection = std::move(downstream);
}

Session::~Session() {
  abort();
}

void Session::start() {
  loop_.timers().arm(idle_timer_, idle_timeout_);
  if (down_.connection->open()) {
    down_.connection->set_handler(down_);
    opened(down_);
  } else {
    down_.connection->start(down_);
  }
}

void Session::opened(Side& side) {
  side.is_open = true;
  if (&side == &down_) return connect();
  moved_at_ = loop_.now();
  connected_after_ = std::max(moved_at_ - dialled_at_, Duration(1));
  report_.flag = Flag::none;  // of endpoints that did not answer
  if (down_.is_open) down_.connection->redeliver();
  // The client may have finished sending while we connected.
  if (down_.connection->input_ended() && down_.connection->kept_input().empty())
    up_.connection->end_output();
}

void Session::connect() {
  for (;;) {
    if (!permit_) permit_ = cluster_.breaker().connections.try_take();
    chosen_ = cluster_.choose(tried_);
    if (!chosen_) {
      if (report_.flag == Flag::none) report_.flag = Flag::UH;
      return down_.connection->kill(true);
    }
    // An endpoint may always have one, as in pools.
    if (!permit_ && chosen_.host->active.value() > 1) {
      report_endpoint(Outcome::Kind::cancelled);
      report_.flag = Flag::UO;
      return down_.connection->kill(true);
    }
    tried_.push_back(chosen_.identity);
    report_.endpoint = chosen_.host->name();
    ++report_.attempts;
    dialled_at_ = loop_.now();
    connected_after_ = {};
    int error = 0;
    auto retired = std::move(up_.connection);
    if (retired) loop_.retire(std::move(retired));
    up_.connection =
        cluster_.connector().connect(loop_, chosen_.host->address(), upstream::Offer::tcp, error);
    if (up_.connection) break;
    report_endpoint(Outcome::Kind::failed);
    report_.flag = Flag::UF;
    if (tried_.size() >= connect_tries) return down_.connection->kill(true);
  }
  cluster_.counters().connections.on_opened();
  counted_ = true;
  up_.connection->start(up_, true, cluster_.connector().connect_timeout);
}

inline void Session::count(Side& from, std::size_t bytes) {
  moved_at_ = loop_.now();
  (&from == &down_ ? report_.bytes_in : report_.bytes_out) += bytes;
  if (other(from).connection->above_high()) from.connection->pause_reading(true);
}

std::size_t Session::forward(Side& from, std::string_view bytes) {
  Side& to = other(from);
  if (!to.is_open) return 0;  // kept until the other side is there
  to.connection->write_through(bytes);
  count(from, bytes.size());
  if (from.connection->input_ended()) to.connection->end_output();
  return bytes.size();
}

bool Session::splice(Side& from, net::Channel& channel, net::IoResult& result) {
  // With TLS what the channel holds is not what is passed on.
  if (from.connection->secure() || !other(from).is_open ||
      !other(from).connection->splice_from(channel, result))
    return false;
  if (result.kind == net::IoResult::Kind::done) count(from, result.bytes);
  return true;
}

void Session::Side::on_drained() {
  session.other(*this).connection->pause_reading(false);
}

void Session::input_ended(Side& side) {
  Side& to = other(side);
  if (&side == &up_ && report_.bytes_out == 0 && !down_.connection->input_ended() &&
      loop_.now() - dialled_at_ <= connected_after_ + at_once) {
    report_.flag = Flag::UC;
    report_endpoint(Outcome::Kind::failed);
  }
  if (to.is_open && side.connection->kept_input().empty()) to.connection->end_output();
}

void Session::closed(Side& side, net::CloseReason reason) {
  const bool was_open = std::exchange(side.is_open, false);
  const bool cut = !is_whole(reason);
  const bool lost = cut && was_open && reason != net::CloseReason::aborted;
  if (&side == &up_) {
    left_endpoint(reason);
    if (!was_open) return upstream_failed(reason);
    report_endpoint(lost ? Outcome::Kind::failed : Outcome::Kind::answered);
    if (lost && report_.flag == Flag::none) report_.flag = Flag::UC;
  } else {
    report_.downstream_closed = reason;
    if (lost && report_.flag == Flag::none) report_.flag = Flag::DC;
  }
  Side& rest = other(side);
  if (!rest.connection || (!rest.is_open && (&rest == &down_ || !rest.connection->connecting())))
    return done();
  // What was cut short must look cut short.
  if (!rest.is_open || cut) {
    rest.connection->kill(true);
  } else {
    rest.connection->finish();
  }
}

void Session::count_upstream() {
  if (!counted_) return;
  cluster_.counters().count_bytes(*up_.connection);
  if (handshake_counted_ || !up_.is_open) return;
  if (report_.bytes_out == 0 && loop_.now() - dialled_at_ <= connected_after_ + at_once) return;
  cluster_.counters().count_handshake(*up_.connection, std::nullopt);
  handshake_counted_ = true;
}

void Session::left_endpoint(net::CloseReason reason) {
  counted_ = false;
  if (!std::exchange(handshake_counted_, false))
    cluster_.counters().count_handshake(*up_.connection, reason);
  cluster_.counters().count_end(*up_.connection, reason);
}

void Session::upstream_failed(net::CloseReason reason) {
  // That the client left meanwhile says nothing about the endpoint.
  report_endpoint(reason == net::CloseReason::aborted ? Outcome::Kind::cancelled
                                                      : Outcome::Kind::failed);
  if (!down_.is_open) return done();
  report_.flag = reason == net::CloseReason::connect_timeout ? Flag::UT : Flag::UF;
  if (tried_.size() >= connect_tries) return down_.connection->kill(true);
  connect();
}

void Session::report_endpoint(Outcome::Kind kind) {
  if (!chosen_) return;
  Outcome outcome;
  outcome.kind = kind;
  outcome.status = kind == Outcome::Kind::answered ? 200 : 0;
  // How fast it answers, not how long it is talked with.
  outcome.latency = connected_after_ > Duration(0) ? connected_after_ : loop_.now() - dialled_at_;
  cluster_.finished(chosen_, outcome);
  chosen_ = {};
}

void Session::on_idle() {
  const Duration quiet = loop_.now() - moved_at_;
  if (quiet < idle_timeout_) {
    loop_.timers().arm(idle_timer_, idle_timeout_ - quiet);
    return;
  }
  report_.flag = Flag::SI;
  down_.connection->kill(false);
}

void Session::abort() {
  if (finished_) return;
  finished_ = true;
  idle_timer_.cancel();
  if (down_.connection) down_.connection->abort(true);
  if (up_.connection) {
    if (counted_) left_endpoint(net::CloseReason::aborted);
    up_.connection->abort(true);
  }
  report_endpoint(Outcome::Kind::cancelled);
  permit_.release();
}

void Session::done() {
  if (finished_) return;
  report_.duration = loop_.now() - started_at_;
  abort();
  unlink();
  owner_.on_session_done(*this, report_);
  loop_.retire(std::unique_ptr<net::Retirable>(this));
}

}  // namespace outrigger::tcp
