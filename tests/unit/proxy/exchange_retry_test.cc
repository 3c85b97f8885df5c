// What follows a failed attempt: another one, or a response that says why not. And the deadlines.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "proxy/exchange.h"
#include "proxy/local_reply.h"
#include "support/proxy_world.h"

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

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

struct RetryTest : testing::Test {
  config::Service& service(int endpoints) { return world.add_service("orders", endpoints); }
  ~RetryTest() override { world.expect_quiet(); }
  // Sends one request and advances time until there is a response, a second at most.
  std::string ask(std::string_view request) {
    Peer& client = world.connect();
    client.send(request);
    world.advance(seconds(1));
    return client.take();
  }
  // Endpoint `number` handles each request like this.
  void does(int number, std::function<void(Peer&, Peer::Sink&)> what) {
    world.endpoint(number).on_request = std::move(what);
  }
  void says(int number, int status, test::FieldList fields = {}) {
    does(number, [status, fields = std::move(fields)](Peer& peer, Peer::Sink& sink) {
      peer.answer(sink, status, "said", fields);
    });
  }
  static void reset(Peer& peer, Peer::Sink&) { peer.reset(); }
  static void nothing(Peer&, Peer::Sink&) {}
  std::size_t seen() {
    std::size_t sum = 0;
    for (int i = 1; i <= 4; ++i) sum += world.endpoint(i).requests();
    return sum;
  }
  double retries() { return world.metric(Family::retries); }
  // Endpoints to which deadlines are passed on.
  void upstream_tls() { world.upstream_alpn = "http/1.1"; }
  static constexpr std::string_view deadline_field = "x-outrigger-deadline-ms: ";
  ProxyWorld world;
};

// --- Safe for any method -------------------------------------------------------------------------

TEST_F(RetryTest, who_cannot_connect_goes_elsewhere_at_once_whatever_the_method) {
  service(2).retry.max = 0;
  world.start();
  for (const Accepts how : {Accepts::refuses, Accepts::refuses_at_once}) {
    world.endpoint(1).accepts = how;
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(ask(post).starts_with("HTTP/1.1 200"));
  }
  EXPECT_EQ(world.endpoint(2).requests(), 8U);
  EXPECT_GE(retries(), 4);
}

TEST_F(RetryTest, when_nobody_can_be_reached_it_says_so_after_four_tries) {
  service(6);
  world.start();
  for (int i = 1; i <= 6; ++i) world.endpoint(i).accepts = Accepts::refuses;
  const std::string answer = ask(post);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503")) << answer;
  EXPECT_TRUE(contains(answer, "x-outrigger-flag: UF")) << answer;
  EXPECT_TRUE(contains(answer, "Connection refused")) << answer;
  int tries = 0;
  for (int i = 1; i <= 6; ++i) {
    EXPECT_LE(world.endpoint(i).tries, 1) << "another one each time";
    tries += world.endpoint(i).tries;
  }
  EXPECT_EQ(tries, 1 + policy::free_tries_max);
}

TEST_F(RetryTest, a_refused_stream_is_safe_to_send_again) {
  service(2).wire = config::Wire::http2;
  world.start();
  for (int i = 1; i <= 2; ++i) world.endpoint(i).speaks = Peer::Speaks::h2_server;
  does(1, [](Peer&, Peer::Sink& sink) { sink.stream->reset(http::StreamEnd::refused); });
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(ask(post).starts_with("HTTP/1.1 200")) << i;
  EXPECT_EQ(world.endpoint(2).requests(), 4U);
  for (auto& peer : world.endpoint(2).connections) {
    for (auto& sink : peer->server.sinks) EXPECT_EQ(sink->body, "hello");
  }
}

TEST_F(RetryTest, a_stream_beyond_the_last_one_of_a_goaway_is_safe_to_send_again) {
  service(2).wire = config::Wire::http2;
  world.start();
  world.endpoint(1).speaks = Peer::Speaks::bytes;
  world.endpoint(2).speaks = Peer::Speaks::h2_server;
  Peer& client = world.connect();
  client.send(post);
  world.settle();
  if (world.endpoint(1).connections.empty()) {  // the other one's turn
    client.take();
    client.send(post);
    world.settle();
  }
  // SETTINGS; GOAWAY with last stream 0 and no error; then the connection ends without another
  // byte.
  using namespace std::string_literals;
  world.endpoint(1).last().send("\0\0\0\4\0\0\0\0\0"s + "\0\0\x08\7\0\0\0\0\0"s +
                                "\0\0\0\0\0\0\0\0"s);
  world.endpoint(1).last().finish();
  world.advance(seconds(1));
  EXPECT_TRUE(client.take().starts_with("HTTP/1.1 200"));
}

TEST_F(RetryTest, a_marked_503_of_a_peer_that_proved_itself_is_safe_to_send_again) {
  world.upstream_alpn = "http/1.1";
  service(2);
  world.start();
  says(1, 503, {{std::string(not_processed_name), "1"}});
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(ask(post).starts_with("HTTP/1.1 200")) << i;
  EXPECT_EQ(world.endpoint(2).requests(), 4U);
}

