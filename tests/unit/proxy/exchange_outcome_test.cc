// What is reported about attempts: to the balancer, to the caller's sidecar, to metrics and the
// log.

#include <gtest/gtest.h>

#include <string>

#include "proxy/exchange.h"
#include "proxy/local_reply.h"
#include "support/h2_frames.h"
#include "support/proxy_world.h"
#include "support/temp_directory.h"

namespace outrigger::proxy {
namespace {

using telemetry::Family;
using test::FakeEndpoint;
using test::Peer;
using test::ProxyWorld;
using Accepts = FakeEndpoint::Accepts;

constexpr std::string_view get = "GET /a HTTP/1.1\r\nhost: orders\r\n\r\n";
constexpr std::string_view post =
    "POST /a HTTP/1.1\r\nhost: orders\r\ncontent-length: 5\r\n\r\nhello";
const test::FieldList grpc{{"content-type", "application/grpc"}};

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// --- To the balancer -----------------------------------------------------------------------------

struct OutcomeTest : testing::Test {
  config::Service& service(int endpoints = 1) {
    config::Service& s = world.add_service("orders", endpoints);
    s.load_balancer.policy = config::LoadBalancer::Policy::peak_ewma;
    s.idle_timeout = hours(2);
    s.timeout = config::Millis(1'000);
    return s;
  }
  // What the balancer expects of the one endpoint.
  Duration expected() { return world.cluster().expected_latency(0); }
  std::uint64_t failures() { return world.cluster().host_at(0)->cells.failures.value(); }
  Peer::Sink& call_grpc(Peer& client) {
    return client.call({.method = "POST", .fields = grpc, .body = "x"});
  }
  static void send_head(Peer::Sink& sink, const test::FieldList& fields = {}) {
    BlockPool blocks;
    Arena arena(blocks);
    http::Head head(arena);
    head.status = 200;
    for (const auto& [name, value] : fields) head.fields.add(name, value);
    sink.stream->send_head(head, false);
  }
  static void send_trailers(Peer::Sink& sink, const test::FieldList& fields) {
    BlockPool blocks;
    Arena arena(blocks);
    http::Fields trailers(arena);
    for (const auto& [name, value] : fields) trailers.add(name, value);
    sink.stream->send_trailers(trailers);
  }
  ~OutcomeTest() override { world.expect_quiet(); }
  ProxyWorld world;
};

TEST_F(OutcomeTest, an_hour_long_grpc_stream_is_as_fast_as_its_head) {
  service().wire = config::Wire::http2;
  world.start();
  FakeEndpoint& endpoint = world.endpoint(1);
  endpoint.speaks = Peer::Speaks::h2_server;
  endpoint.on_request = [](Peer&, Peer::Sink& sink) { send_head(sink, grpc); };
  Peer& client = world.connect(Peer::Speaks::h2_client);
  world.settle();
  auto& call = call_grpc(client);
  world.settle();
  world.advance(hours(1));
  send_trailers(endpoint.last().server.last(), {{"grpc-status", "0"}});
  world.settle();
  EXPECT_TRUE(call.ended) << call.story();
  EXPECT_LT(expected(), milliseconds(100));
}

// A watch whose caller wanted it for an hour has succeeded when the hour is over.
TEST_F(OutcomeTest, a_grpc_stream_that_lives_to_its_deadline_is_as_fast_as_its_head) {
  service().wire = config::Wire::http2;
  world.config.services["orders"].timeout = config::Millis(0);
  world.start();
  FakeEndpoint& endpoint = world.endpoint(1);
  endpoint.speaks = Peer::Speaks::h2_server;
  endpoint.on_request = [](Peer&, Peer::Sink& sink) { send_head(sink, grpc); };
  Peer& client = world.connect(Peer::Speaks::h2_client);
  world.settle();
  auto& call = client.call(
      {.method = "POST", .fields = {grpc.front(), {"grpc-timeout", "1H"}}, .body = "x"});
  world.settle();
  world.advance(hours(1) + seconds(1));
  EXPECT_TRUE(contains(call.story(), "grpc-status: 4")) << call.story();
  EXPECT_LT(expected(), milliseconds(100));
  EXPECT_EQ(failures(), 0U);
}

// The caller's deadline says nothing about the endpoint.
TEST_F(OutcomeTest, a_failure_costs_the_services_timeout_and_not_the_callers_deadline) {
  service().wire = config::Wire::http2;
  world.config.services["orders"].timeout = config::Millis(0);
  world.start();
  FakeEndpoint& endpoint = world.endpoint(1);
  endpoint.speaks = Peer::Speaks::h2_server;
  endpoint.on_request = [](Peer& peer, Peer::Sink& sink) {
    peer.answer(sink, 200, {}, {grpc.front(), {"grpc-status", "13"}});
  };
  Peer& client = world.connect(Peer::Speaks::h2_client);
  world.settle();
  client.call({.method = "POST", .fields = {grpc.front(), {"grpc-timeout", "1H"}}, .body = "x"});
  world.settle();
  EXPECT_EQ(failures(), 1U);
  EXPECT_LT(expected(), minutes(1));
}

TEST_F(OutcomeTest, an_answer_that_breaks_off_after_an_hour_does_not_make_an_hour_of_latency) {
  service();
  world.start();
  world.endpoint(1).speaks = Peer::Speaks::bytes;
  Peer& client = world.connect();
  world.talk(client, get);
  world.endpoint(1).last().send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
  world.advance(hours(1));
  world.endpoint(1).last().reset();
  world.settle();
  EXPECT_EQ(failures(), 1U);
  EXPECT_LE(expected(), seconds(1)) << "a failure counts as the timeout";
}

TEST_F(OutcomeTest, a_caller_that_gives_up_does_not_count_against_the_endpoint) {
  service().timeout = config::Millis(0);
  world.start();
  world.endpoint(1).on_request = [](Peer&, Peer::Sink&) {};
  Peer& client = world.connect();
  world.talk(client, get);
  world.advance(hours(1));
  client.reset();
  world.settle();
  EXPECT_EQ(failures(), 0U);
  EXPECT_LT(expected(), milliseconds(100));
}

TEST_F(OutcomeTest, our_own_overflow_does_not_count_against_the_endpoint) {
  config::Service& s = service();
  s.timeout = config::Millis(0);
  s.breaker.connections = 1;
  s.breaker.pending = 1;
  world.start();
  world.endpoint(1).on_request = [](Peer&, Peer::Sink&) {};
  for (int i = 0; i < 2; ++i) world.talk(world.connect(), get);
  const std::string answer = world.talk(world.connect(), get);
  EXPECT_TRUE(contains(answer, "x-outrigger-flag: UO")) << answer;
  EXPECT_EQ(failures(), 0U);
  EXPECT_LT(expected(), milliseconds(100));
}

TEST_F(OutcomeTest, a_pause_that_an_answer_asks_for_is_told) {
  service().retry.max = 0;
  world.start();
  world.endpoint(1).on_request = [](Peer& peer, Peer::Sink& sink) {
    peer.answer(sink, 503, "busy", {{"retry-after", "5"}});
  };
  world.talk(world.connect(), get);
  EXPECT_GE(expected(), seconds(5));
}

TEST_F(OutcomeTest, a_pause_that_an_answer_without_fault_names_is_not_told) {
  service().retry.max = 0;
  world.start();
  world.endpoint(1).on_request = [](Peer& peer, Peer::Sink& sink) {
    peer.answer(sink, 404, "not yet", {{"retry-after", "5"}});
  };
  world.talk(world.connect(), get);
  EXPECT_LT(expected(), seconds(1));
}

TEST_F(OutcomeTest, a_pause_that_grpc_trailers_ask_for_is_told) {
  service().wire = config::Wire::http2;
  world.start();
  world.endpoint(1).speaks = Peer::Speaks::h2_server;
  world.endpoint(1).on_request = [](Peer&, Peer::Sink& sink) {
    send_head(sink, grpc);
    sink.stream->send_data("part", false);
    send_trailers(sink, {{"grpc-status", "8"}, {"grpc-retry-pushback-ms", "5000"}});
  };
  Peer& client = world.connect(Peer::Speaks::h2_client);
  world.settle();
  call_grpc(client);
  world.settle();
  EXPECT_GE(expected(), seconds(5));
}

TEST_F(OutcomeTest, a_retrys_permits_come_back_with_its_answers_head) {
  service().retry.retry_on = {config::RetryOn::server_error};
  world.start();
  FakeEndpoint& endpoint = world.endpoint(1);
  endpoint.on_request = [&endpoint](Peer& peer, Peer::Sink& sink) {
    if (endpoint.requests() == 1) return peer.answer(sink, 500);
    send_head(sink);
  };
  Peer& client = world.connect();
  client.send(get);
  world.advance(milliseconds(300));
  EXPECT_TRUE(client.take().starts_with("HTTP/1.1 200"));
  EXPECT_EQ(world.metric(Family::retries), 1);
  EXPECT_EQ(world.metric(Family::requests_active), 1) << "the answer goes on";
  EXPECT_EQ(world.cluster().breaker().retries.used(), 0U);
}

// --- To the caller's sidecar ---------------------------------------------------------------------

// The callee's side: one app, and an authenticated caller.
struct AttestTest : testing::Test {
  config::Service& app() {
    config::Service& s = world.add_service("orders", 1);
    s.retry.max = 0;
    return s;
  }
  Peer& start() {
    world.start();
    world.scope->direction = telemetry::Direction::inbound;
    ProxyWorld::Access access{.speaks = Peer::Speaks::h2_client};
    access.tls.emplace();
    access.tls->alpn = "h2";
    access.tls->version = "TLSv1.3";
    Peer& client = world.connect(access);
    world.settle();
    return client;
  }
  static bool marked(const Peer::Sink& answer) { return contains(answer.head, not_processed_name); }
  ~AttestTest() override { world.expect_quiet(); }
  ProxyWorld world;
};

TEST_F(AttestTest, a_stream_that_a_grpc_app_refused_is_attested) {
  app().wire = config::Wire::http2;
  Peer& client = start();
  world.endpoint(1).speaks = Peer::Speaks::h2_server;
  world.endpoint(1).on_head = [](Peer&, Peer::Sink& sink) {
    sink.was_reset = true;
    sink.stream->reset(http::StreamEnd::refused);
  };
  auto& answer = client.call({.method = "POST", .fields = grpc, .body = "x"});
  world.settle();
  EXPECT_TRUE(contains(answer.head, "grpc-status: 14\n")) << answer.story();
  EXPECT_TRUE(marked(answer)) << answer.head;
}

TEST_F(AttestTest, a_stream_beyond_an_apps_goaway_is_attested) {
  app().wire = config::Wire::http2;
  Peer& client = start();
  world.endpoint(1).speaks = Peer::Speaks::bytes;
  auto& answer = client.call({.method = "POST", .fields = grpc, .body = "x"});
  world.settle();
  using namespace std::string_literals;
  world.endpoint(1).last().send("\0\0\0\4\0\0\0\0\0"s + "\0\0\x08\7\0\0\0\0\0"s +
                                "\0\0\0\0\0\0\0\0"s);
  world.endpoint(1).last().finish();
  world.settle();
  EXPECT_TRUE(contains(answer.head, "grpc-status: 14\n")) << answer.story();
  EXPECT_TRUE(marked(answer)) << answer.head;
}

TEST_F(AttestTest, a_request_that_an_app_may_have_read_is_not_attested) {
  app();
  Peer& client = start();
  world.endpoint(1).on_request = [](Peer& peer, Peer::Sink&) { peer.reset(); };
  auto& answer = client.call({.method = "POST", .body = "x"});
  world.settle();
  EXPECT_EQ(answer.status, 503);
  EXPECT_FALSE(marked(answer)) << answer.head;
}

// The first try went out on a reused connection that then ended: the app may have read it before it
// closed.
TEST_F(AttestTest, a_stale_try_followed_by_a_refused_connect_is_not_attested) {
  app();
  Peer& client = start();
  EXPECT_EQ(client.call({.method = "GET"}).story().find("reset"), std::string::npos);
  world.settle();
  world.endpoint(1).on_request = [this](Peer& peer, Peer::Sink&) {
    world.endpoint(1).accepts = Accepts::refuses;
    peer.finish();
  };
  auto& answer = client.call({.method = "GET"});
  world.advance(seconds(1));
  EXPECT_EQ(answer.status, 503) << answer.story();
  EXPECT_TRUE(contains(answer.head, "x-outrigger-flag: UF")) << answer.head;
  EXPECT_FALSE(marked(answer)) << answer.head;
}

TEST_F(AttestTest, a_request_that_never_left_is_attested) {
  app();
  Peer& client = start();
  world.endpoint(1).accepts = Accepts::refuses;
  auto& answer = client.call({.method = "POST", .body = "x"});
  world.advance(seconds(1));
  EXPECT_EQ(answer.status, 503);
  EXPECT_TRUE(marked(answer)) << answer.head;
}

// HTTP/2 frames sent in reply to HTTP/1 are no response to the request: the app has not read it.
TEST_F(AttestTest, a_request_in_the_wrong_version_is_attested) {
  config::Service& s = app();
  s.protocol = config::Protocol::auto_;
  s.wire = config::Wire::auto_;
  Peer& client = start();
  FakeEndpoint& endpoint = world.endpoint(1);
  endpoint.speaks = Peer::Speaks::bytes;
  endpoint.on_peer = [&endpoint](Peer& peer) {
    endpoint.accepts = Accepts::refuses;
    peer.on_raw = [&peer](std::string_view) {
      using namespace std::string_literals;
      peer.send("\0\0\0\4\0\0\0\0\0"s);
    };
  };
  auto& answer = client.call({.method = "POST", .body = "x"});
  world.advance(seconds(1));
  EXPECT_EQ(answer.status, 503) << answer.story();
  EXPECT_TRUE(marked(answer)) << answer.head;
}

TEST_F(AttestTest, a_request_whose_http2_response_was_malformed_is_not_attested) {
  config::Service& s = app();
  s.protocol = config::Protocol::auto_;
  s.wire = config::Wire::auto_;
  Peer& client = start();
  FakeEndpoint& endpoint = world.endpoint(1);
  endpoint.speaks = Peer::Speaks::bytes;
  client.call({.method = "POST", .body = "x"});
  world.settle();
  endpoint.last().finish();
  world.settle();
  endpoint.on_peer = [&endpoint](Peer& peer) {
    endpoint.accepts = Accepts::refuses;
    peer.on_raw = [&peer, begun = false](std::string_view bytes) mutable {
      namespace h2 = http::h2;
      if (begun || !bytes.starts_with("PRI ")) return;
      begun = true;
      peer.send(h2::settings() +
                h2::headers(1, h2::response_block(200, {{"connection", "close"}}), h2::whole));
    };
  };
  auto& answer = client.call({.method = "POST", .body = "x"});
  world.advance(seconds(1));
  EXPECT_GE(answer.status, 500) << answer.story();
  EXPECT_FALSE(marked(answer)) << answer.head;
}

// --- To metrics and the log ----------------------------------------------------------------------

TEST(Telling, a_grpc_retry_is_labelled_with_its_status) {
  const std::vector<std::pair<int, std::string>> cases{{1, "cancelled"},
                                                       {4, "deadline_exceeded"},
                                                       {8, "resource_exhausted"},
                                                       {13, "internal"},
                                                       {14, "unavailable"}};
  for (const auto& [code, label] : cases) {
    ProxyWorld w;
    config::Service& s = w.add_service("orders", 1);
    s.wire = config::Wire::http2;
    s.retry.retry_on = {config::RetryOn::grpc_cancelled, config::RetryOn::grpc_deadline_exceeded,
                        config::RetryOn::grpc_internal, config::RetryOn::grpc_resource_exhausted,
                        config::RetryOn::grpc_unavailable};
    w.start();
    w.endpoint(1).speaks = Peer::Speaks::h2_server;
    w.endpoint(1).on_request = [status = code](Peer& peer, Peer::Sink& sink) {
      peer.answer(sink, 200, {},
                  {{"content-type", "application/grpc"}, {"grpc-status", std::to_string(status)}});
    };
    Peer& client = w.connect(Peer::Speaks::h2_client);
    w.settle();
    client.call({.method = "POST", .fields = grpc, .body = "x"});
    w.advance(seconds(1));
    EXPECT_EQ(w.metric(Family::retries, {label}), 1) << label;
    EXPECT_EQ(w.metric(Family::retries), 1) << label;
    w.expect_quiet();
  }
}

TEST(Telling, a_body_that_grows_too_large_names_the_endpoint_that_was_reading_it) {
  test::TempDirectory directory;
  ProxyWorld w;
  w.log.path = directory.path("access.log");
  w.add_service("orders", 1);
  w.start();
  w.scope->body_max = 4;
  Peer& client = w.connect();
  w.talk(client,
         "POST / HTTP/1.1\r\nhost: orders\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
  EXPECT_TRUE(w.talk(client, "3\r\ndef\r\n").starts_with("HTTP/1.1 413"));
  w.expect_quiet();
  const std::string log = w.log_text();
  EXPECT_TRUE(contains(log, "413")) << log;
  EXPECT_TRUE(contains(log, "10.0.0.1:80")) << log;
}

TEST(Telling, a_try_without_an_answer_has_no_upstream_duration) {
  test::TempDirectory directory;
  ProxyWorld w;
  w.log.path = directory.path("access.log");
  config::Service& s = w.add_service("orders", 1);
  s.timeout = config::Millis(2'000);
  s.retry.retry_on = {config::RetryOn::server_error};
  w.start();
  w.endpoint(1).on_request = [&w](Peer& peer, Peer::Sink& sink) {
    if (w.endpoint(1).requests() == 1) peer.answer(sink, 500, {}, {{"retry-after", "1"}});
  };
  Peer& client = w.connect();
  client.send(get);
  w.advance(seconds(3));
  EXPECT_TRUE(client.take().starts_with("HTTP/1.1 504"));
  w.expect_quiet();
  const std::string log = w.log_text();
  EXPECT_TRUE(contains(log, "504")) << log;
  EXPECT_FALSE(contains(log, "upstream_ms")) << log;
}

}  // namespace
}  // namespace outrigger::proxy
