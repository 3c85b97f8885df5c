// Requests and responses through a worker's complete data path in memory.

#include "proxy/exchange.h"

#include <gtest/gtest.h>

#include "support/h2_frames.h"
#include "support/proxy_world.h"

namespace outrigger::proxy {
namespace {

using telemetry::Family;
using test::FakeEndpoint;
using test::Peer;
using test::ProxyWorld;
using test::Request;
using testing::Test;

constexpr std::string_view get = "GET /a?b HTTP/1.1\r\nhost: orders\r\n\r\n";

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

struct ExchangeTest : Test {
  void start(int endpoints = 1) {
    world.add_service("orders", endpoints);
    world.start();
  }
  ~ExchangeTest() override { world.expect_quiet(); }
  Peer::Sink& request(int endpoint_number = 1) {
    return world.endpoint(endpoint_number).last().server.last();
  }
  ProxyWorld world;
};

TEST_F(ExchangeTest, a_request_goes_there_and_its_answer_comes_back) {
  start();
  Peer& client = world.connect();
  const std::string answer = world.talk(client, get);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200")) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\n10.0.0.1:80")) << answer;
  const std::string& head = request().head;
  EXPECT_TRUE(head.starts_with("GET http://orders /a?b\n")) << head;
  EXPECT_TRUE(contains(head, "x-request-id: "));
  EXPECT_TRUE(contains(head, "traceparent: 00-"));
  EXPECT_EQ(world.metric(Family::requests, {"orders", "200"}), 1);
}

TEST_F(ExchangeTest, a_connection_is_kept_and_used_again) {
  start();
  Peer& client = world.connect();
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(contains(world.talk(client, get), "200"));
  EXPECT_EQ(world.endpoint(1).tries, 1);
  EXPECT_EQ(world.endpoint(1).requests(), 10U);
  EXPECT_EQ(world.metric(Family::pool_hits), 9);
  EXPECT_EQ(world.metric(Family::pool_misses), 1);
}

TEST_F(ExchangeTest, pipelined_requests_are_answered_in_order) {
  start();
  Peer& client = world.connect();
  const std::string answers = world.talk(client, std::string(get) + std::string(get));
  EXPECT_EQ(world.endpoint(1).requests(), 2U);
  EXPECT_EQ(answers.find("HTTP/1.1 200"), 0U);
  EXPECT_NE(answers.find("HTTP/1.1 200", 1), std::string::npos);
}

