#pragma once

// The connections of one worker to one endpoint over one wire, and the requests that wait for them.
// HTTP/1 connections are reused last in, first out (warm caches, and the least used ones become
// idle long enough to be closed). HTTP/2 connections are few: another one is opened when all carry
// `crowded` streams.
//
// The breaker limits the connections in use: an idle one returns its permit and asks for another
// with its next request. A pool may always have one in use, whatever the breaker says, so that no
// endpoint is unreachable because others are busy. Requests that wait because of the breaker
// continue when another pool of this worker needs less; every second the pool also checks what other
// workers leave.
//
//   Pool::Grant grant = pool.acquire(ticket);
//   grant.connection   -> open a stream on it now
//   grant.queued       -> ticket.on_pool_ready() or on_pool_failure() later, unless it is dropped
//   neither            -> the breaker refused: grant.overflow

#include <memory>
#include <string>

#include "base/intrusive_list.h"
#include "policy/breaker.h"
#include "upstream/client_connection.h"
#include "upstream/counters.h"

namespace outrigger::upstream {

enum class ConnectFailure : std::uint8_t {
  none,
  refused,
  timeout,
  handshake,
  overflow,
  wrong_version,  // the endpoint speaks HTTP/2, as its first bytes showed
};

// A place in the queue. Embedded in the waiter; its destructor or leave() gives the place up.
class Pool;

class PoolTicket : private ListLink<PoolTicket> {
 public:
  bool waiting() const { return pool_ != nullptr; }
  void leave();

  // A connection with capacity() > 0: open a stream on it now, or it goes to the next in the queue.
  virtual void on_pool_ready(ClientConnection& connection) = 0;
  virtual void on_pool_failure(ConnectFailure failure, const std::string& detail) = 0;

 protected:
  ~PoolTicket() { leave(); }

 private:
  friend class Pool;
  friend class IntrusiveList<PoolTicket>;
  Pool* pool_ = nullptr;
  policy::Permit permit_;  // for the breaker's pending requests, while it waits
};

class Pool final : private net::TurnHook, private policy::LimitWaiter {
 public:
  static constexpr std::size_t crowded = 32;
  static constexpr std::size_t http2_connections_max = 4;
  static constexpr Duration idle_timeout = seconds(60);

  Pool(ClientContext& context, const Connector& connector, policy::Breaker& breaker,
       const PoolCounters& counters, Gauge& open, const net::SocketAddress& address, Offer offer);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  struct Grant {
    ClientConnection* connection = nullptr;
    bool queued = false;
  };
  Grant acquire(PoolTicket& ticket);

  // Closes idle connections and lets busy ones finish; queued tickets are still served.
  void drain();
  std::size_t connections() const { return connection_count_; }
  // No connections and no waiting requests: may be destroyed.
  bool idle() const { return connection_count_ == 0 && waiting_.empty(); }

 private:
  friend class ClientConnection;
  friend class PoolTicket;
  using List = IntrusiveList<ClientConnection>;

  // Called by ClientConnection.
  void connection_ready(ClientConnection& connection);
  void connection_has_capacity(ClientConnection& connection);
  void connection_retiring(ClientConnection& connection);
  void connection_closed(ClientConnection& connection, ClientConnection::State before);

  void connection_was_no_use(const ClientConnection& connection, std::size_t itself);

  void on_turn_end() override;
  void on_permit_returned() override { context_.loop.at_turn_end(*this); }
  policy::Permit ask_breaker();
  void fail_at_once(int error, bool alive);
  ClientConnection* find_ready();
  bool put_to_work(ClientConnection& connection);
  void put_to_rest(ClientConnection& connection);
  void open_connection();
  bool may_open() const;
  void serve();
  void hand_out();
  void pass_on();
  std::size_t on_hand();
  void open_for_waiting();
  void fail_waiting(std::size_t count, ConnectFailure failure, const std::string& detail);
  void count_handshake(const ClientConnection& connection);
  void tell_failure(const ClientConnection& connection);
  void ticket_left(PoolTicket& ticket);
  PoolTicket& take_first_waiting();
  void sweep();

  ClientContext& context_;
  const Connector& connector_;
  policy::Breaker& breaker_;
  const PoolCounters counters_;
  Gauge& open_;  // connections, for the metrics; pools to the same endpoint share it
  const net::SocketAddress address_;
  const Offer offer_;
  enum class Speaks { unknown, http1, http2 } speaks_;
  // A connection is in exactly one of these.
  List connecting_;
  List idle_;     // HTTP/1, ready and unused: the most recently used at the front
  List sharing_;  // HTTP/2, ready
  List busy_;     // HTTP/1 in use, and whatever is retiring
  IntrusiveList<PoolTicket> waiting_;
  std::size_t waiting_count_ = 0;
  std::size_t connecting_count_ = 0;
  std::size_t connection_count_ = 0;
  std::size_t working_count_ = 0;  // connecting, or with a request
  std::size_t sharing_count_ = 0;
  bool draining_ = false;
  int connect_error_ = 0;  // of a connect that failed at once; reported at the end of the turn
  net::Timer sweep_timer_;
  TimePoint tell_again_at_{};
};

}  // namespace outrigger::upstream
