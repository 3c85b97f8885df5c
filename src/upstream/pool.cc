#include "upstream/pool.h"

#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace outrigger::upstream {
namespace {

constexpr Duration sweep_interval = seconds(1);
constexpr Duration tell_interval = seconds(10);

// In TLS 1.3 this arrives after the handshake is over for us.
bool was_refused(const ClientConnection& connection) {
  const net::Transport* transport = connection.connection().transport();
  return transport != nullptr && connection.state() == ClientConnection::State::closed &&
         transport->failure() == net::TlsFailure::peer_refused;
}

std::string describe(const net::Connection& connection, net::CloseReason reason) {
  if (connection.transport() != nullptr &&
      (reason == net::CloseReason::handshake_failed || reason == net::CloseReason::tls_failed)) {
    std::string text = connection.transport()->failure_text();
    if (!text.empty()) return text;
  }
  if (connection.error() != 0) return std::strerror(connection.error());
  return net::to_string(reason);
}

ConnectFailure failure_of(net::CloseReason reason) {
  switch (reason) {
    case net::CloseReason::connect_timeout:
    case net::CloseReason::handshake_timeout:
      return ConnectFailure::timeout;
    case net::CloseReason::handshake_failed:
    case net::CloseReason::tls_failed:
      return ConnectFailure::handshake;
    default:
      return ConnectFailure::refused;
  }
}

}  // namespace

void PoolTicket::leave() {
  if (pool_ != nullptr) pool_->ticket_left(*this);
}

Pool::Pool(ClientContext& context, const Connector& connector, policy::Breaker& breaker,
           const PoolCounters& counters, Gauge& open, const net::SocketAddress& address,
           Offer offer)
    : context_(context),
      connector_(connector),
      breaker_(breaker),
      counters_(counters),
      open_(open),
      address_(address),
      offer_(offer),
      speaks_(offer == Offer::http1   ? Speaks::http1
              : offer == Offer::http2 ? Speaks::http2
                                      : Speaks::unknown),
      sweep_timer_(net::Timer::to<&Pool::sweep>(*this)) {}

Pool::~Pool() {
  check(waiting_.empty(), "a pool dies with requests waiting");
  for (List* list : {&connecting_, &idle_, &sharing_, &busy_}) {
    while (!list->empty()) {
      ClientConnection& connection = list->pop_front();
      counters_.count_end(*connection.connection_, net::CloseReason::aborted);
      open_.sub();
      connection.permit_.release();
      context_.loop.retire(std::unique_ptr<net::Retirable>(&connection));
    }
  }
}

Pool::Grant Pool::acquire(PoolTicket& ticket) {
  if (waiting_.empty()) {
    if (ClientConnection* ready = find_ready()) {
      counters_.pool.hits.add();
      return {ready, false};
    }
  }
  counters_.pool.misses.add();
  counters_.pool.pending.add();
  ticket.pool_ = this;
  waiting_.push_back(ticket);
  ++waiting_count_;
  // Behind a request that the breaker has refused, idle connections come first.
  if (LimitWaiter::refused() && !idle_.empty()) {
    context_.loop.at_turn_end(*this);
  } else {
    open_for_waiting();
  }
  // Requests that have a connection, or for which one is being opened, are bounded by the number of
  // connections; those beyond that are pending.
  if (waiting_count_ > on_hand() && connect_error_ == 0) {
    ticket.permit_ = breaker_.pending.try_take();
    if (!ticket.permit_ || connection_count_ == 0) {
      counters_.pool.overflows.add();
      ticket.leave();
      return {};
    }
  }
  return {nullptr, true};
}

