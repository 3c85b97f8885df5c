// The request's body: what is held of it, for how long, and what may be sent again.

#include <gtest/gtest.h>

#include <string>

#include "proxy/exchange.h"
#include "support/proxy_world.h"

namespace outrigger::proxy {
namespace {

using telemetry::Family;
using test::FakeEndpoint;
using test::Peer;
using test::ProxyWorld;
using Accepts = FakeEndpoint::Accepts;

struct BodyTest : testing::Test {
  config::Service& service(int endpoints) { return world.add_service("orders", endpoints); }
  ~BodyTest() override { world.expect_quiet(); }
  // Opens this many uploads of `bytes` each on one connection and leaves them unfinished.
  void upload(Peer& client, int count, std::size_t bytes, const std::string& method) {
    for (int i = 0; i < count; ++i) {
      client.call({.method = method, .body = std::string(bytes, 'b'), .end = false});
      world.settle();
    }
  }
  ProxyWorld world;
};

TEST_F(BodyTest, an_upload_that_is_held_whole_goes_elsewhere_whatever_its_size) {
  for (const Accepts how : {Accepts::refuses, Accepts::never}) {
    for (const auto speaks : {Peer::Speaks::h1_client, Peer::Speaks::h2_client}) {
      ProxyWorld w;
      w.add_service("orders", 2).retry.max = 0;
      w.start();
      w.endpoint(1).accepts = how;
      Peer& client = w.connect(speaks);
      w.settle();
      for (int i = 0; i < 2; ++i) {
        auto& answer = client.call({.method = "POST", .body = std::string(400'000, 'b')});
        w.advance(seconds(2));
        EXPECT_EQ(answer.status, 200) << answer.story().substr(0, 300);
      }
      EXPECT_EQ(w.endpoint(2).requests(), 2U);
      for (auto& peer : w.endpoint(2).connections) {
        for (auto& sink : peer->server.sinks) EXPECT_EQ(sink->body.size(), 400'000U);
      }
      w.expect_quiet();
    }
  }
}

// The callee's sidecar does not retry a request that it has begun to send.
TEST_F(BodyTest, no_copy_is_kept_that_could_not_be_used) {
  service(1).retry.max = 0;
  world.start();
  world.endpoint(1).on_head = [](Peer&, Peer::Sink&) {};
  Peer& client = world.connect(Peer::Speaks::h2_client);
  world.settle();
  upload(client, 100, 60'000, "POST");
  EXPECT_LT(world.loop.buffers().bytes_in_use(), 512U * 1024);
  EXPECT_EQ(world.metric(Family::replay_dropped), 0) << "none was wanted";
}

TEST_F(BodyTest, copies_of_one_connections_uploads_have_a_bound) {
  service(1);
  world.start();
  world.scope->copies_max = 1024 * 1024;
  world.endpoint(1).on_head = [](Peer&, Peer::Sink&) {};
  Peer& client = world.connect(Peer::Speaks::h2_client);
  world.settle();
  upload(client, 100, 60'000, "POST");
  EXPECT_GT(world.loop.buffers().bytes_in_use(), 512U * 1024);
  EXPECT_LT(world.loop.buffers().bytes_in_use(), 2 * 1024U * 1024);
  EXPECT_GT(world.metric(Family::replay_dropped), 50);
  // Requests that end free their share.
  for (auto& call : client.calls) call->stream->reset(http::StreamEnd::cancelled);
  client.calls.clear();
  world.settle();
  EXPECT_LT(world.loop.buffers().bytes_in_use(), 64U * 1024);
  const double before = world.metric(Family::replay_dropped);
  upload(client, 1, 60'000, "POST");
  EXPECT_EQ(world.metric(Family::replay_dropped), before);
}

TEST_F(BodyTest, a_body_beyond_body_max_is_counted) {
  service(1).retry.body_max = 1'000;
  world.start();
  Peer& client = world.connect(Peer::Speaks::h1_client);
  world.settle();
  client.call({.method = "POST", .body = std::string(1'000, 'b')});
  world.settle();
  EXPECT_EQ(world.metric(Family::replay_dropped), 0);
  client.call({.method = "POST", .body = std::string(1'001, 'b')});
  world.settle();
  EXPECT_EQ(world.metric(Family::replay_dropped), 1);
}

// A reused connection that ends may have ended before the request: an idempotent one is retried.
TEST_F(BodyTest, an_upload_on_a_reused_connection_is_kept_for_a_stale_one) {
  service(1).retry.max = 0;
  world.start();
  Peer& client = world.connect(Peer::Speaks::h1_client);
  world.settle();
  client.call({.method = "PUT", .body = "first"});
  world.settle();
  world.endpoint(1).on_request = [this](Peer& peer, Peer::Sink&) {
    world.endpoint(1).on_request = nullptr;
    peer.finish();
  };
  auto& answer = client.call({.method = "PUT", .body = "second"});
  world.advance(seconds(1));
  EXPECT_EQ(answer.status, 200) << answer.story();
  EXPECT_EQ(world.endpoint(1).last().server.last().body, "second");
}

TEST_F(BodyTest, a_body_that_comes_too_slowly_is_a_408) {
  service(1).timeout = config::Millis(0);
  world.start();
  world.scope->body_rate = 500;
  Peer& client = world.connect();
  client.send("PUT / HTTP/1.1\r\nhost: orders\r\ncontent-length: 20000\r\n\r\n");
  for (int i = 0; i < 33; ++i) {
    world.advance(seconds(1));
    client.send("b");
  }
  world.settle();
  const std::string answer = client.take();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 408")) << answer;
  EXPECT_NE(answer.find("x-outrigger-flag: SI"), std::string::npos) << answer;
  EXPECT_NE(answer.find("too slow"), std::string::npos) << answer;
  EXPECT_EQ(world.metric(Family::requests, {"408", "SI"}), 1);
}

TEST_F(BodyTest, a_body_that_keeps_the_rate_or_waits_for_the_endpoint_lives) {
  service(1).timeout = config::Millis(0);
  world.start();
  world.scope->body_rate = 500;
  Peer& client = world.connect();
  client.send("PUT / HTTP/1.1\r\nhost: orders\r\ncontent-length: 60000\r\n\r\n");
  for (int i = 0; i < 60; ++i) {
    world.advance(seconds(1));
    client.send(std::string(1'000, 'b'));
  }
  world.settle();
  EXPECT_TRUE(client.take().starts_with("HTTP/1.1 200"));

  // The rate is so high that the body earns only three seconds: it is the pause that keeps the
  // request alive.
  world.scope->body_rate = 1'000'000;
  world.endpoint(1).pipe = {.capacity = 10'000};
  world.endpoint(1).last().finish();
  world.settle();
  Peer& other = world.connect({.pipe = {.capacity = 10'000}});
  other.send("PUT / HTTP/1.1\r\nhost: orders\r\ncontent-length: 3000000\r\n\r\n");
  world.settle();
  world.endpoint(1).last().stall(true);
  other.send(std::string(3'000'000, 'b'));
  world.advance(seconds(100));
  EXPECT_EQ(other.take(), "");
  world.endpoint(1).last().stall(false);
  world.settle();
  EXPECT_TRUE(other.take().starts_with("HTTP/1.1 200"));
}

TEST_F(BodyTest, upgrades_and_grpc_streams_may_be_slow) {
  for (const bool upgrade : {false, true}) {
    ProxyWorld w;
    config::Service& s = w.add_service("orders", 1);
    s.wire = config::Wire::http2;
    s.timeout = config::Millis(0);
    w.start();
    w.scope->body_rate = 500;
    w.endpoint(1).speaks = Peer::Speaks::h2_server;
    w.endpoint(1).on_head = [upgrade](Peer&, Peer::Sink& sink) {
      if (!upgrade) return;
      BlockPool blocks;
      Arena arena(blocks);
      http::Head head(arena);
      head.status = 101;
      head.protocol = "websocket";
      sink.stream->send_head(head, false);
    };
    w.endpoint(1).on_request = [](Peer&, Peer::Sink&) {};
    Peer& client = w.connect(Peer::Speaks::h2_client);
    w.settle();
    test::Request request{.end = false};
    if (upgrade) {
      request.protocol = "websocket";
      request.fields = {{"sec-websocket-version", "13"}};
    } else {
      request.method = "POST";
      request.fields = {{"content-type", "application/grpc"}};
    }
    auto& call = client.call(request);
    w.settle();
    for (int i = 0; i < 100; ++i) {
      call.stream->send_data("b", false);
      w.advance(seconds(1));
    }
    EXPECT_FALSE(call.over()) << upgrade << call.story();
    EXPECT_EQ(w.endpoint(1).last().server.last().body.size(), 100U);
    w.expect_quiet();
  }
}

}  // namespace
}  // namespace outrigger::proxy