TEST_F(RetryTest, the_mark_leaves_the_sidecars_in_no_case) {
  for (const bool secure : {false, true}) {
    ProxyWorld w;
    if (secure) w.upstream_alpn = "http/1.1";
    w.add_service("orders", 1);
    w.start();
    w.endpoint(1).on_request = [](Peer& peer, Peer::Sink& sink) {
      peer.answer(sink, sink.head.find("/ok") != std::string::npos ? 200 : 503, "said",
                  {{std::string(not_processed_name), "1"}});
    };
    for (const char* path : {"/ok", "/unavailable"}) {
      Peer& client = w.connect();
      client.send("POST " + std::string(path) +
                  " HTTP/1.1\r\nhost: orders\r\ncontent-length: 0\r\n\r\n");
      w.advance(seconds(1));
      const std::string answer = client.take();
      EXPECT_TRUE(contains(answer, "said")) << answer;
      EXPECT_FALSE(contains(answer, not_processed_name)) << secure << answer;
    }
    // Without TLS anyone could have added the mark: the request was not sent again.
    EXPECT_EQ(w.endpoint(1).requests(), secure ? 3U : 2U);
    w.expect_quiet();
  }
}

TEST_F(RetryTest, a_callee_marks_what_its_app_has_not_seen_to_callers_it_knows) {
  for (const bool secure : {false, true}) {
    for (const bool grpc : {false, true}) {
      ProxyWorld w;
      w.add_service("orders", 1).retry.max = 0;
      w.start();
      w.scope->direction = telemetry::Direction::inbound;
      w.endpoint(1).accepts = Accepts::refuses;
      ProxyWorld::Access access{.speaks = Peer::Speaks::h2_client};
      if (secure) {
        access.tls.emplace();
        access.tls->alpn = "h2";
        access.tls->version = "TLSv1.3";
      }
      Peer& client = w.connect(access);
      test::FieldList fields;
      if (grpc) fields = {{"content-type", "application/grpc"}};
      auto& answer = client.call({.method = "POST", .fields = fields, .body = "x"});
      w.advance(seconds(1));
      EXPECT_EQ(answer.status, grpc ? 200 : 503);
      EXPECT_EQ(contains(answer.head, not_processed_name), secure) << answer.head;
      w.expect_quiet();
    }
  }
}

TEST_F(RetryTest, a_marked_grpc_answer_is_safe_to_send_again_too) {
  world.upstream_alpn = "h2";
  service(2);
  world.start();
  for (int i = 1; i <= 2; ++i) world.endpoint(i).speaks = Peer::Speaks::h2_server;
  does(1, [](Peer& peer, Peer::Sink& sink) {
    peer.answer(sink, 200, {},
                {{"content-type", "application/grpc"},
                 {"grpc-status", "14"},
                 {std::string(not_processed_name), "1"}});
  });
  says(2, 200, {{"content-type", "application/grpc"}});
  Peer& client = world.connect(Peer::Speaks::h2_client);
  for (int i = 0; i < 4; ++i) {
    auto& answer = client.call(
        {.method = "POST", .fields = {{"content-type", "application/grpc"}}, .body = "x"});
    world.advance(seconds(1));
    EXPECT_EQ(answer.body, "said") << i << answer.head;
  }
}

// --- Safe for idempotent methods only ------------------------------------------------------------

TEST_F(RetryTest, a_reset_before_the_answer_is_tried_again_for_idempotent_methods_only) {
  service(2);
  world.start();
  does(1, reset);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(ask(get).starts_with("HTTP/1.1 200")) << i;
  std::size_t failed = 0;
  for (int i = 0; i < 2; ++i) {
    const std::string answer = ask(post);
    if (answer.starts_with("HTTP/1.1 200")) continue;
    ++failed;
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 503")) << answer;
    EXPECT_TRUE(contains(answer, "x-outrigger-flag: UC")) << answer;
  }
  EXPECT_EQ(failed, 1U) << "the one whose turn endpoint 1 was";
}

TEST_F(RetryTest, a_kept_connection_that_was_dead_costs_an_idempotent_request_nothing) {
  service(1).retry.max = 0;
  world.start();
  Peer& client = world.connect();
  EXPECT_TRUE(world.talk(client, get).starts_with("HTTP/1.1 200"));
  // The connection is closed as the next request arrives.
  does(1, [this](Peer& peer, Peer::Sink&) {
    world.endpoint(1).on_request = nullptr;
    peer.finish();
  });
  EXPECT_TRUE(world.talk(client, get).starts_with("HTTP/1.1 200"));
  EXPECT_EQ(world.endpoint(1).tries, 2);
  does(1, [](Peer& peer, Peer::Sink&) { peer.finish(); });
  const std::string answer = world.talk(client, post);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503")) << "it may have been read: " << answer;
}