TEST_F(ExchangeTest, bodies_of_a_known_length_and_chunked_ones_pass) {
  start();
  world.endpoint(1).on_request = [](Peer& peer, Peer::Sink& sink) {
    peer.answer(sink, 201, std::string(100'000, 'y') + sink.body);
  };
  Peer& client = world.connect();
  std::string answer =
      world.talk(client, "POST / HTTP/1.1\r\nhost: orders\r\ncontent-length: 5\r\n\r\nhello");
  EXPECT_TRUE(contains(answer, "201"));
  EXPECT_TRUE(answer.ends_with("yyhello"));
  answer = world.talk(client,
                      "POST / HTTP/1.1\r\nhost: orders\r\ntransfer-encoding: "
                      "chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  EXPECT_TRUE(answer.ends_with("yyabcde"));
  EXPECT_EQ(world.metric(Family::request_bytes, {"orders"}), 10);
}

TEST_F(ExchangeTest, every_pair_of_protocols_carries_bodies_and_trailers) {
  for (const bool down2 : {false, true}) {
    for (const bool up2 : {false, true}) {
      ProxyWorld w;
      w.add_service("orders", 1).wire = up2 ? config::Wire::http2 : config::Wire::http1;
      w.start();
      FakeEndpoint& endpoint = w.endpoint(1);
      endpoint.speaks = up2 ? Peer::Speaks::h2_server : Peer::Speaks::h1_server;
      endpoint.on_request = [](Peer& peer, Peer::Sink& sink) {
        peer.answer(sink, 200, "answer to " + sink.body, {{"x-a", "1"}}, {{"x-sum", "2"}});
      };
      Peer& client = w.connect(down2 ? Peer::Speaks::h2_client : Peer::Speaks::h1_client);
      for (int i = 0; i < 3; ++i) {
        auto& answer = client.call({.method = "POST",
                                    .path = "/p",
                                    .fields = {{"te", "trailers"}},
                                    .body = "body",
                                    .trailers = {{"x-end", "yes"}}});
        w.settle();
        EXPECT_EQ(answer.status, 200) << down2 << up2;
        EXPECT_EQ(answer.body, "answer to body");
        EXPECT_EQ(answer.trailers, "x-sum: 2\n");
        EXPECT_EQ(answer.misuse, "");
        EXPECT_EQ(endpoint.last().server.last().trailers, "x-end: yes\n");
      }
      EXPECT_EQ(endpoint.tries, 1);
      w.expect_quiet();
    }
  }
}

TEST_F(ExchangeTest, many_streams_share_one_connection_upstream) {
  world.add_service("orders", 1).wire = config::Wire::http2;
  world.start();
  world.endpoint(1).speaks = Peer::Speaks::h2_server;
  world.endpoint(1).on_request = [](Peer&, Peer::Sink&) {};
  Peer& client = world.connect(Peer::Speaks::h2_client);
  for (int i = 0; i < 30; ++i) client.call({});
  world.settle();
  EXPECT_EQ(world.endpoint(1).requests(), 30U);
  EXPECT_EQ(world.endpoint(1).tries, 1);
  for (auto& sink : world.endpoint(1).last().server.sinks)
    world.endpoint(1).last().answer(*sink, 204);
  world.settle();
  for (auto& call : client.calls) EXPECT_EQ(call->status, 204);
}

TEST_F(ExchangeTest, interim_answers_are_passed_on) {
  start();
  world.endpoint(1).on_head = [](Peer&, Peer::Sink& sink) {
    BlockPool blocks;
    Arena arena(blocks);
    http::Head head(arena);
    head.status = 103;
    head.fields.add("link", "</style.css>");
    sink.stream->send_interim(head);
  };
  Peer& client = world.connect();
  const std::string answer = world.talk(client, get);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 103")) << answer;
  EXPECT_TRUE(contains(answer, "HTTP/1.1 200"));
}

TEST_F(ExchangeTest, an_early_answer_comes_before_the_request_has_ended) {
  start();
  world.endpoint(1).on_head = [](Peer& peer, Peer::Sink& sink) { peer.answer(sink, 403, "no"); };
  world.endpoint(1).on_request = [](Peer&, Peer::Sink&) {};
  Peer& client = world.connect();
  const std::string answer =
      world.talk(client, "POST / HTTP/1.1\r\nhost: orders\r\ncontent-length: 9\r\n\r\nhello");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 403")) << answer;
  EXPECT_TRUE(answer.ends_with("no"));
  // The rest of the request is discarded, and the connection stays open.
  EXPECT_TRUE(contains(world.talk(client, "rest" + std::string(get)), "403"));
}

TEST_F(ExchangeTest, a_caller_that_goes_away_cancels_the_upstream) {
  start();
  world.endpoint(1).on_request = [](Peer&, Peer::Sink&) {};
  Peer& client = world.connect();
  world.talk(client, get);
  client.reset();
  world.settle();
  EXPECT_TRUE(request().was_reset);
  EXPECT_EQ(world.metric(Family::requests, {"orders", "DC"}), 1);
}

TEST_F(ExchangeTest, a_cancelled_stream_cancels_its_request_only) {
  world.add_service("orders", 1).wire = config::Wire::http2;
  world.start();
  world.endpoint(1).speaks = Peer::Speaks::h2_server;
  world.endpoint(1).on_request = [](Peer&, Peer::Sink&) {};
  Peer& client = world.connect(Peer::Speaks::h2_client);
  auto& first = client.call({});
  auto& second = client.call({});
  world.settle();
  first.stream->reset(http::StreamEnd::cancelled);
  world.settle();
  auto& sinks = world.endpoint(1).last().server.sinks;
  EXPECT_TRUE(sinks[0]->was_reset);
  world.endpoint(1).last().answer(*sinks[1], 200, "x");
  world.settle();
  EXPECT_EQ(second.body, "x");
}

TEST_F(ExchangeTest, an_answer_that_breaks_off_looks_cut_short) {
  start();
  world.endpoint(1).speaks = Peer::Speaks::bytes;
  Peer& client = world.connect();
  world.talk(client, get);
  world.endpoint(1).last().send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
  world.settle();
  world.endpoint(1).last().finish();
  world.settle();
  EXPECT_TRUE(client.take().ends_with("content-length: 10\r\n\r\nhalf"));
  EXPECT_TRUE(client.input_ended);
  EXPECT_EQ(world.metric(Family::requests, {"orders", "200", "UC"}), 1);
}

TEST_F(ExchangeTest, nonsense_from_the_endpoint_is_a_502) {
  start();
  world.endpoint(1).speaks = Peer::Speaks::bytes;
  Peer& client = world.connect();
  world.talk(client, get);
  world.endpoint(1).last().send("SSH-2.0-nonsense\r\n\r\n");
  world.settle();
  const std::string answer = client.take();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 502")) << answer;
  EXPECT_TRUE(contains(answer, R"("flag":"UPE")")) << answer;
}

TEST_F(ExchangeTest, a_body_beyond_the_listeners_limit_is_a_413) {
  start();
  world.scope->body_max = 4;
  Peer& client = world.connect();
  EXPECT_TRUE(
      world.talk(client, "POST / HTTP/1.1\r\nhost: orders\r\ncontent-length: 5\r\n\r\nhello")
          .starts_with("HTTP/1.1 413"));
  EXPECT_EQ(world.endpoint(1).requests(), 0U);
  Peer& chunked = world.connect();
  const std::string answer = world.talk(chunked,
                                        "POST / HTTP/1.1\r\nhost: orders\r\ntransfer-encoding: "
                                        "chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 413")) << answer;
  EXPECT_TRUE(world.talk(client, get).starts_with("HTTP/1.1 200"));
}

TEST_F(ExchangeTest, a_host_that_names_no_service_is_a_404) {
  world.add_service("orders", 1);
  world.start("");
  Peer& client = world.connect();
  EXPECT_TRUE(contains(world.talk(client, get), "200"));
  EXPECT_TRUE(
      contains(world.talk(client, "GET / HTTP/1.1\r\nhost: Orders.mesh:80\r\n\r\n"), "200"));
  const std::string answer = world.talk(client, "GET / HTTP/1.1\r\nhost: nobody\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 404")) << answer;
  EXPECT_TRUE(contains(answer, "x-outrigger-flag: NR"));
  EXPECT_TRUE(contains(answer, "server: outrigger"));
}

TEST_F(ExchangeTest, local_replies_speak_grpc_to_grpc_callers) {
  world.add_service("orders", 0).wire = config::Wire::http2;
  world.start();
  Peer& client = world.connect(Peer::Speaks::h2_client);
  auto& answer = client.call(
      {.method = "POST", .fields = {{"content-type", "application/grpc"}}, .body = "x"});
  world.settle();
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(contains(answer.head, "grpc-status: 14\n")) << answer.head;
  EXPECT_TRUE(contains(answer.head, "grpc-message: UH: ")) << answer.head;
  EXPECT_TRUE(answer.ended);
}

TEST_F(ExchangeTest, a_websocket_is_a_tunnel_between_any_protocols) {
  for (const bool down2 : {false, true}) {
    for (const bool up2 : {false, true}) {
      ProxyWorld w;
      w.add_service("orders", 1).wire = up2 ? config::Wire::http2 : config::Wire::http1;
      w.start();
      FakeEndpoint& endpoint = w.endpoint(1);
      endpoint.speaks = up2 ? Peer::Speaks::h2_server : Peer::Speaks::h1_server;
      endpoint.on_head = [](Peer&, Peer::Sink& sink) {
        BlockPool blocks;
        Arena arena(blocks);
        http::Head head(arena);
        head.status = 101;
        head.version = http::Version::http2;  // so that the HTTP/1 codec computes the accept key
        head.protocol = "websocket";
        sink.stream->send_head(head, false);
      };
      endpoint.on_request = [](Peer&, Peer::Sink& sink) { sink.stream->send_data({}, true); };
      Peer& client = w.connect(down2 ? Peer::Speaks::h2_client : Peer::Speaks::h1_client);
      w.settle();
      test::FieldList fields = {{"sec-websocket-version", "13"}};
      if (!down2) fields.emplace_back("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
      auto& call = client.call({.fields = fields, .end = false, .protocol = "websocket"});
      w.settle();
      ASSERT_EQ(call.status, 101) << down2 << up2 << call.story();
      call.stream->send_data("ping", false);
      w.settle();
      auto& far = endpoint.last().server.last();
      EXPECT_EQ(far.body, "ping") << down2 << up2;
      far.stream->send_data("pong", false);
      w.settle();
      EXPECT_EQ(call.body, "pong");
      call.stream->send_data({}, true);
      w.settle();
      EXPECT_TRUE(far.ended) << down2 << up2;
      EXPECT_TRUE(call.ended) << down2 << up2 << call.story();
      EXPECT_EQ(w.metric(Family::requests, {"orders", "101"}), 1);
      w.expect_quiet();
    }
  }
}

TEST_F(ExchangeTest, a_refused_upgrade_stays_http) {
  start();
  world.endpoint(1).on_head = [](Peer& peer, Peer::Sink& sink) { peer.answer(sink, 426, "no"); };
  Peer& client = world.connect();
  const std::string answer = world.talk(client,
                                        "GET / HTTP/1.1\r\nhost: orders\r\nconnection: "
                                        "upgrade\r\nupgrade: websocket\r\nsec-websocket-key: "
                                        "dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: "
                                        "13\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 426")) << answer;
}

// An endpoint need not wait for the whole of a request that it rejects.
TEST_F(ExchangeTest, an_answer_without_a_body_before_the_uploads_end_reaches_the_caller) {
  struct Case {
    std::string method;
    std::string answer;
    int status;
  };
  const std::vector<Case> cases{
      {"POST", "HTTP/1.1 401 Who\r\nx-why: realm\r\ncontent-length: 0\r\n\r\n", 401},
      {"PUT", "HTTP/1.1 413 Large\r\nx-why: realm\r\ncontent-length: 0\r\n\r\n", 413},
      {"PUT", "HTTP/1.1 204 Fine\r\nx-why: realm\r\n\r\n", 204},
      {"POST", "HTTP/1.1 304 Same\r\nx-why: realm\r\ncontent-length: 9\r\n\r\n", 304},
      {"HEAD", "HTTP/1.1 200 OK\r\nx-why: realm\r\ncontent-length: 9\r\n\r\n", 200}};
  for (const Case& c : cases) {
    for (const bool down2 : {false, true}) {
      ProxyWorld w;
      w.add_service("orders", 1);
      w.start();
      w.endpoint(1).speaks = Peer::Speaks::bytes;
      Peer& client = w.connect(down2 ? Peer::Speaks::h2_client : Peer::Speaks::h1_client);
      auto& call = client.call({.method = c.method, .body = "half of it", .end = false});
      w.settle();
      w.endpoint(1).last().send(c.answer);
      w.settle();
      EXPECT_EQ(call.status, c.status) << down2 << c.answer << call.story();
      EXPECT_TRUE(contains(call.head, "x-why: realm\n")) << down2 << c.answer << call.head;
      EXPECT_TRUE(call.ended) << down2 << c.answer << call.story();
      EXPECT_EQ(call.body, "");
      EXPECT_EQ(contains(call.head, "length 9\n"), c.method == "HEAD" || c.status == 304)
          << call.head;
      EXPECT_EQ(w.metric(Family::requests, {"orders", std::to_string(c.status)}), 1);
      w.expect_quiet();
    }
  }
}

TEST_F(ExchangeTest, a_refused_tunnel_without_a_body_reaches_the_caller) {
  for (const bool connect : {false, true}) {
    for (const bool down2 : {false, true}) {
      ProxyWorld w;
      w.add_service("orders", 1);
      w.start();
      w.scope->upgrades = http::Upgrades({"websocket", "CONNECT"});
      w.endpoint(1).speaks = Peer::Speaks::bytes;
      Peer& client = w.connect(down2 ? Peer::Speaks::h2_client : Peer::Speaks::h1_client);
      w.settle();
      Request request{.end = false};
      if (connect) {
        request.method = "CONNECT";
        request.authority = "orders:80";
        request.path = "";
      } else {
        request.protocol = "websocket";
        request.fields = {{"sec-websocket-version", "13"}};
      }
      auto& call = client.call(request);
      w.settle();
      ASSERT_FALSE(w.endpoint(1).connections.empty()) << connect << down2 << call.story();
      w.endpoint(1).last().send("HTTP/1.1 403 No\r\nx-why: realm\r\ncontent-length: 0\r\n\r\n");
      w.settle();
      EXPECT_EQ(call.status, 403) << connect << down2 << call.story();
      EXPECT_TRUE(contains(call.head, "x-why: realm\n")) << connect << down2 << call.head;
      EXPECT_TRUE(call.ended) << connect << down2 << call.story();
      w.expect_quiet();
    }
  }
}

TEST_F(ExchangeTest, trailers_before_the_uploads_end_reach_the_caller) {
  for (const bool down2 : {false, true}) {
    ProxyWorld w;
    w.add_service("orders", 1);
    w.start();
    w.endpoint(1).speaks = Peer::Speaks::bytes;
    Peer& client = w.connect(down2 ? Peer::Speaks::h2_client : Peer::Speaks::h1_client);
    auto& call = client.call({.method = "POST", .body = "half of it", .end = false});
    w.settle();
    w.endpoint(1).last().send(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        "2\r\nhi\r\n0\r\nx-sum: 9\r\n\r\n");
    w.settle();
    EXPECT_EQ(call.body, "hi") << down2 << call.story();
    EXPECT_EQ(call.trailers, "x-sum: 9\n") << down2 << call.story();
    EXPECT_TRUE(call.ended) << down2 << call.story();
    w.expect_quiet();
  }
}

TEST_F(ExchangeTest, an_upgrade_without_an_extended_connect_has_an_http1_connection_of_its_own) {
  world.add_service("orders", 1).mtls = config::Mtls::strict;
  world.upstream_alpn = "http/1.1";
  world.start();
  world.scope->upgrades = http::Upgrades({"tcp", "websocket"});
  world.endpoint(1).on_head = [](Peer&, Peer::Sink&) {};
  for (const char* request : {"POST / HTTP/1.1\r\nhost: orders\r\nconnection: upgrade\r\nupgrade: "
                              "tcp\r\n\r\n",
                              "PUT / HTTP/1.1\r\nhost: orders\r\nconnection: upgrade\r\nupgrade: "
                              "websocket\r\n\r\n",
                              "GET / HTTP/1.1\r\nhost: orders\r\nconnection: upgrade\r\nupgrade: "
                              "websocket\r\n\r\n",
                              "GET / HTTP/1.1\r\nhost: orders\r\nconnection: upgrade\r\nupgrade: "
                              "websocket\r\nsec-websocket-key: AAAA\r\n\r\n",
                              "GET / HTTP/1.1\r\nhost: orders\r\nconnection: upgrade\r\nupgrade: "
                              "SPDY/3.1\r\n\r\n"}) {
    world.talk(world.connect(), request);
  }
  using upstream::Offer;
  EXPECT_EQ(world.offers,
            (std::vector{Offer::http1, Offer::http1, Offer::http1, Offer::http, Offer::http}));
}

// The endpoint is known to speak HTTP/2, in which these cannot be expressed.
TEST_F(ExchangeTest, an_upgrade_that_cannot_be_said_is_a_501) {
  world.add_service("orders", 1).wire = config::Wire::http2;
  world.start();
  world.endpoint(1).speaks = Peer::Speaks::h2_server;
  const std::string answer =
      world.talk(world.connect(),
                 "POST / HTTP/1.1\r\nhost: orders\r\nconnection: upgrade\r\nupgrade: "
                 "websocket\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 501")) << answer;
  EXPECT_EQ(world.endpoint(1).requests(), 0U);
}

