// Opaque bytes between a client and an endpoint, both controlled by the test.

#include "tcp/session.h"

#include <gtest/gtest.h>
#include <sys/uio.h>

#include <span>
#include <string>

#include "support/proxy_world.h"

namespace outrigger::tcp {
namespace {

using test::FakeEndpoint;
using test::Peer;
using test::ProxyWorld;
using Accepts = FakeEndpoint::Accepts;

struct SessionTest : testing::Test {
  void start(int endpoints = 1) {
    service().protocol = config::Protocol::tcp;
    for (int i = 1; i < endpoints; ++i) {
      config::Endpoint& more = service().endpoints.emplace_back(service().endpoints.front());
      more.address.host = "10.0.0." + std::to_string(i + 1);
    }
    world.start();
    for (int i = 1; i <= endpoints; ++i) world.endpoint(i).speaks = Peer::Speaks::bytes;
  }
  SessionTest() { world.add_service("orders", 1); }
  ~SessionTest() override { world.expect_quiet(); }

  config::Service& service() { return world.config.services["orders"]; }
  Peer& connect(test::MemoryChannel::Options pipe = {}) {
    return world.connect({.pipe = pipe, .as = ProxyWorld::Access::As::tcp});
  }
  Peer& endpoint(int number = 1) { return world.endpoint(number).last(); }
  const SessionReport& report() { return world.reports.at(0); }
  ProxyWorld world;
};

TEST_F(SessionTest, bytes_pass_both_ways_and_are_counted) {
  start();
  Peer& client = connect();
  client.send("ping");
  world.settle();
  EXPECT_EQ(endpoint().take(), "ping");
  endpoint().send("pong!");
  world.settle();
  EXPECT_EQ(client.take(), "pong!");
  client.finish();
  world.settle();
  endpoint().finish();
  world.settle();
  ASSERT_EQ(world.reports.size(), 1U);
  EXPECT_EQ(report().flag, Flag::none);
  EXPECT_EQ(report().bytes_in, 4U);
  EXPECT_EQ(report().bytes_out, 5U);
  EXPECT_EQ(report().endpoint, "10.0.0.1:80");
  EXPECT_EQ(report().attempts, 1);
}

TEST_F(SessionTest, the_server_may_speak_first) {
  start();
  Peer& client = connect();
  endpoint().send("220 ready");
  world.settle();
  EXPECT_EQ(client.take(), "220 ready");
}

TEST_F(SessionTest,
       an_endpoint_may_have_one_session_though_others_hold_all_that_the_breaker_allows) {
  service().breaker.connections = 1;
  start(2);
  connect();
  connect();
  EXPECT_EQ(world.sessions(), 2U);
  EXPECT_EQ(world.endpoint(1).connections.size(), 1U);
  EXPECT_EQ(world.endpoint(2).connections.size(), 1U);
  connect();  // each has one
  EXPECT_EQ(world.sessions(), 2U);
  EXPECT_EQ(report().flag, Flag::UO);
}

TEST_F(SessionTest, a_client_that_has_sent_all_still_hears_the_answer) {
  start();
  Peer& client = connect();
  client.send("question");
  client.end_output();
  world.settle();
  EXPECT_EQ(endpoint().take(), "question");
  EXPECT_TRUE(endpoint().input_ended);
  EXPECT_EQ(world.sessions(), 1U);
  world.advance(seconds(5));
  endpoint().send("answer");
  world.settle();
  EXPECT_EQ(client.take(), "answer");
  endpoint().end_output();
  world.settle();
  EXPECT_TRUE(client.input_ended);
  EXPECT_EQ(world.sessions(), 0U);
  EXPECT_EQ(report().flag, Flag::none);
}

TEST_F(SessionTest, an_endpoint_that_has_sent_all_still_hears_the_client) {
  start();
  Peer& client = connect();
  endpoint().send("bye");
  endpoint().end_output();
  world.settle();
  EXPECT_EQ(client.take(), "bye");
  EXPECT_TRUE(client.input_ended);
  client.send("more");
  world.settle();
  EXPECT_EQ(endpoint().take(), "more");
  client.end_output();
  world.settle();
  EXPECT_TRUE(endpoint().input_ended);
  EXPECT_EQ(world.sessions(), 0U);
}

TEST_F(SessionTest, what_a_client_sent_before_the_endpoint_was_there_arrives_with_its_end) {
  start(2);
  world.endpoint(1).accepts = Accepts::never;
  world.endpoint(2).accepts = Accepts::never;
  Peer& client = connect();
  client.send("all I have");
  client.end_output();
  world.settle();
  for (int i = 1; i <= 2; ++i) world.endpoint(i).accepts = Accepts::yes;
  world.advance(milliseconds(1'100));  // the first connect times out, the next one succeeds
  Peer& taken = world.endpoint(1).connections.empty() ? endpoint(2) : endpoint(1);
  EXPECT_EQ(taken.take(), "all I have");
  EXPECT_TRUE(taken.input_ended);
}

TEST_F(SessionTest, a_slow_endpoint_slows_its_client_down) {
  start();
  world.endpoint(1).pipe = {.capacity = 10'000};
  Peer& client = connect({.capacity = 10'000});
  endpoint().stall(true);
  const std::string much(5'000'000, 'x');
  client.send(much);
  world.settle();
  const std::size_t held = world.loop.buffers().bytes_in_use();
  // The client's own output is in the same pool: what is missing there, the session has taken.
  const std::size_t taken = much.size() - client.connection().unsent();
  EXPECT_LT(taken, 2'000'000U) << held;
  EXPECT_GT(taken, 10'000U);
  endpoint().stall(false);
  world.settle();
  EXPECT_EQ(endpoint().received.size(), much.size());
}

TEST_F(SessionTest, a_slow_client_slows_the_endpoint_down) {
  start();
  Peer& client = connect({.capacity = 10'000});
  client.stall(true);
  const std::string much(5'000'000, 'y');
  endpoint().send(much);
  world.settle();
  EXPECT_GT(endpoint().connection().unsent(), 3'000'000U);
  client.stall(false);
  world.settle();
  EXPECT_EQ(client.received.size(), much.size());
}

TEST_F(SessionTest, nothing_moving_ends_it) {
  service().idle_timeout = seconds(10);
  start();
  Peer& client = connect();
  for (int i = 0; i < 3; ++i) {
    world.advance(seconds(9));
    client.send("x");
    world.settle();
    EXPECT_EQ(world.sessions(), 1U) << i;
  }
  world.advance(seconds(9));
  endpoint().send("y");
  world.advance(seconds(9));
  EXPECT_EQ(world.sessions(), 1U) << "either direction counts";
  world.advance(seconds(2));
  EXPECT_EQ(world.sessions(), 0U);
  EXPECT_EQ(report().flag, Flag::SI);
  EXPECT_FALSE(client.open() && !client.input_ended);
}

TEST_F(SessionTest, a_refused_connect_goes_to_another_endpoint) {
  start(3);
  world.endpoint(1).accepts = Accepts::refuses;
  world.endpoint(2).accepts = Accepts::refuses_at_once;
  world.endpoint(3).accepts = Accepts::yes;
  Peer& client = connect();
  client.send("hello");
  world.settle();
  EXPECT_EQ(endpoint(3).take(), "hello");
  endpoint(3).finish();
  client.finish();
  world.settle();
  EXPECT_EQ(report().attempts,
            world.endpoint(1).tries + world.endpoint(2).tries + world.endpoint(3).tries);
  EXPECT_EQ(report().endpoint, "10.0.0.3:80");
}

TEST_F(SessionTest, each_endpoint_is_tried_once_and_no_more_than_four) {
  start(6);
  for (int i = 1; i <= 6; ++i)
    world.endpoint(i).accepts = i % 2 == 0 ? Accepts::refuses : Accepts::refuses_at_once;
  Peer& client = connect();
  world.settle();
  EXPECT_TRUE(client.closed.has_value());
  int tries = 0;
  for (int i = 1; i <= 6; ++i) {
    EXPECT_LE(world.endpoint(i).tries, 1) << i;
    tries += world.endpoint(i).tries;
  }
  EXPECT_EQ(tries, Session::connect_tries);
  EXPECT_EQ(report().flag, Flag::UF);
}

TEST_F(SessionTest, a_connect_that_takes_too_long_goes_on_too) {
  start(2);
  world.endpoint(1).accepts = Accepts::never;
  world.endpoint(2).accepts = Accepts::never;
  Peer& client = connect();
  world.advance(milliseconds(1'100));
  EXPECT_EQ(world.endpoint(1).tries + world.endpoint(2).tries, 2);
  world.advance(seconds(3));
  EXPECT_EQ(world.endpoint(1).tries + world.endpoint(2).tries, Session::connect_tries);
  EXPECT_TRUE(client.closed.has_value());
  ASSERT_EQ(world.reports.size(), 1U);
  EXPECT_EQ(report().flag, Flag::UT);
}

TEST_F(SessionTest, without_endpoints_it_says_so) {
  service().endpoints.clear();
  service().protocol = config::Protocol::tcp;
  world.start();
  Peer& client = connect();
  EXPECT_TRUE(client.closed.has_value());
  EXPECT_EQ(report().flag, Flag::UH);
  EXPECT_EQ(report().attempts, 0);
}

TEST_F(SessionTest, the_breaker_bounds_sessions) {
  service().breaker.connections = 2;
  start();
  connect();
  Peer& second = connect();
  Peer& third = connect();
  EXPECT_TRUE(third.closed.has_value());
  EXPECT_EQ(report().flag, Flag::UO);
  second.finish();
  world.settle();
  endpoint().finish();
  world.settle();
  EXPECT_FALSE(connect().closed.has_value()) << "a place is free again";
}

TEST_F(SessionTest, a_reset_is_passed_on_as_a_reset) {
  start();
  Peer& client = connect();
  endpoint().send("half");
  world.settle();
  endpoint().reset();
  world.settle();
  EXPECT_EQ(client.closed, net::CloseReason::peer_reset);
  EXPECT_EQ(report().flag, Flag::UC);
}

TEST_F(SessionTest, a_client_that_resets_resets_the_endpoint) {
  start();
  Peer& client = connect();
  client.send("half");
  world.settle();
  client.reset();
  world.settle();
  EXPECT_EQ(endpoint().closed, net::CloseReason::peer_reset);
  EXPECT_EQ(report().flag, Flag::DC);
}

TEST_F(SessionTest, a_client_that_goes_while_the_endpoint_is_dialled_leaves_nothing) {
  start();
  world.endpoint(1).accepts = Accepts::never;
  Peer& client = connect();
  EXPECT_EQ(world.sessions(), 1U);
  client.reset();
  world.settle();
  EXPECT_EQ(world.sessions(), 0U);
  EXPECT_EQ(report().flag, Flag::DC);
  EXPECT_EQ(world.cluster().host_at(0)->cells.failures.value(), 0U) << "not the endpoint's fault";
}

TEST_F(SessionTest, a_broken_record_does_not_pass_for_the_end) {
  start();
  Peer& client = world.connect(
      {.tls = net::HandshakeInfo{}, .as = ProxyWorld::Access::As::tcp, .sealed = true});
  client.send("half");
  world.settle();
  EXPECT_EQ(endpoint().take(), "half");
  // Anyone on the path can do that.
  std::string forged("\x7f\0\x01?", 4);
  const iovec part{forged.data(), forged.size()};
  client.connection().channel().write(std::span(&part, 1), false);
  world.settle();
  EXPECT_FALSE(endpoint().input_ended);
  EXPECT_EQ(endpoint().closed, net::CloseReason::peer_reset);
  EXPECT_EQ(report().flag, Flag::DC);
}

TEST_F(SessionTest, an_endpoint_that_left_the_list_keeps_its_sessions) {
  start(2);
  Peer& client = connect();
  Peer& other = connect();
  world.set_endpoints("orders", {"10.0.0.2:80"});
  for (Peer* each : {&client, &other}) each->send("still");
  world.settle();
  EXPECT_EQ(endpoint(1).take(), "still");
  EXPECT_EQ(endpoint(2).take(), "still");
  connect();
  EXPECT_EQ(world.endpoint(2).tries, 2);
}

// --- What the balancer and the log hear
// ------------------------------------------------------------

Duration expected(ProxyWorld& world, std::size_t index = 0) {
  return world.cluster().expected_latency(index);
}

TEST_F(SessionTest, an_endpoint_is_as_fast_as_it_answers_not_as_long_as_it_is_talked_with) {
  service().load_balancer.policy = config::LoadBalancer::Policy::peak_ewma;
  start();
  Peer& client = connect();
  client.send("ping");
  world.settle();
  endpoint().send("pong");
  world.advance(minutes(50));
  client.finish();
  world.settle();
  endpoint().finish();
  world.settle();
  ASSERT_EQ(world.reports.size(), 1U);
  EXPECT_GE(report().duration, minutes(50));
  EXPECT_LT(expected(world), seconds(1));
}

TEST_F(SessionTest, an_endpoint_that_accepts_and_closes_at_once_has_failed) {
  start();
  Peer& client = connect();
  endpoint().end_output();
  world.settle();
  EXPECT_EQ(world.cluster().host_at(0)->cells.failures.value(), 1U);
  client.finish();
  world.settle();
  EXPECT_EQ(report().flag, Flag::UC);
}

TEST_F(SessionTest, one_that_closes_after_a_while_or_after_the_client_or_an_answer_has_not) {
  start();
  Peer& late = connect();
  world.advance(seconds(5));
  endpoint().finish();
  late.finish();
  world.settle();
  Peer& done = connect();
  done.end_output();
  world.settle();
  endpoint().finish();
  world.settle();
  Peer& greeted = connect();
  endpoint().send("too many connections");
  endpoint().finish();
  world.settle();
  greeted.finish();
  world.settle();
  EXPECT_EQ(world.cluster().host_at(0)->cells.failures.value(), 0U);
  for (const SessionReport& each : world.reports) EXPECT_EQ(each.flag, Flag::none);
}

TEST_F(SessionTest, a_session_that_another_endpoint_took_is_no_failure) {
  start(2);
  world.endpoint(1).accepts = Accepts::refuses;
  for (int i = 0; i < 2; ++i) {
    Peer& client = connect();
    client.send("x");
    world.settle();
    Peer& taken = world.endpoint(2).last();
    taken.send("y");
    world.settle();
    client.finish();
    world.settle();
    taken.finish();
    world.settle();
  }
  ASSERT_EQ(world.reports.size(), 2U);
  EXPECT_EQ(world.reports[0].attempts + world.reports[1].attempts, 3);
  for (const SessionReport& each : world.reports) EXPECT_EQ(each.flag, Flag::none);
}

TEST_F(SessionTest, a_client_that_resets_while_nothing_is_read_of_it_ends_the_session) {
  start();
  world.endpoint(1).pipe = {.capacity = 10'000};
  Peer& client = connect({.capacity = 10'000});
  endpoint().stall(true);
  client.send(std::string(5'000'000, 'x'));
  world.settle();
  client.reset();
  world.settle();
  EXPECT_EQ(world.sessions(), 0U);
  EXPECT_EQ(report().flag, Flag::DC);
}

}  // namespace
}  // namespace outrigger::tcp