ClientConnection* Pool::find_ready() {
  if (!idle_.empty() && put_to_work(idle_.front())) {
    ClientConnection& warmest = idle_.pop_front();
    busy_.push_back(warmest);
    return &warmest;
  }
  ClientConnection* least = nullptr;
  for (ClientConnection& connection : sharing_) {
    if (connection.capacity() == 0 || !put_to_work(connection)) continue;
    if (connection.open_streams() < crowded) return &connection;
    if (least == nullptr || connection.open_streams() < least->open_streams()) least = &connection;
  }
  // All are crowded: this request takes the least crowded one, later ones will find a new one.
  if (least != nullptr && connecting_count_ == 0 && may_open()) open_connection();
  return least;
}

policy::Permit Pool::ask_breaker() {
  policy::Permit permit = breaker_.connections.try_take();
  if (!permit && working_count_ > 0) breaker_.connections.wait(*this);
  return permit;
}

// False when the breaker allows no more and another connection of this pool is in use.
bool Pool::put_to_work(ClientConnection& connection) {
  if (connection.working_) return true;
  connection.permit_ = ask_breaker();
  if (!connection.permit_ && working_count_ > 0) return false;
  connection.working_ = true;
  ++working_count_;
  return true;
}

void Pool::put_to_rest(ClientConnection& connection) {
  if (!connection.working_) return;
  connection.working_ = false;
  --working_count_;
  connection.permit_.release();
}

bool Pool::may_open() const {
  if (draining_ && connection_count_ > 0) return false;
  if (speaks_ == Speaks::http1) return true;
  // The first connection shows which version is spoken; after that, HTTP/2 connections are opened
  // one at a time.
  if (connecting_count_ > 0) return false;
  return speaks_ == Speaks::unknown || sharing_count_ < http2_connections_max;
}

// How many of the waiting requests, at least, have a connection at the end of this turn or one that
// is being opened for them.
std::size_t Pool::on_hand() {
  std::size_t count = connecting_count_;
  if (LimitWaiter::refused()) return count;
  for (const ClientConnection& connection : sharing_) count += connection.capacity();
  for (auto at = idle_.begin(); at != idle_.end() && count < waiting_count_; ++at) ++count;
  return count;
}

void Pool::open_for_waiting() {
  for (std::size_t ready = on_hand(); ready < waiting_count_; ++ready) {
    if (connect_error_ != 0 || !may_open()) return;
    const std::size_t before = connecting_count_;
    open_connection();
    if (connecting_count_ == before) return;
  }
}

void Pool::open_connection() {
  policy::Permit permit = ask_breaker();
  if (!permit && working_count_ > 0) return;
  int error = 0;
  auto connection = connector_.connect(context_.loop, address_, offer_, error);
  if (!connection) {
    connect_error_ = error;
    context_.loop.at_turn_end(*this);
    return;
  }
  auto client = std::make_unique<ClientConnection>(*this, context_, std::move(connection), offer_,
                                                   std::move(permit));
  ++connecting_count_;
  ++connection_count_;
  open_.add();
  ++working_count_;
  counters_.connections.on_opened();
  if (!sweep_timer_.armed()) context_.loop.timers().arm(sweep_timer_, sweep_interval);
  // The lists own their connections: once removed from its last list, a connection is retired in
  // connection_closed().
  ClientConnection& started = *client.release();
  connecting_.push_back(started);
  started.start(connector_);
}

// For humans, and not for every connection during an outage.
void Pool::tell_failure(const ClientConnection& connection) {
  const TimePoint now = context_.loop.now();
  if (now < tell_again_at_) return;
  tell_again_at_ = now + tell_interval;
  log::warn("upstream", "cannot connect to an endpoint",
            {{"endpoint", address_.to_string()},
             {"why", describe(connection.connection(), connection.close_reason())}});
}

void Pool::count_handshake(const ClientConnection& connection) {
  const bool closed = connection.state() == ClientConnection::State::closed;
  counters_.count_handshake(connection.connection(),
                            closed ? std::optional(connection.close_reason()) : std::nullopt);
}