TEST_F(RetryTest, tries_end_and_the_flag_tells) {
  service(4).retry.max = 2;
  world.start();
  for (int i = 1; i <= 4; ++i) does(i, reset);
  const std::string answer = ask(get);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503")) << answer;
  EXPECT_TRUE(contains(answer, "x-outrigger-flag: URX")) << answer;
  EXPECT_EQ(seen(), 3U);
  EXPECT_EQ(retries(), 2);
}

TEST_F(RetryTest, between_tries_there_is_a_pause) {
  config::Service& s = service(2);
  s.retry.backoff_base = s.retry.backoff_max = config::Millis(200);
  world.start();
  for (int i = 1; i <= 2; ++i) does(i, reset);
  Peer& client = world.connect();
  client.send(get);
  world.settle();
  EXPECT_EQ(seen(), 1U);
  world.advance(milliseconds(250));
  EXPECT_EQ(seen(), 2U);
}

TEST_F(RetryTest, a_caller_that_goes_during_the_pause_ends_it) {
  config::Service& s = service(2);
  s.retry.backoff_base = s.retry.backoff_max = config::Millis(200);
  world.start();
  for (int i = 1; i <= 2; ++i) does(i, reset);
  Peer& client = world.connect();
  client.send(get);
  world.settle();
  client.reset();
  world.advance(seconds(1));
  EXPECT_EQ(seen(), 1U);
  EXPECT_EQ(world.metric(Family::requests, {"orders", "DC"}), 1);
}

// --- As configured -------------------------------------------------------------------------------

TEST_F(RetryTest, a_status_is_tried_again_when_the_configuration_says_so) {
  config::Service& s = service(2);
  s.retry.retry_on = {config::RetryOn::gateway_error};
  s.retry.statuses = {{429, 429}};
  world.start();
  for (const int status : {502, 504, 429}) {
    says(1, status);
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(ask(post).starts_with("HTTP/1.1 200")) << status;
  }
  says(1, 500);
  std::size_t passed_on = 0;
  for (int i = 0; i < 2; ++i) passed_on += ask(post).starts_with("HTTP/1.1 500") ? 1 : 0;
  EXPECT_EQ(passed_on, 1U);
}

TEST_F(RetryTest, an_answer_that_stands_is_passed_on_whole) {
  service(1).retry.retry_on = {config::RetryOn::server_error};
  world.start();
  says(1, 500, {{"x-why", "because"}});
  const std::string answer = ask(get);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 500")) << answer;
  EXPECT_TRUE(contains(answer, "x-why: because")) << answer;
  EXPECT_TRUE(answer.ends_with("said")) << answer;
  EXPECT_EQ(seen(), 2U);
}

