// Silent HTTP/2 peers: what happens to their connections and requests.

#include <gtest/gtest.h>

#include "support/proxy_world.h"

namespace outrigger::proxy {
namespace {

using telemetry::Family;
using test::Peer;
using test::ProxyWorld;

struct KeepaliveTest : testing::Test {
  KeepaliveTest() {
    config::Service& orders = world.add_service("orders", 2);
    orders.wire = config::Wire::http2;
    orders.timeout = std::chrono::hours(2);
    orders.idle_timeout = std::chrono::hours(3);
    for (int i = 1; i <= 2; ++i) {
      world.endpoint(i).speaks = Peer::Speaks::h2_server;
      world.endpoint(i).on_request = [](Peer&, Peer::Sink&) {};
    }
    world.start();
  }
  ~KeepaliveTest() override { world.expect_quiet(); }
  // The endpoint that has the request.
  int asked() { return world.endpoint(1).requests() > 0 ? 1 : 2; }

  ProxyWorld world;
};

TEST_F(KeepaliveTest, a_request_to_a_frozen_endpoint_goes_elsewhere_after_40_seconds) {
  Peer& client = world.connect(Peer::Speaks::h2_client);
  auto& answer = client.call({});
  world.settle();
  const int frozen = asked();
  world.endpoint(frozen).last().stall(true);
  world.endpoint(3 - frozen).on_request = nullptr;
  world.advance(seconds(39));
  EXPECT_EQ(answer.status, 0);
  world.advance(seconds(2));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(world.metric(Family::http_keepalive_timeouts, {"upstream"}), 1);
}

TEST_F(KeepaliveTest, a_request_that_must_not_be_repeated_fails_after_40_seconds) {
  Peer& client = world.connect(Peer::Speaks::h2_client);
  auto& answer = client.call({.method = "POST", .body = "x"});
  world.settle();
  const int frozen = asked();
  world.endpoint(frozen).last().stall(true);
  world.advance(seconds(41));
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(world.endpoint(3 - frozen).requests(), 0U);
}

TEST_F(KeepaliveTest, a_quiet_stream_lives_for_an_hour) {
  Peer& client = world.connect(Peer::Speaks::h2_client);
  auto& answer = client.call({});
  world.advance(std::chrono::minutes(60));
  EXPECT_EQ(world.metric(Family::http_keepalive_timeouts), 0);
  EXPECT_EQ(world.metric(Family::http_keepalive_pings, {"upstream"}), 12);
  EXPECT_EQ(world.metric(Family::http_keepalive_pings, {"downstream"}), 120);
  Peer& endpoint = world.endpoint(asked()).last();
  endpoint.answer(endpoint.server.last(), 200, "late");
  world.settle();
  EXPECT_EQ(answer.body, "late");
}

TEST_F(KeepaliveTest, the_request_of_a_frozen_client_is_cancelled_after_40_seconds) {
  Peer& client = world.connect(Peer::Speaks::h2_client);
  client.call({});
  world.settle();
  client.stall(true);
  world.advance(seconds(41));
  EXPECT_EQ(world.http_connections(), 0U);
  EXPECT_TRUE(world.endpoint(asked()).last().server.last().was_reset);
  EXPECT_EQ(world.metric(Family::http_keepalive_timeouts, {"downstream"}), 1);
}

TEST_F(KeepaliveTest, an_idle_client_that_is_frozen_is_closed_10_seconds_after_it_was_told) {
  world.scope->idle_timeout = seconds(60);
  Peer& client = world.connect(Peer::Speaks::h2_client);
  world.settle();
  client.stall(true);
  world.advance(seconds(69));
  EXPECT_EQ(world.http_connections(), 1U);
  world.advance(seconds(4));  // and lingers a little
  EXPECT_EQ(world.http_connections(), 0U);
}

TEST_F(KeepaliveTest, a_frozen_client_does_not_hold_up_a_drain) {
  Peer& client = world.connect(Peer::Speaks::h2_client);
  world.settle();
  client.stall(true);
  world.http_connection().drain();
  world.advance(seconds(13));
  EXPECT_EQ(world.http_connections(), 0U);
}

TEST_F(KeepaliveTest, a_client_that_answers_no_ping_of_a_drain_still_gets_its_answer) {
  // Preface, SETTINGS and one GET, and nothing else.
  Peer& client = world.connect();
  using namespace std::string_literals;
  const std::string block = "\x82\x86\x84\x41\x06orders"s;
  client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"s + "\0\0\0\4\0\0\0\0\0"s + "\0\0"s +
              static_cast<char>(block.size()) + "\1\5\0\0\0\1"s + block);
  world.settle();
  world.http_connection().drain();
  world.advance(seconds(15));
  ASSERT_EQ(world.http_connections(), 1U);
  Peer& endpoint = world.endpoint(asked()).last();
  endpoint.answer(endpoint.server.last(), 200, "late");
  world.settle();
  EXPECT_NE(client.take().find("late"), std::string::npos);
  EXPECT_TRUE(client.input_ended);
}

}  // namespace
}  // namespace outrigger::proxy