void Pool::connection_ready(ClientConnection& connection) {
  connection.unlink();
  --connecting_count_;
  if (connection.http2()) {
    speaks_ = Speaks::http2;
    sharing_.push_back(connection);
    ++sharing_count_;
  } else {
    speaks_ = Speaks::http1;
    idle_.push_front(connection);
  }
  put_to_rest(connection);
  if (draining_ && waiting_.empty()) connection.drain();
  // More may be needed now that the version is known.
  context_.loop.at_turn_end(*this);
}

void Pool::connection_has_capacity(ClientConnection& connection) {
  if (connection.open_streams() == 0) put_to_rest(connection);
  if (!connection.http2()) {
    connection.unlink();
    idle_.push_front(connection);
    counters_.count_bytes(*connection.connection_);
    if (draining_ && waiting_.empty()) return connection.drain();
  }
  if (!waiting_.empty()) context_.loop.at_turn_end(*this);
}

void Pool::connection_retiring(ClientConnection& connection) {
  if (connection.http2()) --sharing_count_;
  connection.unlink();
  busy_.push_back(connection);
  if (!connection.offered_) connection_was_no_use(connection, 1);
  if (!waiting_.empty()) context_.loop.at_turn_end(*this);
}

// The connection opened and ended before it could be used, like a connect that fails a little
// later. Waiters must be told: otherwise an endpoint that closes every connection would be dialled
// forever.
void Pool::connection_was_no_use(const ClientConnection& connection, std::size_t itself) {
  const bool alive = connection_count_ > connecting_count_ + itself;
  ConnectFailure why = ConnectFailure::refused;
  if (connection.codec_ != nullptr && connection.codec_->met_http2())
    why = ConnectFailure::wrong_version;
  if (was_refused(connection)) why = ConnectFailure::handshake;
  fail_waiting(alive ? 1 : waiting_count_, why,
               connection.state() == ClientConnection::State::closed
                   ? describe(connection.connection(), connection.close_reason())
                   : "closed before it took a request");
}

void Pool::connection_closed(ClientConnection& connection, ClientConnection::State before) {
  const bool was_connecting = before == ClientConnection::State::connecting;
  if (was_connecting) --connecting_count_;
  if (before == ClientConnection::State::ready && connection.http2()) --sharing_count_;
  connection.unlink();
  --connection_count_;
  open_.sub();
  counters_.count_end(*connection.connection_, connection.close_reason());
  if (log::enabled("upstream", log::Level::debug)) {
    log::debug("upstream", "a connection to an endpoint was closed",
               {{"endpoint", address_.to_string()},
                {"why", net::to_string(connection.close_reason())},
                {"requests", std::to_string(connection.streams_opened())}});
  }
  put_to_rest(connection);
  context_.loop.retire(std::unique_ptr<net::Retirable>(&connection));
  if (!connection.accepted_) count_handshake(connection);
  if (was_refused(connection)) tell_failure(connection);
  if (was_connecting) {
    const ConnectFailure failure = failure_of(connection.close_reason());
    // Otherwise the pool has abandoned it.
    if (connection.close_reason() != net::CloseReason::aborted) tell_failure(connection);
    // If others are established, the endpoint is alive: only one waiter pays for this failure.
    const bool alive = connection_count_ > connecting_count_;
    fail_waiting(alive ? 1 : waiting_count_, failure,
                 describe(connection.connection(), connection.close_reason()));
  } else if (before == ClientConnection::State::ready && !connection.offered_) {
    connection_was_no_use(connection, 0);
  }
  if (!waiting_.empty()) context_.loop.at_turn_end(*this);
}

void Pool::on_turn_end() {
  if (connect_error_ == 0) return serve();
  // Where others are established, their end is waited for.
  const bool alive = connection_count_ > connecting_count_;
  fail_at_once(std::exchange(connect_error_, 0), alive);
  if (!alive) return serve();
  hand_out();
  pass_on();
}

