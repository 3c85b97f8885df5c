// A pool and its client connections against endpoints in memory.

#include "upstream/pool.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "support/proxy_world.h"

namespace outrigger::upstream {
namespace {

using test::ManualLoop;
using test::MemoryChannel;
using test::Peer;
using Sink = http::fakes::RecordingSink;

// A caller with one request: takes what it is given and records what it is told.
struct Caller final : PoolTicket {
  ~Caller() { give_up(); }
  void on_pool_ready(ClientConnection& c) override {
    ++told;
    if (wants) take(c);
  }
  void on_pool_failure(ConnectFailure why, const std::string& d) override {
    ++told;
    failure = why;
    detail = d;
    if (on_failure) on_failure();
  }
  void take(ClientConnection& c) {
    connection = &c;
    stream = &c.open_stream(sink);
    sink.reset_hook = [this](http::StreamEnd) { stream = nullptr; };
    BlockPool blocks;
    Arena arena(blocks);
    http::Head head(arena);
    head.method = http::Method::get;
    head.method_text = "GET";
    head.scheme = "http";
    head.authority = "orders";
    head.path = "/";
    stream->send_head(head, true);
  }
  void give_up() {
    if (stream != nullptr && !sink.over()) stream->reset(http::StreamEnd::local);
    stream = nullptr;
  }

  Sink sink;
  http::Stream* stream = nullptr;
  ClientConnection* connection = nullptr;
  ConnectFailure failure = ConnectFailure::none;
  std::string detail;
  int told = 0;
  bool wants = true;
  bool overflow = false;
  std::function<void()> on_failure;
};

struct PoolTest : testing::Test {
  void make(Offer offer, config::Breaker limits = {}) {
    shared.emplace(limits, 1U);
    breaker.emplace(*shared);
    connector.channel = [this](net::Loop&, const net::SocketAddress&, int& error) {
      return dial(error);
    };
    pool = std::make_unique<Pool>(context, connector, *breaker, counters, open,
                                  net::SocketAddress::ip("10.0.0.1", 80), offer);
  }
  ~PoolTest() override {
    callers.clear();
    if (pool) {
      for (auto& peer : peers) peer->reset();
      loop.settle();
      EXPECT_TRUE(pool->idle());
      EXPECT_EQ(breaker->connections.used(), 0U);
      EXPECT_EQ(breaker->pending.used(), 0U);
      EXPECT_EQ(pool_cells.pending.value(), 0);
      EXPECT_EQ(connection_cells.active.value(), 0);
      EXPECT_EQ(open.value(), 0);
    }
    pool.reset();
    peers.clear();
    loop.settle();
  }

  std::unique_ptr<net::Channel> dial(int& error) {
    ++dialled;
    if (at_once != 0) {
      error = at_once;
      return nullptr;
    }
    auto [ours, theirs] = MemoryChannel::make(loop);
    ours->connect_error = connect_error;
    if (connect_error == 0) {
      peers.push_back(std::make_unique<Peer>(peer_context, std::move(theirs), speaks));
      peers.back()->start();
      if (on_accept) on_accept(*peers.back());
    }
    return std::move(ours);
  }

  // A request arrives; the connection it gets is used at once, as an exchange does.
  Caller& call() {
    Caller& caller = ask();
    if (caller.connection == nullptr) loop.settle();
    return caller;
  }
  Caller& ask() {
    callers.push_back(std::make_unique<Caller>());
    Caller& caller = *callers.back();
    const Pool::Grant grant = pool->acquire(caller);
    if (grant.connection != nullptr) {
      caller.take(*grant.connection);
      loop.settle();
    }
    caller.overflow = grant.connection == nullptr && !grant.queued;
    return caller;
  }
  // The endpoint responds to every request it has.
  void answer_all() {
    loop.settle();
    for (auto& peer : peers) {
      for (auto& sink : peer->server.sinks) {
        if (sink->ended && !sink->was_reset && answered.insert(sink.get()).second)
          peer->answer(*sink, 204);
      }
    }
    loop.settle();
    for (auto& caller : callers) {
      if (caller->sink.ended) caller->stream = nullptr;
    }
  }