// The endpoint would end the connection, and with it the requests of everybody else.
TEST_F(ExchangeTest, a_head_beyond_the_endpoints_http2_limit_is_a_431) {
  world.add_service("orders", 1).wire = config::Wire::http2;
  world.start();
  world.endpoint(1).speaks = Peer::Speaks::bytes;
  world.endpoint(1).on_peer = [](Peer& peer) {
    peer.on_raw = [&peer, begun = false](std::string_view) mutable {
      if (std::exchange(begun, true)) return;
      peer.send(http::h2::settings({{http::h2::max_header_list_size, 8192}}));
    };
  };
  Peer& other = world.connect();
  other.send(get);
  world.settle();
  const std::string large(6'000, 'x');
  const std::string head = "x-one: " + large + "\r\nx-two: " + large + "\r\n\r\n";
  const std::string answer = world.talk(
      world.connect(), "POST / HTTP/1.1\r\nhost: orders\r\ncontent-length: 0\r\n" + head);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 431")) << answer;
  Peer& client = world.connect(Peer::Speaks::h2_client);
  auto& call = client.call(
      {.method = "POST",
       .fields = {{"content-type", "application/grpc"}, {"x-one", large}, {"x-two", large}},
       .body = "x"});
  world.settle();
  EXPECT_TRUE(contains(call.head, "grpc-status: 8\n")) << call.head;
  EXPECT_EQ(world.metric(telemetry::Family::requests_active), 1) << "the other one";
  EXPECT_EQ(world.endpoint(1).connections.size(), 1U);
}

TEST_F(ExchangeTest, a_connect_that_nobody_allows_is_a_501) {
  start();
  const std::string answer =
      world.talk(world.connect(), "CONNECT db:5432 HTTP/1.1\r\nhost: db:5432\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 501")) << answer;
  Peer& client = world.connect(Peer::Speaks::h2_client);
  EXPECT_EQ((world.settle(), client.call({.method = "CONNECT", .end = false, .authority = "db:1"}))
                .misuse,
            "");
  world.settle();
  EXPECT_EQ(client.calls.back()->status, 501);
  EXPECT_EQ(world.endpoint(1).requests(), 0U);
}