// The oldest waiters, whose connections are being opened, are not affected, and if other
// connections are established, only one waiter fails. A waiter that queues here again when notified
// is not notified twice.
void Pool::fail_at_once(int error, bool alive) {
  if (waiting_count_ <= connecting_count_) return;
  std::size_t count = alive ? 1 : waiting_count_ - connecting_count_;
  IntrusiveList<PoolTicket> unlucky;
  for (; count > 0; --count) unlucky.push_front(waiting_.pop_back());
  while (!unlucky.empty()) {
    PoolTicket& ticket = unlucky.front();
    ticket_left(ticket);
    ticket.on_pool_failure(ConnectFailure::refused, std::strerror(error));
  }
}

void Pool::serve() {
  hand_out();
  open_for_waiting();
  pass_on();
}

void Pool::hand_out() {
  LimitWaiter::stop_waiting();  // unless the breaker refuses again
  while (!waiting_.empty()) {
    ClientConnection* ready = find_ready();
    if (ready == nullptr) break;
    take_first_waiting().on_pool_ready(*ready);
    if (ready->open_streams() == 0 && ready->state() == ClientConnection::State::ready) {
      // The waiter no longer wanted it.
      connection_has_capacity(*ready);
    }
  }
}

// Connections that are unused now were not needed, so that their end will say nothing about the
// endpoint. Other pools that wait for the breaker may have what is left.
void Pool::pass_on() {
  for (ClientConnection& connection : idle_) {
    if (std::exchange(connection.offered_, true)) break;
  }
  for (ClientConnection& connection : sharing_) connection.offered_ = true;
  if (!LimitWaiter::refused()) breaker_.connections.wake_next();
}

PoolTicket& Pool::take_first_waiting() {
  PoolTicket& ticket = waiting_.front();
  ticket_left(ticket);
  return ticket;
}

void Pool::ticket_left(PoolTicket& ticket) {
  static_cast<ListLink<PoolTicket>&>(ticket).unlink();
  ticket.pool_ = nullptr;
  --waiting_count_;
  if (waiting_count_ == 0) LimitWaiter::stop_waiting();
  counters_.pool.pending.sub();
  ticket.permit_.release();
}

void Pool::fail_waiting(std::size_t count, ConnectFailure failure, const std::string& detail) {
  // A failed waiter may queue here again; only those that wait now are notified.
  for (; count > 0 && !waiting_.empty(); --count)
    take_first_waiting().on_pool_failure(failure, detail);
}

void Pool::drain() {
  draining_ = true;
  if (!waiting_.empty()) return;
  for (List* list : {&idle_, &sharing_, &connecting_}) {
    List draining;
    draining.take_all(*list);
    while (!draining.empty()) {
      ClientConnection& connection = draining.pop_front();
      list->push_back(connection);
      connection.drain();
    }
  }
}

void Pool::sweep() {
  // Those at rest have been counted when they came to rest.
  for (List* list : {&connecting_, &sharing_, &busy_}) {
    for (ClientConnection& connection : *list) counters_.count_bytes(*connection.connection_);
  }
  const TimePoint oldest = context_.loop.now() - idle_timeout;
  // The HTTP/1 connections idle the longest are at the back.
  while (!idle_.empty() && idle_.back().idle_since() <= oldest) {
    ClientConnection& connection = idle_.pop_back();
    busy_.push_back(connection);
    connection.drain();
  }
  List unused;
  for (auto at = sharing_.begin(); at != sharing_.end();) {
    ClientConnection& connection = *at;
    ++at;
    if (connection.open_streams() > 0 || connection.idle_since() > oldest) continue;
    connection.unlink();
    unused.push_back(connection);
  }
  while (!unused.empty()) {
    ClientConnection& connection = unused.pop_front();
    sharing_.push_back(connection);
    connection.drain();
  }
  if (!waiting_.empty()) context_.loop.at_turn_end(*this);
  if (connection_count_ > 0) context_.loop.timers().arm(sweep_timer_, sweep_interval);
}

}  // namespace outrigger::upstream