  ManualLoop loop;
  http::H2Memory h2_memory;
  http::CodecCounters codec_counters;
  ClientContext context{loop, h2_memory, codec_counters, {}};
  ConnectionCells connection_cells;
  TlsCells tls_cells;
  PoolCells pool_cells;
  Gauge open;
  PoolCounters counters{connection_cells, tls_cells, pool_cells};
  Connector connector;
  std::optional<policy::SharedBreaker> shared;
  std::optional<policy::Breaker> breaker;
  Peer::Context peer_context{loop};
  Peer::Speaks speaks = Peer::Speaks::h1_server;
  int dialled = 0;
  int at_once = 0;
  int connect_error = 0;
  std::function<void(Peer&)> on_accept;
  std::deque<std::unique_ptr<Peer>> peers;
  std::unique_ptr<Pool> pool;
  std::deque<std::unique_ptr<Caller>> callers;
  std::set<Sink*> answered;
};

struct PoolHttp2Spare : PoolTest {
  PoolHttp2Spare() { speaks = Peer::Speaks::h2_server; }
};

// --- HTTP/1 --------------------------------------------------------------------------------------

TEST_F(PoolTest, a_first_request_waits_for_a_connection_and_gets_it) {
  make(Offer::http1);
  Caller& caller = ask();
  EXPECT_TRUE(caller.waiting());
  EXPECT_FALSE(caller.overflow);
  EXPECT_EQ(pool_cells.pending.value(), 1);
  loop.settle();
  EXPECT_EQ(caller.told, 1);
  EXPECT_FALSE(caller.waiting());
  EXPECT_EQ(peers[0]->server.sinks.size(), 1U);
  answer_all();
  EXPECT_EQ(caller.sink.status, 204);
  EXPECT_EQ(pool_cells.misses.value(), 1U);
  EXPECT_EQ(breaker->pending.used(), 0U)
      << "a request whose connection is on its way is not pending";
}

TEST_F(PoolTest, the_connection_used_last_is_used_next) {
  make(Offer::http1);
  Caller& first = call();
  Caller& second = call();
  ASSERT_EQ(dialled, 2);
  ASSERT_NE(first.connection, second.connection);
  ClientConnection* cold = first.connection;
  ClientConnection* warm = second.connection;
  answer_all();  // the first one's response, then the second one's
  for (int i = 0; i < 5; ++i) {
    Caller& next = call();
    EXPECT_EQ(next.connection, warm);
    EXPECT_EQ(next.connection->streams_opened(), static_cast<std::uint64_t>(i + 2));
    answer_all();
  }
  Caller& one = call();
  Caller& two = call();
  EXPECT_EQ(one.connection, warm);
  EXPECT_EQ(two.connection, cold) << "the other one when the warmest is taken";
  EXPECT_EQ(dialled, 2);
}

TEST_F(PoolTest, each_http1_request_has_a_connection_of_its_own) {
  make(Offer::http1);
  for (int i = 0; i < 10; ++i) ask();
  loop.settle();
  EXPECT_EQ(dialled, 10);
  for (auto& peer : peers) EXPECT_EQ(peer->server.sinks.size(), 1U);
  EXPECT_EQ(pool->connections(), 10U);
}

TEST_F(PoolTest, an_answer_that_says_close_ends_the_connection) {
  make(Offer::http1);
  call();
  loop.settle();
  peers[0]->answer(peers[0]->server.last(), 200, "x", {{"connection", "close"}});
  loop.settle();
  EXPECT_TRUE(callers[0]->sink.ended);
  peers[0]->finish();
  loop.settle();
  EXPECT_EQ(pool->connections(), 0U);
  call();
  EXPECT_EQ(dialled, 2);
}

TEST_F(PoolTest, idle_connections_are_swept_the_coldest_first) {
  make(Offer::http1);
  call();
  call();
  answer_all();
  loop.advance(Pool::idle_timeout - seconds(15));
  call();  // keeps one of the two warm
  answer_all();
  EXPECT_EQ(pool->connections(), 2U);
  loop.advance(seconds(30));
  EXPECT_EQ(pool->connections(), 1U);
  loop.advance(Pool::idle_timeout + seconds(30));
  EXPECT_EQ(pool->connections(), 0U);
}

TEST_F(PoolTest, a_connection_in_use_is_not_swept) {
  make(Offer::http1);
  Caller& caller = call();
  loop.advance(Pool::idle_timeout * 3);
  EXPECT_EQ(pool->connections(), 1U);
  answer_all();
  EXPECT_EQ(caller.sink.status, 204);
}

TEST_F(PoolTest, an_endpoint_that_closes_an_idle_connection_costs_nobody_a_request) {
  make(Offer::http1);
  call();
  answer_all();
  peers[0]->finish();
  loop.settle();
  EXPECT_EQ(pool->connections(), 0U);
  Caller& caller = call();
  answer_all();
  EXPECT_EQ(caller.sink.status, 204);
}

// --- Queueing and the breaker --------------------------------------------------------------------

TEST_F(PoolTest, who_waits_is_served_in_the_order_of_asking) {
  config::Breaker limits;
  limits.connections = 1;
  make(Offer::http1, limits);
  call();
  std::vector<Caller*> waiting;
  for (int i = 0; i < 5; ++i) waiting.push_back(&ask());
  EXPECT_EQ(pool_cells.pending.value(), 5);
  EXPECT_EQ(breaker->pending.used(), 5U);
  for (std::size_t i = 0; i < waiting.size(); ++i) {
    answer_all();
    for (std::size_t j = 0; j < waiting.size(); ++j)
      EXPECT_EQ(waiting[j]->connection != nullptr, j <= i) << i << " " << j;
  }
  EXPECT_EQ(dialled, 1);
  EXPECT_EQ(breaker->pending.used(), 0U);
}

TEST_F(PoolTest, beyond_the_pending_limit_a_request_is_turned_away) {
  config::Breaker limits;
  limits.connections = 1;
  limits.pending = 2;
  make(Offer::http1, limits);
  call();
  EXPECT_FALSE(ask().overflow);
  EXPECT_FALSE(ask().overflow);
  Caller& third = ask();
  EXPECT_TRUE(third.overflow);
  EXPECT_FALSE(third.waiting());
  EXPECT_EQ(third.told, 0);
  EXPECT_EQ(pool_cells.pending.value(), 2);
  EXPECT_GE(pool_cells.overflows.value(), 1U);
}

TEST_F(PoolTest, an_endpoint_may_have_a_connection_though_others_hold_all_that_the_breaker_allows) {
  config::Breaker limits;
  limits.connections = 1;
  make(Offer::http1, limits);
  policy::Permit elsewhere = breaker->connections.try_take();  // held by another endpoint
  EXPECT_NE(call().connection, nullptr);
  Caller& second = ask();  // one is enough: this one waits for it
  EXPECT_FALSE(second.overflow);
  loop.settle();
  EXPECT_EQ(dialled, 1);
  answer_all();
  EXPECT_NE(second.connection, nullptr);
  elsewhere.release();
}

TEST_F(PoolTest, connections_at_rest_take_nothing_of_what_the_breaker_allows) {
  config::Breaker limits;
  limits.connections = 2;
  make(Offer::http1, limits);
  call();
  call();
  EXPECT_EQ(breaker->connections.used(), 2U);
  answer_all();
  EXPECT_EQ(pool->connections(), 2U);
  EXPECT_EQ(breaker->connections.used(), 0U);
  call();
  EXPECT_EQ(dialled, 2);
  EXPECT_EQ(breaker->connections.used(), 1U);
}

// Another endpoint's connection has become idle: this pool need not wait for one of its own.
TEST_F(PoolTest, who_waits_for_the_breaker_goes_on_when_another_pool_needs_less) {
  for (const bool at_rest : {false, true}) {
    config::Breaker limits;
    limits.connections = 2;
    make(Offer::http1, limits);
    if (at_rest) {
      call();
      call();
      answer_all();
    }
    policy::Permit elsewhere = breaker->connections.try_take();
    call();
    Caller& waits = call();
    Caller& also_waits = call();
    EXPECT_EQ(waits.connection, nullptr);
    elsewhere.release();
    loop.settle();
    EXPECT_NE(waits.connection, nullptr) << at_rest;
    EXPECT_EQ(also_waits.connection, nullptr) << at_rest;
    answer_all();
    EXPECT_NE(also_waits.connection, nullptr) << at_rest;
    answer_all();
    callers.clear();
    for (auto& peer : peers) peer->finish();
    loop.settle();
    pool.reset();
    peers.clear();
    answered.clear();
    breaker.reset();
  }
}

// The other workers' pools do not notify this one.
TEST_F(PoolTest, who_waits_for_the_breaker_looks_again_in_the_end) {
  config::Breaker limits;
  limits.connections = 2;
  make(Offer::http1, limits);
  policy::Breaker other_worker(*shared);
  policy::Permit elsewhere = other_worker.connections.try_take();
  call();
  Caller& waits = call();
  elsewhere.release();
  loop.settle();
  EXPECT_EQ(waits.connection, nullptr);
  loop.advance(seconds(11));
  EXPECT_NE(waits.connection, nullptr);
  answer_all();
}

// Its surplus request has gone, and the other's connection is on its way.
TEST_F(PoolTest, a_pool_that_needs_no_more_passes_the_permit_on) {
  config::Breaker limits;
  limits.connections = 1;
  make(Offer::http1, limits);
  policy::Permit elsewhere = breaker->connections.try_take();
  Pool other(context, connector, *breaker, counters, open, net::SocketAddress::ip("10.0.0.2", 80),
             Offer::http1);
  Caller first;
  Caller second;
  ASSERT_TRUE(other.acquire(first).queued);
  loop.settle();
  ASSERT_NE(first.connection, nullptr);
  connect_error = EINPROGRESS;
  Caller& slow = ask();
  Caller& surplus = ask();
  surplus.leave();
  connect_error = 0;
  ASSERT_TRUE(other.acquire(second).queued);
  loop.settle();
  EXPECT_EQ(second.connection, nullptr);
  elsewhere.release();
  loop.settle();
  EXPECT_NE(second.connection, nullptr);
  slow.leave();
  pool->drain();
  first.give_up();
  second.give_up();
  for (auto& peer : peers) peer->reset();
  loop.settle();
}

// Nothing is pending where each has a connection: not even in the turn in which one is ready.
TEST(PoolPending, is_not_asked_for_while_connections_may_be_opened) {
  for (int turns = 0; turns < 8; ++turns) {
    test::ProxyWorld world;
    config::Service& service = world.add_service("orders", 1);
    service.breaker.pending = 0;
    service.retry.max = 0;
    world.start();
    constexpr std::string_view get = "GET / HTTP/1.1\r\nhost: orders\r\n\r\n";
    Peer& one = world.connect();
    Peer& two = world.connect();
    world.settle();
    one.send(get);
    for (int i = 0; i < turns; ++i) world.loop.turn();
    two.send(get);
    world.settle();
    EXPECT_TRUE(one.take().starts_with("HTTP/1.1 200")) << turns;
    EXPECT_TRUE(two.take().starts_with("HTTP/1.1 200")) << turns;
    world.expect_quiet();
  }
}

TEST_F(PoolTest, a_request_behind_one_that_waits_takes_an_idle_connection_before_a_new_one) {
  config::Breaker limits;
  limits.connections = 2;
  make(Offer::http1, limits);
  policy::Breaker other_worker(*shared);
  call();
  call();
  answer_all();
  ASSERT_EQ(dialled, 2);
  policy::Permit elsewhere = other_worker.connections.try_take();
  call();
  Caller& waits = call();
  EXPECT_EQ(waits.connection, nullptr);
  elsewhere.release();
  call();
  EXPECT_NE(waits.connection, nullptr);
  EXPECT_EQ(dialled, 2);
  answer_all();
}

TEST_F(PoolTest, connections_come_back_from_rest_only_as_the_breaker_allows) {
  config::Breaker limits;
  limits.connections = 2;
  make(Offer::http1, limits);
  call();
  call();
  answer_all();
  policy::Permit elsewhere = breaker->connections.try_take();
  EXPECT_NE(call().connection, nullptr);
  Caller& waits = ask();
  EXPECT_EQ(waits.connection, nullptr);
  EXPECT_FALSE(waits.overflow);
  answer_all();
  EXPECT_NE(waits.connection, nullptr);
  elsewhere.release();
}

TEST_F(PoolTest, a_ticket_that_is_dropped_is_forgotten) {
  config::Breaker limits;
  limits.connections = 1;
  make(Offer::http1, limits);
  call();
  Caller& gone = ask();
  Caller& stays = ask();
  gone.leave();
  EXPECT_FALSE(gone.waiting());
  EXPECT_EQ(pool_cells.pending.value(), 1);
  EXPECT_EQ(breaker->pending.used(), 1U);
  answer_all();
  EXPECT_EQ(gone.told, 0);
  EXPECT_NE(stays.connection, nullptr);
}

TEST_F(PoolTest, a_connection_that_nobody_waits_for_any_more_is_kept) {
  make(Offer::http1);
  ask().leave();
  loop.settle();
  EXPECT_EQ(pool->connections(), 1U);
  Caller& next = ask();
  EXPECT_NE(next.connection, nullptr) << "at once";
  EXPECT_EQ(dialled, 1);
}

TEST_F(PoolTest, what_a_waiter_does_not_want_goes_to_the_next) {
  config::Breaker limits;
  limits.connections = 1;
  make(Offer::http1, limits);
  call();
  Caller& unwilling = ask();
  unwilling.wants = false;
  Caller& next = ask();
  answer_all();
  EXPECT_EQ(unwilling.told, 1);
  EXPECT_NE(next.connection, nullptr);
  EXPECT_EQ(pool->connections(), 1U);
}

// --- Failure to connect --------------------------------------------------------------------------

TEST_F(PoolTest, when_nothing_connects_everybody_hears) {
  make(Offer::http1);
  connect_error = ECONNREFUSED;
  for (int i = 0; i < 3; ++i) ask();
  loop.settle();
  for (auto& caller : callers) {
    EXPECT_EQ(caller->told, 1);
    EXPECT_EQ(caller->failure, ConnectFailure::refused);
    EXPECT_EQ(caller->detail, "Connection refused");
  }
  EXPECT_EQ(pool->connections(), 0U);
}

TEST_F(PoolTest, with_others_open_one_failure_is_one_waiters) {
  make(Offer::http1);
  call();
  connect_error = ECONNREFUSED;
  Caller& first = ask();
  Caller& second = ask();
  connect_error = 0;
  Caller& third = ask();
  loop.settle();
  EXPECT_EQ(first.failure, ConnectFailure::refused);
  EXPECT_EQ(second.failure, ConnectFailure::refused);
  EXPECT_EQ(third.failure, ConnectFailure::none);
  EXPECT_NE(third.connection, nullptr);
}

TEST_F(PoolTest, a_connect_that_fails_at_once_is_told_later_all_the_same) {
  make(Offer::http1);
  at_once = EADDRNOTAVAIL;
  Caller& caller = ask();
  EXPECT_EQ(caller.told, 0) << "never inside acquire()";
  EXPECT_TRUE(caller.waiting());
  loop.settle();
  EXPECT_EQ(caller.told, 1);
  EXPECT_EQ(caller.detail, "Cannot assign requested address");
}

TEST_F(PoolTest, a_connect_that_fails_at_once_is_not_the_fault_of_those_under_way) {
  make(Offer::http1);
  Caller& under_way = ask();
  at_once = EMFILE;
  Caller& unlucky = ask();
  loop.settle();
  EXPECT_EQ(under_way.failure, ConnectFailure::none) << under_way.detail;
  EXPECT_NE(under_way.connection, nullptr);
  EXPECT_TRUE(unlucky.failure == ConnectFailure::refused || unlucky.connection != nullptr);
}

// The endpoint has closed what nobody used: that says nothing about the others.
TEST_F(PoolTest, a_spare_connection_that_ends_does_not_fail_who_waits_for_the_breaker) {
  config::Breaker limits;
  limits.connections = 2;
  make(Offer::http1, limits);
  Caller& first = ask();
  Caller& second = ask();
  first.leave();
  second.leave();
  loop.settle();
  ASSERT_EQ(pool->connections(), 2U);
  policy::Permit elsewhere = breaker->connections.try_take();
  call();
  Caller& waits = call();
  ASSERT_EQ(waits.told, 0);
  for (auto& peer : peers) {
    if (peer->server.sinks.empty()) peer->finish();
  }
  loop.settle();
  EXPECT_EQ(waits.failure, ConnectFailure::none) << waits.detail;
  answer_all();
  EXPECT_NE(waits.connection, nullptr);
  elsewhere.release();
}

TEST_F(PoolTest, a_connect_that_fails_at_once_fails_one_if_others_are_open) {
  make(Offer::http1);
  call();
  at_once = EMFILE;
  Caller& first = ask();
  Caller& second = ask();
  Caller& third = ask();
  loop.settle();
  EXPECT_EQ(first.told + second.told + third.told, 1);
  at_once = 0;
  answer_all();
  answer_all();
  EXPECT_NE(first.connection, nullptr);
  EXPECT_NE(second.connection, nullptr);
  answer_all();
}

TEST_F(PoolHttp2Spare, that_is_swept_fails_nobody) {
  config::Breaker limits;
  limits.connections = 2;
  make(Offer::http2, limits);
  peer_context.limits.streams = 40;
  for (int i = 0; i < 33; ++i) call();
  ASSERT_EQ(dialled, 2) << "a second connection, which nobody has used";
  policy::Permit elsewhere = breaker->connections.try_take();
  loop.advance(seconds(55));
  std::vector<Caller*> more;
  for (int i = 0; i < 8; ++i) more.push_back(&call());
  EXPECT_TRUE(more.back()->waiting());
  loop.advance(seconds(20));
  for (const Caller* caller : more)
    EXPECT_EQ(caller->failure, ConnectFailure::none) << caller->detail;
  answer_all();
  elsewhere.release();
}

TEST_F(PoolTest, a_connect_without_an_answer_times_out) {
  make(Offer::http1);
  connector.connect_timeout = milliseconds(500);
  connect_error = EINPROGRESS;
  Caller& caller = call();
  loop.advance(milliseconds(490));
  EXPECT_EQ(caller.told, 0);
  loop.advance(milliseconds(20));
  EXPECT_EQ(caller.failure, ConnectFailure::timeout);
}

TEST_F(PoolTest, who_asks_again_when_told_of_a_failure_is_not_told_twice) {
  make(Offer::http1);
  connect_error = ECONNREFUSED;
  Caller& caller = ask();
  caller.on_failure = [&] {
    connect_error = 0;
    EXPECT_TRUE(pool->acquire(caller).queued);
  };
  loop.settle();
  EXPECT_EQ(caller.told, 2);
  EXPECT_NE(caller.connection, nullptr);
}

// Otherwise a waiter would be connected and disconnected forever.
struct PoolUseless : PoolTest, testing::WithParamInterface<std::tuple<Peer::Speaks, bool>> {};
INSTANTIATE_TEST_SUITE_P(, PoolUseless,
                         testing::Combine(testing::Values(Peer::Speaks::h1_server,
                                                          Peer::Speaks::h2_server),
                                          testing::Bool()));

TEST_P(PoolUseless, an_endpoint_that_closes_whatever_it_accepts_is_told_of) {
  const auto [kind, reset] = GetParam();
  speaks = kind;
  make(kind == Peer::Speaks::h2_server ? Offer::http2 : Offer::http1);
  on_accept = [by_reset = reset](Peer& peer) { by_reset ? peer.reset() : peer.finish(); };
  Caller& first = ask();
  Caller& second = ask();
  loop.settle();
  for (Caller* caller : {&first, &second}) {
    EXPECT_FALSE(caller->overflow);
    EXPECT_EQ(caller->told, 1);
    EXPECT_EQ(caller->failure, ConnectFailure::refused);
    EXPECT_NE(caller->detail, "");
    EXPECT_EQ(caller->connection, nullptr);
  }
  EXPECT_LE(dialled, 2);
}

TEST_F(PoolTest, an_endpoint_that_retires_what_it_accepts_is_told_of) {
  speaks = Peer::Speaks::h2_server;
  make(Offer::http2);
  on_accept = [](Peer& peer) { peer.drain(); };
  Caller& caller = ask();
  loop.settle();
  EXPECT_EQ(caller.told, 1);
  EXPECT_LE(dialled, 1);
}

// --- HTTP/2 --------------------------------------------------------------------------------------

struct PoolHttp2 : PoolTest {
  PoolHttp2() { speaks = Peer::Speaks::h2_server; }
};

TEST_F(PoolHttp2, requests_share_one_connection) {
  make(Offer::http2);
  for (int i = 0; i < 20; ++i) ask();
  loop.settle();
  EXPECT_EQ(dialled, 1);
  EXPECT_EQ(peers[0]->server.sinks.size(), 20U);
  answer_all();
  for (auto& caller : callers) EXPECT_EQ(caller->sink.status, 204);
}

TEST_F(PoolHttp2, a_crowded_connection_gets_another_beside_it) {
  make(Offer::http2);
  for (std::size_t i = 0; i < Pool::crowded; ++i) call();
  EXPECT_EQ(dialled, 1);
  Caller& over = call();
  EXPECT_EQ(over.connection, callers[0]->connection) << "it does not wait for the other one";
  EXPECT_EQ(dialled, 2);
  loop.settle();
  Caller& next = call();
  EXPECT_NE(next.connection, callers[0]->connection);
  EXPECT_EQ(dialled, 2);
}

TEST_F(PoolHttp2, there_are_only_so_many_connections) {
  context.limits.streams = 40;
  peer_context.limits.streams = 40;
  make(Offer::http2);
  for (std::size_t i = 0; i < 40 * Pool::http2_connections_max; ++i) call();
  EXPECT_EQ(pool->connections(), Pool::http2_connections_max);
  Caller& waits = call();
  EXPECT_TRUE(waits.waiting()) << "all full: it waits, and is bounded by the breaker";
  EXPECT_EQ(breaker->pending.used(), 1U);
  answer_all();
  EXPECT_FALSE(waits.waiting());
  EXPECT_EQ(dialled, static_cast<int>(Pool::http2_connections_max));
}

TEST_F(PoolHttp2, the_peers_own_limit_on_streams_is_kept) {
  peer_context.limits.streams = 3;
  make(Offer::http2);
  call();
  for (int i = 0; i < 3 * 4 + 2; ++i) call();
  std::size_t most = 0;
  for (auto& peer : peers) most = std::max(most, peer->server.sinks.size());
  EXPECT_EQ(most, 3U);
  EXPECT_EQ(pool_cells.pending.value(), 3);
  answer_all();
  answer_all();
  for (auto& caller : callers) EXPECT_EQ(caller->sink.status, 204);
}

TEST_F(PoolHttp2, goaway_retires_a_connection_and_its_streams_go_on) {
  make(Offer::http2);
  Caller& old = call();
  peers[0]->drain();
  loop.settle();
  EXPECT_EQ(old.connection->state(), ClientConnection::State::retiring);
  Caller& fresh = call();
  EXPECT_EQ(dialled, 2);
  EXPECT_NE(fresh.connection, old.connection);
  answer_all();
  EXPECT_EQ(old.sink.status, 204);
  EXPECT_EQ(fresh.sink.status, 204);
  EXPECT_EQ(pool->connections(), 1U) << "the retired one has gone with its last stream";
}

TEST_F(PoolHttp2, who_waits_when_the_only_connection_retires_gets_a_new_one) {
  peer_context.limits.streams = 1;
  config::Breaker limits;
  limits.connections = 2;
  make(Offer::http2, limits);
  call();
  call();
  Caller& waits = call();
  ASSERT_TRUE(waits.waiting());
  peers[0]->drain();
  loop.settle();
  EXPECT_TRUE(waits.waiting()) << "the breaker allows no third";
  answer_all();
  EXPECT_FALSE(waits.waiting());
}

TEST_F(PoolHttp2, a_connection_without_streams_takes_nothing_of_what_the_breaker_allows) {
  make(Offer::http2);
  call();
  call();
  EXPECT_EQ(breaker->connections.used(), 1U);
  answer_all();
  EXPECT_EQ(pool->connections(), 1U);
  EXPECT_EQ(breaker->connections.used(), 0U);
  call();
  EXPECT_EQ(breaker->connections.used(), 1U);
}

TEST_F(PoolHttp2, unused_connections_are_swept) {
  make(Offer::http2);
  for (std::size_t i = 0; i <= Pool::crowded; ++i) call();
  answer_all();
  EXPECT_EQ(pool->connections(), 2U);
  Caller& long_one = call();
  loop.advance(Pool::idle_timeout + seconds(20));
  EXPECT_EQ(pool->connections(), 1U);
  answer_all();
  EXPECT_EQ(long_one.sink.status, 204);
  loop.advance(Pool::idle_timeout + seconds(20));
  EXPECT_EQ(pool->connections(), 0U);
}

// --- Drain ---------------------------------------------------------------------------------------

TEST_F(PoolTest, a_drained_pool_closes_what_is_idle_and_lets_the_rest_end) {
  make(Offer::http1);
  call();
  answer_all();
  Caller& busy = call();
  call();
  answer_all();
  Caller& last = call();
  (void)busy;
  pool->drain();
  loop.settle();
  EXPECT_FALSE(pool->idle());
  answer_all();
  EXPECT_EQ(last.sink.status, 204);
  for (auto& peer : peers) {
    if (peer->open()) peer->finish();
  }
  loop.settle();
  EXPECT_TRUE(pool->idle());
}

TEST_F(PoolTest, a_drained_pool_serves_who_waits_and_then_closes) {
  config::Breaker limits;
  limits.connections = 1;
  make(Offer::http1, limits);
  call();
  Caller& waits = ask();
  pool->drain();
  answer_all();
  EXPECT_NE(waits.connection, nullptr);
  answer_all();
  EXPECT_EQ(waits.sink.status, 204);
  loop.settle();
  EXPECT_TRUE(peers[0]->input_ended) << "nobody waits any more: it closes";
}

TEST_F(PoolHttp2, a_drained_pool_ends_with_its_last_stream) {
  make(Offer::http2);
  Caller& caller = call();
  pool->drain();
  loop.settle();
  EXPECT_FALSE(pool->idle());
  answer_all();
  EXPECT_EQ(caller.sink.status, 204);
  EXPECT_TRUE(pool->idle());
}

TEST_F(PoolTest, a_pool_that_drains_gives_up_a_connection_on_its_way) {
  make(Offer::http1);
  connect_error = EINPROGRESS;
  ask().leave();
  testing::internal::CaptureStderr();
  pool->drain();
  loop.settle();
  EXPECT_TRUE(pool->idle());
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "") << "it is no failure to tell of";
}

// --- What is spoken ------------------------------------------------------------------------------

struct PoolOffer : PoolTest {
  void agree(const std::string& alpn) {
    make(Offer::http);
    connector.transport = [alpn](Offer) {
      net::HandshakeInfo info;
      info.alpn = alpn;
      info.version = "TLSv1.3";
      return std::make_unique<test::ClearTransport>(info);
    };
  }
};

TEST_F(PoolOffer, the_handshake_tells_http2) {
  speaks = Peer::Speaks::h2_server;
  agree("h2");
  for (int i = 0; i < 8; ++i) ask();
  EXPECT_EQ(dialled, 1) << "until it shows what is spoken, one connection is tried";
  loop.settle();
  EXPECT_EQ(dialled, 1);
  EXPECT_EQ(peers[0]->server.sinks.size(), 8U);
  EXPECT_EQ(tls_cells.ended[0][2].value(), 1U);
}

TEST_F(PoolTest, bytes_are_counted_while_a_connection_is_open) {
  make(Offer::http1);
  Caller& caller = ask();
  loop.settle();
  ASSERT_NE(caller.connection, nullptr);
  const net::Connection& connection = caller.connection->connection();
  EXPECT_GT(connection.bytes_written(), 0U);
  EXPECT_EQ(connection_cells.sent_bytes.value(), 0U);
  loop.advance(seconds(1));
  EXPECT_EQ(connection_cells.sent_bytes.value(), connection.bytes_written());
  EXPECT_EQ(connection_cells.received_bytes.value(), connection.bytes_read());
  loop.advance(seconds(2));
  EXPECT_EQ(connection_cells.sent_bytes.value(), connection.bytes_written());
}

TEST_F(PoolOffer, the_handshake_tells_http1) {
  agree("http/1.1");
  for (int i = 0; i < 8; ++i) ask();
  EXPECT_EQ(dialled, 1);
  loop.settle();
  EXPECT_EQ(dialled, 8) << "then each gets its own";
  for (auto& caller : callers) EXPECT_NE(caller->connection, nullptr);
}

}  // namespace
}  // namespace outrigger::upstream
