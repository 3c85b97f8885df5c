// An app whose configuration does not say which version of HTTP it speaks.

#include "upstream/spoken.h"

#include <gtest/gtest.h>

#include <string>

#include "support/h2_frames.h"
#include "support/proxy_world.h"

namespace outrigger::upstream {
namespace {

namespace h2 = http::h2;
using test::FakeEndpoint;
using test::Peer;
using test::ProxyWorld;

constexpr std::string_view get = "GET / HTTP/1.1\r\nhost: orders\r\n\r\n";
constexpr std::string_view post = "POST / HTTP/1.1\r\nhost: orders\r\ncontent-length: 2\r\n\r\nhi";

struct SpokenTest : testing::Test {
  SpokenTest() {
    config::Service& app = world.add_service("orders", 1);
    app.protocol = config::Protocol::auto_;
    app.retry.max = 0;
    world.start();
  }
  ~SpokenTest() override { world.expect_quiet(); }
  bool is_served(std::string_view request) {
    return world.talk(world.connect(), request).starts_with("HTTP/1.1 200");
  }
  // The app looks as if it spoke HTTP/2 from then on.
  void met_with_silence() {
    world.endpoint(1).speaks = Peer::Speaks::bytes;
    Peer& first = world.connect();
    first.send(post);
    world.settle();
    world.endpoint(1).last().finish();
    world.settle();
  }
  ProxyWorld world;
};

TEST_F(SpokenTest, one_of_http2_gets_what_it_could_not_read_again_whatever_the_method) {
  world.endpoint(1).speaks = Peer::Speaks::h2_server;
  EXPECT_TRUE(is_served(post));
  EXPECT_EQ(world.endpoint(1).requests(), 1U);
  EXPECT_EQ(world.endpoint(1).tries, 2) << "one in vain";
  EXPECT_TRUE(is_served(post));
  EXPECT_TRUE(is_served(get));
  EXPECT_EQ(world.endpoint(1).tries, 2) << "found out once";
}

TEST_F(SpokenTest, one_of_http1_is_sent_nothing_else) {
  EXPECT_TRUE(is_served(post));
  EXPECT_TRUE(is_served(get));
  EXPECT_EQ(world.endpoint(1).tries, 1);
  EXPECT_EQ(world.endpoint(1).requests(), 2U);
}

TEST_F(SpokenTest, silence_is_no_proof_so_that_a_post_is_not_sent_twice) {
  world.endpoint(1).speaks = Peer::Speaks::bytes;
  Peer& first = world.connect();
  first.send(post);
  world.settle();
  world.endpoint(1).last().finish();
  world.settle();
  EXPECT_TRUE(first.take().starts_with("HTTP/1.1 503"));
  EXPECT_EQ(world.endpoint(1).tries, 1);
  world.endpoint(1).speaks = Peer::Speaks::h2_server;
  EXPECT_TRUE(is_served(post)) << "but what comes next tries the other version";
}

TEST_F(SpokenTest, one_that_comes_back_with_the_other_version_is_found_out_again) {
  for (const auto speaks :
       {Peer::Speaks::h2_server, Peer::Speaks::h1_server, Peer::Speaks::h2_server}) {
    world.endpoint(1).speaks = speaks;
    is_served(get);  // the first one may be lost in the switch
    EXPECT_TRUE(is_served(get));
    EXPECT_TRUE(is_served(post));
    for (auto& connection : world.endpoint(1).connections) {
      if (connection->open()) connection->finish();
    }
    world.settle();
  }
}

// It closed without a byte while it was starting, and speaks HTTP/1 after all.
TEST_F(SpokenTest, one_of_http1_that_was_taken_for_http2_gets_the_request_again) {
  met_with_silence();
  world.endpoint(1).speaks = Peer::Speaks::h1_server;
  EXPECT_TRUE(is_served(post));
  EXPECT_EQ(world.endpoint(1).requests(), 1U);
}

TEST_F(SpokenTest, one_that_comes_back_with_http1_and_hangs_up_on_http2_is_found_out_again) {
  world.endpoint(1).speaks = Peer::Speaks::h2_server;
  EXPECT_TRUE(is_served(get));
  for (auto& connection : world.endpoint(1).connections) connection->finish();
  world.settle();
  world.endpoint(1).speaks = Peer::Speaks::bytes;
  world.endpoint(1).on_peer = [](Peer& peer) {
    peer.on_raw = [&peer](std::string_view bytes) {
      if (bytes.starts_with("PRI ")) return peer.finish();
      peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    };
  };
  for (int i = 0; i < 2; ++i) is_served(get);
  EXPECT_TRUE(is_served(get));
  EXPECT_TRUE(is_served(post));
}

TEST_F(SpokenTest, all_that_met_http1_on_one_connection_are_sent_again) {
  met_with_silence();
  world.endpoint(1).on_peer = [](Peer& peer) {
    peer.on_raw = [&peer](std::string_view bytes) {
      if (bytes.starts_with("PRI "))
        return peer.send(
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
      peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    };
  };
  Peer& one = world.connect();
  Peer& two = world.connect();
  one.send(post);
  two.send(post);
  world.settle();
  EXPECT_TRUE(one.take().starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(two.take().starts_with("HTTP/1.1 200"));
}

// A malformed response is a response: the app has processed the request.
TEST_F(SpokenTest, a_post_that_http2_has_processed_is_not_sent_twice) {
  met_with_silence();
  int processed = 0;
  world.endpoint(1).on_peer = [&](Peer& peer) {
    peer.on_raw = [&processed, &peer, begun = false](std::string_view bytes) mutable {
      if (begun) return;
      begun = true;
      ++processed;
      if (!bytes.starts_with("PRI "))
        return peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
      peer.send(h2::settings() + h2::settings_ack() +
                h2::headers(1, h2::response_block(200, {{"connection", "close"}}), h2::whole));
    };
  };
  EXPECT_FALSE(is_served(post));
  EXPECT_EQ(processed, 1);
}

// The response of a new connection broke off, then another new one was lost: one loss without a
// response, which is no reason for doubt yet.
TEST_F(SpokenTest, a_response_that_breaks_off_does_not_make_http2_doubtful) {
  FakeEndpoint& endpoint = world.endpoint(1);
  endpoint.speaks = Peer::Speaks::h2_server;
  EXPECT_TRUE(is_served(get));
  for (auto& connection : endpoint.connections) connection->finish();
  world.settle();
  endpoint.on_request = [](Peer&, Peer::Sink& sink) {
    BlockPool blocks;
    Arena arena(blocks);
    http::Head head(arena);
    head.status = 200;
    sink.stream->send_head(head, false);
    sink.stream->send_data("abc", false);
  };
  is_served(get);
  endpoint.last().reset();
  world.settle();
  endpoint.on_request = [](Peer& peer, Peer::Sink&) { peer.reset(); };
  EXPECT_FALSE(is_served(get));
  endpoint.on_request = {};
  const int tries = endpoint.tries;
  EXPECT_TRUE(is_served(post));
  EXPECT_EQ(endpoint.tries, tries + 1);
}

// One crash of an HTTP/2 app does not make it an HTTP/1 app, to which a first POST might be lost.
TEST_F(SpokenTest, one_of_http2_that_loses_a_request_stays_one) {
  world.endpoint(1).speaks = Peer::Speaks::h2_server;
  EXPECT_TRUE(is_served(get));
  for (auto& connection : world.endpoint(1).connections) connection->finish();
  world.settle();
  world.endpoint(1).on_request = [](Peer& peer, Peer::Sink&) { peer.reset(); };
  EXPECT_FALSE(is_served(get));
  world.endpoint(1).on_request = {};
  const int tries = world.endpoint(1).tries;
  EXPECT_TRUE(is_served(post));
  EXPECT_EQ(world.endpoint(1).tries, tries + 1);
}

TEST(SpokenConfig, where_the_version_is_given_it_is_kept_to) {
  ProxyWorld world;
  world.add_service("orders", 1).protocol = config::Protocol::http;
  world.start();
  world.endpoint(1).speaks = Peer::Speaks::h2_server;
  EXPECT_TRUE(world.talk(world.connect(), get).starts_with("HTTP/1.1 50"));
  EXPECT_EQ(world.endpoint(1).requests(), 0U);
  world.expect_quiet();
}

}  // namespace
}  // namespace outrigger::upstream