TEST_F(RetryTest, retry_after_is_waited_for_and_a_long_one_is_not) {
  service(1).retry.retry_on = {config::RetryOn::server_error};
  world.start();
  says(1, 503, {{"retry-after", "2"}});
  Peer& client = world.connect();
  client.send(get);
  world.advance(milliseconds(1'900));
  EXPECT_EQ(seen(), 1U);
  world.advance(milliseconds(200));
  EXPECT_EQ(seen(), 2U);
  says(1, 503, {{"retry-after", "3600"}});
  Peer& other = world.connect();
  other.send(get);
  world.settle();
  EXPECT_TRUE(other.take().starts_with("HTTP/1.1 503"));
}

TEST_F(RetryTest, a_caller_that_goes_during_the_pause_has_had_no_retry) {
  config::Service& s = service(1);
  s.retry.retry_on = {config::RetryOn::server_error};
  s.retry.backoff_base = config::Millis(900);
  s.retry.backoff_max = config::Millis(900);
  world.start();
  says(1, 500, {{"retry-after", "1"}});
  Peer& client = world.connect();
  world.talk(client, get);
  client.reset();
  world.advance(seconds(5));
  EXPECT_EQ(seen(), 1U);
  EXPECT_EQ(retries(), 0);
}

// The budget and the breaker's limit are separate and have separate counters.
TEST_F(RetryTest, a_retry_that_the_breaker_refuses_does_not_count_as_the_budgets) {
  config::Service& s = service(1);
  s.breaker.retries = 0;
  s.retry.retry_on = {config::RetryOn::server_error};
  world.start();
  says(1, 500);
  ask(get);
  EXPECT_EQ(seen(), 1U);
  EXPECT_EQ(world.metric(Family::retry_budget_exhausted), 0);
  EXPECT_EQ(world.cluster().breaker().retries.refused().value(), 1U);
}

// The permit of the failed try is free again when the next one is requested.
TEST_F(RetryTest, one_request_may_try_again_twice_although_retries_are_for_one_at_a_time) {
  config::Service& s = service(1);
  s.retry.max = 2;
  s.retry.budget = 0;
  s.retry.retry_on = {config::RetryOn::server_error};
  s.breaker.retries = 1;
  world.start();
  policy::RetryBudget& budget = world.cluster().retry_budget();
  std::vector<policy::RetryBudget::Permit> others;
  for (std::uint32_t i = 1; i < policy::RetryFloor::default_max; ++i)
    others.push_back(budget.try_take(world.loop.now()));
  says(1, 500);
  ask(get);
  EXPECT_EQ(seen(), 3U);
  EXPECT_EQ(world.metric(Family::retry_budget_exhausted), 0);
}

TEST_F(RetryTest, the_budget_bounds_retries) {
  config::Service& s = service(1);
  s.retry.budget = 0;
  s.retry.retry_on = {config::RetryOn::server_error};
  world.start();
  says(1, 500);
  for (int i = 0; i < 100; ++i) {
    Peer& client = world.connect();
    client.send(get);
  }
  world.advance(milliseconds(300));
  EXPECT_LT(seen(), 130U);
  EXPECT_GT(world.metric(Family::retry_budget_exhausted), 0);
}

// --- The request's body --------------------------------------------------------------------------

TEST_F(RetryTest, a_body_is_sent_again_whole_with_its_trailers) {
  service(2);
  world.start();
  does(1, reset);
  Peer& client = world.connect(Peer::Speaks::h1_client);
  for (int i = 0; i < 2; ++i) {
    auto& answer = client.call({.method = "PUT",
                                .fields = {{"te", "trailers"}},
                                .body = std::string(50'000, 'b'),
                                .trailers = {{"x-sum", "9"}}});
    world.advance(seconds(1));
    EXPECT_EQ(answer.status, 200);
  }
  for (auto& peer : world.endpoint(2).connections) {
    for (auto& sink : peer->server.sinks) {
      EXPECT_EQ(sink->body.size(), 50'000U);
      EXPECT_EQ(sink->trailers, "x-sum: 9\n");
    }
  }
}

TEST_F(RetryTest, a_body_larger_than_what_is_kept_is_not_sent_again) {
  config::Service& s = service(2);
  s.retry.body_max = 100;
  world.start();
  for (int i = 1; i <= 2; ++i) does(i, reset);
  const auto put = [](std::size_t size) {
    return "PUT / HTTP/1.1\r\nhost: orders\r\ncontent-length: " + std::to_string(size) +
           "\r\n\r\n" + std::string(size, 'b');
  };
  ask(put(100));
  EXPECT_EQ(seen(), 2U);
  ask(put(101));
  EXPECT_EQ(seen(), 3U);
}

TEST_F(RetryTest, a_large_body_waits_with_the_caller_until_there_is_a_connection) {
  config::Service& s = service(1);
  s.retry.body_max = 1'000;
  world.start();
  world.endpoint(1).accepts = Accepts::never;
  Peer& client = world.connect({.pipe = {.capacity = 10'000}});
  const std::string head = "PUT / HTTP/1.1\r\nhost: orders\r\ncontent-length: 2000000\r\n\r\n";
  client.send(head + std::string(2'000'000, 'b'));
  world.settle();
  EXPECT_GT(client.connection().unsent(), 1'500'000U) << "it is not all taken in";
  world.endpoint(1).accepts = Accepts::yes;
  // The connect times out; everything received so far is still held.
  world.advance(milliseconds(1'100));
  EXPECT_TRUE(client.take().starts_with("HTTP/1.1 200"));
  EXPECT_EQ(world.endpoint(1).last().server.last().body.size(), 2'000'000U);
}

TEST_F(RetryTest, an_answer_that_has_begun_is_not_tried_again) {
  service(2);
  world.start();
  for (int i = 1; i <= 2; ++i) world.endpoint(i).speaks = Peer::Speaks::bytes;
  Peer& client = world.connect();
  client.send(get);
  world.settle();
  Peer& endpoint =
      world.endpoint(1).connections.empty() ? world.endpoint(2).last() : world.endpoint(1).last();
  endpoint.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
  world.settle();
  endpoint.reset();
  world.advance(seconds(1));
  EXPECT_EQ(world.endpoint(1).tries + world.endpoint(2).tries, 1);
  EXPECT_TRUE(client.take().ends_with("half"));
  EXPECT_TRUE(client.input_ended);
}

// --- The breaker ---------------------------------------------------------------------------------

TEST_F(RetryTest, beyond_the_breakers_requests_it_says_overflow) {
  service(1).breaker.requests = 2;
  world.start();
  does(1, nothing);
  for (int i = 0; i < 2; ++i) world.talk(world.connect(), get);
  Peer& third = world.connect();
  const std::string answer = world.talk(third, get);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503")) << answer;
  EXPECT_TRUE(contains(answer, "x-outrigger-flag: UO")) << answer;
  world.clients.front()->reset();
  world.settle();
  does(1, nullptr);
  EXPECT_TRUE(world.talk(third, get).starts_with("HTTP/1.1 200"));
}

TEST_F(RetryTest, without_endpoints_it_says_so) {
  service(0);
  world.start();
  EXPECT_TRUE(contains(ask(get), "x-outrigger-flag: UH"));
}

// --- Deadlines -----------------------------------------------------------------------------------

TEST_F(RetryTest, an_answer_that_does_not_come_in_time_is_a_504) {
  service(1).timeout = config::Millis(3'000);
  world.start();
  does(1, nothing);
  Peer& client = world.connect();
  client.send(post);
  world.advance(milliseconds(2'900));
  EXPECT_EQ(client.take(), "");
  world.advance(milliseconds(200));
  const std::string answer = client.take();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 504")) << answer;
  EXPECT_TRUE(contains(answer, "x-outrigger-flag: UT")) << answer;
  EXPECT_TRUE(world.endpoint(1).last().server.last().was_reset) << "the endpoint learns of it";
  EXPECT_EQ(seen(), 1U);
}

TEST_F(RetryTest, one_try_may_have_a_time_of_its_own) {
  config::Service& s = service(2);
  s.retry.per_try = config::Millis(300);
  world.start();
  does(1, nothing);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(ask(get).starts_with("HTTP/1.1 200")) << i;
  does(2, nothing);
  const std::string answer = ask(get);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 504")) << answer;
  EXPECT_TRUE(contains(answer, "x-outrigger-flag: URX") || contains(answer, "x-outrigger-flag: UT"))
      << answer;
}

TEST_F(RetryTest, a_slow_upload_is_not_the_endpoints_fault) {
  service(1).timeout = config::Millis(3'000);
  world.start();
  Peer& client = world.connect();
  client.send("PUT / HTTP/1.1\r\nhost: orders\r\ncontent-length: 20\r\n\r\n");
  for (int i = 0; i < 20; ++i) {
    world.advance(seconds(1));
    client.send("x");
  }
  world.settle();
  EXPECT_TRUE(client.take().starts_with("HTTP/1.1 200"));
}

TEST_F(RetryTest, a_slow_upload_does_not_use_up_the_time_of_a_try) {
  config::Service& s = service(1);
  s.timeout = config::Millis(9'000);
  s.retry.per_try = config::Millis(3'000);
  world.start();
  does(1, nothing);
  Peer& client = world.connect();
  client.send("PUT / HTTP/1.1\r\nhost: orders\r\ncontent-length: 20\r\n\r\n");
  for (int i = 0; i < 20; ++i) {
    world.advance(seconds(1));
    client.send("x");
  }
  world.settle();
  EXPECT_EQ(client.take(), "");
  EXPECT_EQ(seen(), 1U);
  EXPECT_EQ(world.metric(Family::upstream_attempts), 1);
  world.advance(milliseconds(2'900));
  EXPECT_EQ(world.metric(Family::upstream_attempts), 1);
  world.advance(milliseconds(200));
  EXPECT_EQ(world.metric(Family::retries, {"per_try_timeout"}) +
                world.metric(Family::requests, {"orders", "504", "UT"}),
            1)
      << "from the upload's end on, it counts";
}

// While we make the caller wait, the time is the endpoint's, whether it does not read or has no
// connection to spare.
TEST_F(RetryTest, an_endpoint_that_does_not_take_an_upload_uses_up_the_time_of_a_try) {
  for (const bool connected : {true, false}) {
    ProxyWorld w;
    config::Service& s = w.add_service("orders", 1);
    s.timeout = config::Millis(9'000);
    s.retry.per_try = config::Millis(3'000);
    s.retry.max = 0;
    s.breaker.connections = 1;
    w.start();
    FakeEndpoint& endpoint = w.endpoint(1);
    endpoint.speaks = Peer::Speaks::bytes;
    endpoint.pipe = {.capacity = 1'000};
    endpoint.on_peer = [connected](Peer& peer) { peer.stall(connected); };
    if (!connected) {
      w.talk(w.connect(), get);
      endpoint.last().send("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n");
    }
    Peer& client = w.connect();
    client.send("PUT / HTTP/1.1\r\nhost: orders\r\ncontent-length: 4000000\r\n\r\n" +
                std::string(4'000'000, 'x'));
    w.advance(milliseconds(2'900));
    EXPECT_EQ(client.take(), "") << connected;
    w.advance(milliseconds(300));
    EXPECT_TRUE(client.take().starts_with("HTTP/1.1 504")) << connected;
    w.expect_quiet();
  }
}

// The callee's time runs from the end of the request, as ours does.
TEST_F(RetryTest, a_deadline_that_is_passed_on_does_not_count_the_upload) {
  upstream_tls();
  config::Service& s = service(2);
  s.timeout = config::Millis(3'000);
  world.start();
  for (int i = 1; i <= 2; ++i) {
    does(i, [this](Peer& peer, Peer::Sink&) {
      if (seen() == 1) peer.reset();
    });
  }
  Peer& client = world.connect();
  client.send("PUT / HTTP/1.1\r\nhost: orders\r\ncontent-length: 20\r\n\r\n");
  for (int i = 0; i < 20; ++i) {
    world.advance(seconds(1));
    client.send("x");
  }
  world.settle();
  ASSERT_EQ(seen(), 1U);
  world.advance(seconds(1));
  ASSERT_EQ(seen(), 2U);
  std::vector<std::int64_t> told;
  for (int i = 1; i <= 2; ++i) {
    const std::string& head = world.endpoint(i).last().server.last().head;
    const std::size_t at = head.find(deadline_field);
    ASSERT_NE(at, std::string::npos) << head;
    told.push_back(std::stoll(head.substr(at + deadline_field.size())));
  }
  std::sort(told.begin(), told.end());
  EXPECT_EQ(told[1], 3'000) << "told while the upload was running: the whole of it";
  EXPECT_LT(told[0], 3'000);
  EXPECT_GT(told[0], 2'000) << "of the 3 s, less than a second has passed";
}

TEST_F(RetryTest, an_upload_that_stops_is_a_408) {
  service(1).idle_timeout = config::Millis(5'000);
  world.start();
  Peer& client = world.connect();
  client.send("PUT / HTTP/1.1\r\nhost: orders\r\ncontent-length: 20\r\n\r\nx");
  world.advance(milliseconds(5'100));
  const std::string answer = client.take();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 408")) << answer;
  EXPECT_TRUE(contains(answer, "x-outrigger-flag: SI")) << answer;
}

TEST_F(RetryTest, an_answer_that_stops_is_cut_short) {
  service(1).idle_timeout = config::Millis(5'000);
  world.start();
  world.endpoint(1).speaks = Peer::Speaks::bytes;
  Peer& client = world.connect();
  world.talk(client, get);
  world.endpoint(1).last().send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n");
  for (int i = 0; i < 4; ++i) {
    world.advance(seconds(4));
    world.endpoint(1).last().send("x");
  }
  world.settle();
  EXPECT_FALSE(client.closed.has_value()) << "slow is not stopped";
  world.advance(milliseconds(5'100));
  EXPECT_TRUE(client.input_ended) << "with 4 of 10 bytes";
  EXPECT_TRUE(client.take().ends_with("\r\n\r\nxxxx"));
  EXPECT_EQ(world.metric(Family::requests, {"orders", "200", "SI"}), 1);
}

// A try's deadline ends with the try: it must not fire during the pause before the next one.
TEST_F(RetryTest, a_trys_deadline_does_not_outlive_the_try) {
  config::Service& s = service(2);
  s.retry.max = 3;
  s.retry.per_try = config::Millis(300);
  s.retry.backoff_base = config::Millis(250);
  s.retry.backoff_max = config::Millis(500);
  world.start();
  for (int i = 1; i <= 2; ++i) does(i, nothing);
  Peer& client = world.connect();
  client.send(get);
  for (int i = 0; i < 40; ++i) {
    world.advance(milliseconds(240));
    for (int e = 1; e <= 2; ++e) {
      for (auto& peer : world.endpoint(e).connections) peer->reset();
    }
    world.settle();
  }
  const std::string answer = client.take();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503")) << answer;
  EXPECT_EQ(seen(), 4U);
}

TEST_F(RetryTest, an_upload_that_stops_after_a_pause_between_tries_is_a_408) {
  config::Service& s = service(2);
  s.idle_timeout = config::Millis(5'000);
  world.start();
  for (int i = 1; i <= 2; ++i) {
    world.endpoint(i).on_head = [this](Peer& peer, Peer::Sink&) {
      if (seen() == 1) peer.reset();
    };
  }
  Peer& client = world.connect();
  client.send("PUT / HTTP/1.1\r\nhost: orders\r\ncontent-length: 20\r\n\r\nx");
  world.advance(seconds(1));
  ASSERT_EQ(seen(), 2U);
  world.advance(milliseconds(4'500));
  const std::string answer = client.take();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 408")) << answer;
}

TEST_F(RetryTest, the_route_timeout_holds_after_a_pause_between_tries) {
  config::Service& s = service(2);
  s.timeout = config::Millis(3'000);
  world.start();
  for (int i = 1; i <= 2; ++i) {
    does(i, [this](Peer& peer, Peer::Sink&) {
      if (seen() == 1) peer.reset();
    });
  }
  Peer& client = world.connect();
  client.send(get);
  world.advance(seconds(1));
  ASSERT_EQ(seen(), 2U);
  world.advance(milliseconds(2'100));
  EXPECT_TRUE(client.take().starts_with("HTTP/1.1 504"));
}

// Such a request has no end for the route's timeout to start from.
TEST_F(RetryTest, an_upgrade_or_connect_that_is_not_answered_is_a_504) {
  for (const bool connect : {false, true}) {
    ProxyWorld w;
    w.add_service("orders", 1).timeout = config::Millis(3'000);
    w.start();
    w.scope->upgrades = http::Upgrades({"websocket", "CONNECT"});
    w.endpoint(1).speaks = Peer::Speaks::bytes;
    Peer& client = w.connect();
    client.send(connect ? "CONNECT orders:80 HTTP/1.1\r\nhost: orders:80\r\n\r\n"
                        : "GET / HTTP/1.1\r\nhost: orders\r\nconnection: "
                          "upgrade\r\nupgrade: websocket\r\nsec-websocket-key: "
                          "dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n");
    w.advance(milliseconds(2'900));
    EXPECT_EQ(client.take(), "") << connect;
    w.advance(milliseconds(200));
    const std::string answer = client.take();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 504")) << connect << answer;
    w.expect_quiet();
  }
}

TEST_F(RetryTest, a_tunnel_lives_as_long_as_bytes_move) {
  service(1).timeout = config::Millis(3'000);
  world.start();
  world.scope->upgrades = http::Upgrades({"CONNECT"});
  world.endpoint(1).speaks = Peer::Speaks::bytes;
  Peer& client = world.connect();
  client.send("CONNECT orders:80 HTTP/1.1\r\nhost: orders:80\r\n\r\n");
  world.settle();
  world.endpoint(1).last().send("HTTP/1.1 200 OK\r\n\r\n");
  for (int i = 0; i < 20; ++i) {
    world.advance(minutes(4));
    client.send("ping");
  }
  world.settle();
  EXPECT_FALSE(client.closed.has_value());
  EXPECT_TRUE(world.endpoint(1).last().received.ends_with("pingpingping"));
}

// A gRPC call's own deadline applies to the whole call.
TEST_F(RetryTest, a_grpc_deadline_is_kept_and_passed_on) {
  service(1).wire = config::Wire::http2;
  world.start();
  world.endpoint(1).speaks = Peer::Speaks::h2_server;
  does(1, nothing);
  Peer& client = world.connect(Peer::Speaks::h2_client);
  auto& answer =
      client.call({.method = "POST",
                   .fields = {{"content-type", "application/grpc"}, {"grpc-timeout", "700m"}},
                   .body = "x"});
  world.settle();
  EXPECT_TRUE(contains(world.endpoint(1).last().server.last().head, "grpc-timeout: "))
      << world.endpoint(1).last().server.last().head;
  world.advance(milliseconds(750));
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(contains(answer.head, "grpc-status: 4\n")) << answer.head;
}

// If server and caller enforce the same deadline, the server's cancellation may arrive first.
TEST_F(RetryTest, a_grpc_server_that_cancels_at_the_deadline_has_exceeded_it) {
  struct Case {
    int after;  // ms
    std::string_view status;
    std::string_view flag;
  };
  for (const Case& c : {Case{695, "4", "UT"}, Case{300, "14", "UC"}}) {
    ProxyWorld w;
    w.add_service("orders", 2).wire = config::Wire::http2;
    w.start();
    for (int i = 1; i <= 2; ++i) {
      w.endpoint(i).speaks = Peer::Speaks::h2_server;
      w.endpoint(i).on_request = [](Peer&, Peer::Sink&) {};
    }
    Peer& client = w.connect(Peer::Speaks::h2_client);
    w.settle();
    auto& answer =
        client.call({.method = "POST",
                     .fields = {{"content-type", "application/grpc"}, {"grpc-timeout", "700m"}},
                     .body = "x"});
    w.advance(milliseconds(c.after));
    FakeEndpoint& asked = w.endpoint(w.endpoint(1).connections.empty() ? 2 : 1);
    asked.last().server.last().was_reset = true;
    asked.last().server.last().stream->reset(http::StreamEnd::cancelled);
    w.settle();
    EXPECT_TRUE(contains(answer.head, "grpc-status: " + std::string(c.status) + "\n"))
        << answer.story();
    EXPECT_EQ(w.metric(Family::requests, {std::string(c.flag)}), 1) << c.after;
    w.expect_quiet();
  }
}

TEST_F(RetryTest, a_grpc_answer_that_has_begun_ends_with_its_deadline_in_trailers) {
  for (const bool by_server : {false, true}) {
    ProxyWorld w;
    w.add_service("orders", 1).wire = config::Wire::http2;
    w.start();
    w.endpoint(1).speaks = Peer::Speaks::h2_server;
    w.endpoint(1).on_request = [](Peer&, Peer::Sink& sink) {
      BlockPool blocks;
      Arena arena(blocks);
      http::Head head(arena);
      head.status = 200;
      head.fields.add("content-type", "application/grpc");
      sink.stream->send_head(head, false);
      sink.stream->send_data("part", false);
    };
    Peer& client = w.connect(Peer::Speaks::h2_client);
    w.settle();
    auto& answer =
        client.call({.method = "POST",
                     .fields = {{"content-type", "application/grpc"}, {"grpc-timeout", "700m"}},
                     .body = "x"});
    w.advance(milliseconds(by_server ? 698 : 750));
    if (by_server) {
      Peer::Sink& far = w.endpoint(1).last().server.last();
      far.was_reset = true;
      far.stream->reset(http::StreamEnd::cancelled);
      w.settle();
    }
    EXPECT_EQ(answer.body, "part");
    EXPECT_TRUE(contains(answer.trailers, "grpc-status: 4\n")) << by_server << answer.story();
    EXPECT_EQ(w.metric(Family::requests, {"200", "UT"}), 1);
    w.expect_quiet();
  }
}

// An endpoint that aborts in the middle of its response, all in one turn.
TEST_F(RetryTest, what_came_before_an_answer_broke_off_is_delivered) {
  for (const bool chunked : {false, true}) {
    for (const bool waits : {false, true}) {
      ProxyWorld w;
      w.add_service("orders", 1);
      w.start();
      w.endpoint(1).speaks = Peer::Speaks::bytes;
      Peer& client = w.connect();
      w.talk(client, get);
      w.endpoint(1).last().send(chunked ? "HTTP/1.1 200 OK\r\ntransfer-encoding: "
                                          "chunked\r\n\r\n4\r\nhalf\r\n"
                                        : "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
      if (waits) w.settle();
      w.endpoint(1).last().finish();
      w.settle();
      const std::string answer = client.take();
      EXPECT_TRUE(answer.starts_with("HTTP/1.1 200")) << chunked << waits << answer;
      EXPECT_TRUE(answer.ends_with(chunked ? "4\r\nhalf\r\n" : "half")) << answer;
      EXPECT_TRUE(client.input_ended) << "and no more follows";
      EXPECT_EQ(w.metric(Family::requests, {"200", "UC"}), 1);
      w.expect_quiet();
    }
  }
}

// --- Slow readers --------------------------------------------------------------------------------

TEST_F(RetryTest, a_slow_caller_slows_the_endpoint_down) {
  for (const auto wire : {config::Wire::http1, config::Wire::http2}) {
    ProxyWorld w;
    w.add_service("orders", 1).wire = wire;
    w.start();
    const bool http2 = wire == config::Wire::http2;
    w.endpoint(1).speaks = http2 ? Peer::Speaks::h2_server : Peer::Speaks::h1_server;
    const std::string much(4'000'000, 'm');
    w.endpoint(1).on_request = [&much](Peer& peer, Peer::Sink& sink) {
      peer.answer(sink, 200, much);
    };
    Peer& client = w.connect({.pipe = {.capacity = 20'000}});
    client.stall(true);
    client.send(get);
    w.settle();
    EXPECT_TRUE(w.endpoint(1).last().server.last().stream->above_high())
        << "most of it is still there";
    client.stall(false);
    w.settle();
    EXPECT_GT(client.received.size(), much.size());
    w.expect_quiet();
  }
}

TEST_F(RetryTest, a_slow_endpoint_slows_the_caller_down) {
  for (const auto wire : {config::Wire::http1, config::Wire::http2}) {
    ProxyWorld w;
    w.add_service("orders", 1).wire = wire;
    w.start();
    w.endpoint(1).speaks =
        wire == config::Wire::http2 ? Peer::Speaks::h2_server : Peer::Speaks::h1_server;
    w.endpoint(1).pipe = {.capacity = 20'000};
    Peer& client = w.connect({.pipe = {.capacity = 20'000}});
    client.send("PUT / HTTP/1.1\r\nhost: orders\r\ncontent-length: 4000000\r\n\r\n");
    w.settle();
    w.endpoint(1).last().stall(true);
    client.send(std::string(4'000'000, 'm'));
    w.settle();
    EXPECT_GT(client.connection().unsent(), 2'000'000U);
    w.endpoint(1).last().stall(false);
    w.settle();
    EXPECT_TRUE(client.take().starts_with("HTTP/1.1 200"));
    EXPECT_EQ(w.endpoint(1).last().server.last().body.size(), 4'000'000U);
    w.expect_quiet();
  }
}

// --- Asked for by what is no error ---------------------------------------------------------------

TEST_F(RetryTest, a_retriable_header_counts_whatever_the_status) {
  config::Service& orders = service(2);
  orders.retry.retry_on = {config::RetryOn::retriable_headers};
  orders.retry.headers = {"x-try-again"};
  world.start();
  says(1, 200, {{"x-try-again", "1"}});
  says(2, 200, {{"x-good", "1"}});
  for (int i = 0; i < 4; ++i) {
    const std::string answer = ask(post);
    EXPECT_TRUE(contains(answer, "x-good: 1")) << answer;
  }
  EXPECT_GT(retries(), 0);
}

TEST_F(RetryTest, a_listed_status_below_400_is_retried) {
  config::Service& orders = service(2);
  orders.retry.retry_on.clear();
  orders.retry.statuses = {{202, 204}};
  world.start();
  says(1, 203);
  says(2, 200);
  for (int i = 0; i < 4; ++i) {
    const std::string answer = ask(get);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200")) << answer;
  }
  EXPECT_GT(retries(), 0);
}

}  // namespace
}  // namespace outrigger::proxy