// HTTP/1.0 does not require Host; every next hop must get one.
TEST_F(ExchangeTest, a_request_without_a_host_gets_the_services_name) {
  for (const bool up2 : {false, true}) {
    ProxyWorld w;
    w.add_service("orders", 1).wire = up2 ? config::Wire::http2 : config::Wire::http1;
    w.start();
    w.endpoint(1).speaks = up2 ? Peer::Speaks::h2_server : Peer::Speaks::h1_server;
    for (const char* host : {"", "host:\r\n"}) {
      Peer& client = w.connect();
      const std::string answer = w.talk(client, std::string("GET /x HTTP/1.0\r\n") + host + "\r\n");
      EXPECT_TRUE(answer.starts_with("HTTP/1.1 200")) << answer;
      EXPECT_TRUE(w.endpoint(1).last().server.last().head.starts_with("GET http://orders /x\n"))
          << w.endpoint(1).last().server.last().head;
    }
  }
}

TEST_F(ExchangeTest, response_headers_apply_to_a_routes_own_redirect_and_answer) {
  world.add_service("orders", 1);
  config::Route redirect;
  redirect.name = "away";
  redirect.match.path = config::TextMatch{config::TextMatch::Kind::exact, "/old"};
  redirect.redirect.emplace();
  redirect.redirect->path = "/new";
  redirect.response_headers.set = {{"cache-control", "max-age=60"}};
  redirect.response_headers.remove = {"server"};
  world.add_route(redirect);
  config::Route fixed;
  fixed.name = "fixed";
  fixed.answer = config::FixedAnswer{.status = 200, .body = "x", .content_type = "text/css"};
  fixed.response_headers.add = {{"vary", "accept"}};
  world.add_route(fixed);
  world.start();
  Peer& client = world.connect();
  std::string answer = world.talk(client, "GET /old HTTP/1.1\r\nhost: orders\r\n\r\n");
  EXPECT_TRUE(contains(answer, "cache-control: max-age=60\r\n")) << answer;
  EXPECT_TRUE(contains(answer, "location: http://orders/new\r\n")) << answer;
  EXPECT_FALSE(contains(answer, "server:")) << answer;
  answer = world.talk(client, "GET /x HTTP/1.1\r\nhost: orders\r\n\r\n");
  EXPECT_TRUE(contains(answer, "vary: accept\r\n")) << answer;
  EXPECT_TRUE(contains(answer, "content-type: text/css\r\n")) << answer;
}

TEST_F(ExchangeTest, routes_redirect_answer_rewrite_and_split) {
  world.add_service("orders", 1);
  world.add_service("billing", 1);
  config::Route redirect;
  redirect.name = "away";
  redirect.match.path = config::TextMatch{config::TextMatch::Kind::exact, "/old"};
  redirect.redirect.emplace();
  redirect.redirect->status = 301;
  redirect.redirect->path = "/new";
  world.add_route(redirect);
  config::Route fixed;
  fixed.name = "fixed";
  fixed.match.path = config::TextMatch{config::TextMatch::Kind::exact, "/robots.txt"};
  fixed.answer = config::FixedAnswer{.status = 200, .body = "disallow"};
  world.add_route(fixed);
  config::Route other;
  other.name = "other";
  other.match.path = config::TextMatch{config::TextMatch::Kind::prefix, "/pay"};
  other.destinations.emplace_back().service = "billing";
  other.rewrite.emplace();
  other.rewrite->prefix_from = "/pay";
  other.rewrite->prefix_to = "/v2";
  other.request_headers.set = {{"x-from", "mesh"}};
  other.response_headers.set = {{"x-by", "route"}};
  world.add_route(other);
  world.start();
  Peer& client = world.connect();
  std::string answer = world.talk(client, "GET /old HTTP/1.1\r\nhost: orders\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 301")) << answer;
  EXPECT_TRUE(contains(answer, "location: http://orders/new\r\n")) << answer;
  answer = world.talk(client, "GET /robots.txt HTTP/1.1\r\nhost: orders\r\n\r\n");
  EXPECT_TRUE(answer.ends_with("disallow")) << answer;
  answer = world.talk(client, "GET /pay/x HTTP/1.1\r\nhost: orders\r\n\r\n");
  EXPECT_TRUE(contains(answer, "x-by: route")) << answer;
  const std::string& head = world.endpoint("10.0.1.1:80").last().server.last().head;
  EXPECT_TRUE(contains(head, " /v2/x\n")) << head;
  EXPECT_TRUE(contains(head, "x-from: mesh\n")) << head;
  EXPECT_EQ(world.metric(Family::requests, {"fixed"}), 1);
}

// What an exchange writes to the log, field by field.
}  // namespace
}  // namespace outrigger::proxy
