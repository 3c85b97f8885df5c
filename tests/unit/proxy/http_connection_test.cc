// The lifecycle of a downstream connection: its protocol, its deadlines, its drain.

#include "proxy/http_connection.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "proxy/detect.h"
#include "support/h2_frames.h"
#include "support/proxy_world.h"

namespace outrigger::proxy {
namespace {

using telemetry::Family;
using test::FakeEndpoint;
using test::Peer;
using test::ProxyWorld;
using As = ProxyWorld::Access::As;

constexpr std::string_view get = "GET /a HTTP/1.1\r\nhost: orders\r\n\r\n";
constexpr std::string_view post = "POST /a HTTP/1.1\r\nhost: orders\r\ncontent-length: 2\r\n\r\nhi";

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

struct HttpConnectionTest : testing::Test {
  HttpConnectionTest() {
    world.add_service("orders", 1);
    world.start();
  }
  ~HttpConnectionTest() override { world.expect_quiet(); }
  ProxyWorld world;
};

// --- What is spoken ------------------------------------------------------------------------------

TEST(Detect, ByTheFirstBytes) {
  const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  EXPECT_EQ(detect(""), Detected::more);
  for (std::size_t n = 1; n < preface.size(); ++n)
    EXPECT_EQ(detect(preface.substr(0, n)), Detected::more) << n;
  EXPECT_EQ(detect(preface), Detected::http2);
  EXPECT_EQ(detect(preface + "more"), Detected::http2);
  EXPECT_EQ(detect("PRI * HTTP/1.1\r\n"), Detected::http1);
  for (const char* text :
       {"GET / HTTP/1.1", "OPTIONS * HTTP/1.1", "GET http://x/ HTTP/1.1", "GET HTTP://x/",
        "CONNECT x:443 HTTP/1.1", "M-SEARCH * HTTP/1.1", "X_Y /"})
    EXPECT_EQ(detect(text), Detected::http1) << text;
  for (const char* text : {"G", "GET", "GET ", "M-SEARCH"})
    EXPECT_EQ(detect(text), Detected::more) << text;
  for (const char* text :
       {"get / HTTP/1.1", "GET x", "GET  / HTTP/1.1", " GET /", "\r\nGET /", "\nGET /", "\tGET /",
        "*1\r\n", "GET\t/", "GET\x01/", "SSH-2.0-x", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"})
    EXPECT_EQ(detect(text), Detected::broken) << text;
  for (const char* text : {"\x16\x03\x01", "\x01GET /", "\x7f", "\xff\xfe", "\xc3\xa9"})
    EXPECT_EQ(detect(text), Detected::opaque) << text;
  EXPECT_EQ(detect(std::string_view("\0GET", 4)), Detected::opaque);
}

TEST_F(HttpConnectionTest, http2_with_prior_knowledge_is_recognized) {
  Peer& client = world.connect(Peer::Speaks::h2_client);
  auto& answer = client.call({});
  world.settle();
  EXPECT_EQ(answer.status, 200);
}

TEST_F(HttpConnectionTest, first_bytes_may_come_one_by_one) {
  for (const Peer::Speaks speaks : {Peer::Speaks::h1_client, Peer::Speaks::h2_client}) {
    Peer& client = world.connect({.speaks = speaks, .pipe = {.capacity = 64, .read_max = 1}});
    auto& answer = client.call({});
    world.settle();
    EXPECT_EQ(answer.status, 200);
  }
}

TEST_F(HttpConnectionTest, what_looks_like_a_broken_request_is_answered_as_a_bad_request) {
  for (const char* text : {"hello there\r\n\r\n", "\r\nGET / HTTP/1.1\r\n\r\n",
                           "\nGET / HTTP/1.1\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n"}) {
    Peer& client = world.connect();
    const std::string answer = world.talk(client, text);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400")) << text << answer;
    EXPECT_TRUE(client.input_ended);
  }
  EXPECT_EQ(world.endpoint(1).tries, 0);
}

// h2spec 3.5/2: what an HTTP/2 client with an invalid preface gets on a port for both versions.
TEST_F(HttpConnectionTest, a_wrong_preface_is_not_answered_in_http1) {
  Peer& client = world.connect();
  EXPECT_EQ(world.talk(client, "INVALID CONNECTION PREFACE\r\n\r\n"), "");
  EXPECT_TRUE(client.input_ended);
  Peer& nearly = world.connect();
  const std::string answer = world.talk(nearly, "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
  EXPECT_FALSE(answer.starts_with("HTTP/1")) << answer;
  EXPECT_TRUE(nearly.input_ended);
}

TEST_F(HttpConnectionTest, a_head_that_does_not_come_in_time_is_a_408) {
  for (const char* text : {"GET /slow HTTP/1.1\r\nhost: or", "GE"}) {
    Peer& client = world.connect();
    client.send(text);
    world.advance(milliseconds(9'900));
    EXPECT_EQ(client.take(), "") << text;
    world.advance(milliseconds(300));
    const std::string answer = client.take();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 408 ")) << text << answer;
    EXPECT_TRUE(client.input_ended);
  }
  EXPECT_EQ(world.metric(Family::requests, {"408", "DPE"}), 2);
}

TEST(HttpConnectionLog, refusals_of_the_codec_are_logged_and_counted) {
  test::TempDirectory directory;
  ProxyWorld w;
  w.log.path = directory.path("access.log");
  w.add_service("orders", 1);
  w.start();
  for (const char* text :
       {"GET /bad HTTP/1.1\r\n\r\n", "PUT /hope HTTP/1.1\r\nhost: a\r\nexpect: x\r\n\r\n"})
    w.talk(w.connect(), text);
  Peer& client = w.connect(Peer::Speaks::h2_client);
  auto& large = client.call({.path = "/large", .fields = {{"x-large", std::string(9000, 'a')}}});
  w.settle();
  EXPECT_EQ(large.status, 431);
  EXPECT_TRUE(contains(large.head, "date: ")) << large.head;
  EXPECT_TRUE(contains(large.body, R"("flag":"DPE")")) << large.body;
  for (const char* status : {"400", "417", "431"})
    EXPECT_EQ(w.metric(Family::requests, {"orders", status, "DPE"}), 1) << status;
  EXPECT_EQ(w.metric(Family::requests_active), 0);
  w.expect_quiet();
  const std::string log = w.log_text();
  for (const char* part : {R"("method":"GET","path":"/bad")", R"("method":"PUT","path":"/hope")",
                           R"("method":"GET","path":"/large")", R"("flag":"DPE")"})
    EXPECT_TRUE(contains(log, part)) << part << "\n" << log;
}

// A gRPC client would read JSON as UNKNOWN.
TEST_F(HttpConnectionTest, grpc_metadata_that_are_too_large_are_told_in_grpc) {
  const std::pair<std::string, std::string> type("content-type", "application/grpc");
  const std::pair<std::string, std::string> large("x-large", std::string(9000, 'a'));
  for (const test::FieldList& fields :
       {test::FieldList{type, large}, test::FieldList{large, type}}) {
    Peer& client = world.connect(Peer::Speaks::h2_client);
    auto& answer = client.call({.method = "POST", .fields = fields, .body = "x"});
    world.settle();
    EXPECT_EQ(answer.status, 200) << answer.story();
    EXPECT_TRUE(contains(answer.head, "content-type: application/grpc\n")) << answer.head;
    EXPECT_TRUE(contains(answer.head, "grpc-status: 8\n")) << answer.head;
    EXPECT_TRUE(contains(answer.head, "grpc-message: DPE: ")) << answer.head;
    EXPECT_TRUE(answer.ended);
    EXPECT_EQ(answer.body, "");
  }
}

TEST_F(HttpConnectionTest, replies_of_our_own_have_the_date) {
  ProxyWorld w;
  w.add_service("orders", 0);
  w.start();
  const std::string first(w.loop.http_date());
  Peer& client = w.connect();
  EXPECT_TRUE(contains(w.talk(client, get), "\r\ndate: " + first + "\r\n"));
  w.advance(seconds(2));
  const std::string second(w.loop.http_date());
  EXPECT_NE(first, second);
  EXPECT_TRUE(contains(w.talk(client, get), "\r\ndate: " + second + "\r\n"));
  EXPECT_EQ(first.size(), 29U);
  EXPECT_TRUE(first.ends_with(" GMT")) << first;
}

TEST_F(HttpConnectionTest, what_is_no_text_is_closed_without_a_word_and_counted) {
  Peer& client = world.connect();
  EXPECT_EQ(world.talk(client, "\x16\x03\x01 hello\r\n\r\n"), "");
  EXPECT_TRUE(client.input_ended || !client.open());
  EXPECT_EQ(world.endpoint(1).tries, 0);
  EXPECT_EQ(world.metric(Family::connections_not_http), 1);
  EXPECT_EQ(world.metric(Family::connections_active), 0);
}

TEST_F(HttpConnectionTest, who_says_nothing_is_idle_and_served_when_it_speaks_at_last) {
  Peer& client = world.connect();
  world.advance(minutes(59));
  EXPECT_TRUE(client.open());
  EXPECT_EQ(world.endpoint(1).tries, 0);
  EXPECT_TRUE(contains(world.talk(client, get), "200"));
}

TEST_F(HttpConnectionTest, on_a_port_for_both_http_is_found_by_its_bytes) {
  Peer& client = world.connect({.as = As::detected});
  client.send("GE");
  world.settle();
  EXPECT_EQ(world.http_connections(), 0U);
  const std::string answer = world.talk(client, std::string(get).substr(2));
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200")) << answer;
  EXPECT_EQ(world.http_connections(), 1U);
}

TEST_F(HttpConnectionTest, on_a_port_for_both_opaque_bytes_reach_the_endpoint_whole) {
  world.endpoint(1).speaks = Peer::Speaks::bytes;
  Peer& client = world.connect({.as = As::detected});
  client.send("\x16\x03\x01");
  world.settle();
  EXPECT_EQ(world.sessions(), 1U);
  client.send("more");
  world.settle();
  EXPECT_EQ(world.endpoint(1).last().received, "\x16\x03\x01more");
}

TEST_F(HttpConnectionTest, on_a_port_for_both_silence_is_idle_http_and_never_opaque) {
  Peer& client = world.connect({.as = As::detected});
  world.advance(minutes(59));
  EXPECT_TRUE(client.open());
  EXPECT_EQ(world.sessions(), 0U);
  EXPECT_EQ(world.endpoint(1).tries, 0);
  EXPECT_TRUE(contains(world.talk(client, get), "200"));
  Peer& silent = world.connect({.as = As::detected});
  world.advance(minutes(61));
  EXPECT_TRUE(silent.input_ended) << "the idle deadline holds";
  EXPECT_EQ(world.sessions(), 0U);
}

TEST_F(HttpConnectionTest, on_a_port_for_both_a_head_has_to_be_whole_in_time) {
  Peer& client = world.connect({.as = As::detected});
  client.send("GE");
  world.advance(seconds(9));
  EXPECT_FALSE(client.input_ended);
  world.advance(seconds(2));
  EXPECT_TRUE(client.input_ended);
  EXPECT_EQ(world.endpoint(1).tries, 0);
}

TEST_F(HttpConnectionTest, on_a_port_for_both_an_end_without_a_byte_reaches_nobody) {
  Peer& client = world.connect({.as = As::detected});
  client.end_output();
  world.settle();
  EXPECT_EQ(world.sessions(), 0U);
  EXPECT_TRUE(client.input_ended);
  EXPECT_EQ(world.endpoint(1).tries, 0);
}

TEST_F(HttpConnectionTest, on_a_port_for_both_a_word_too_short_to_tell_is_opaque_when_it_ends) {
  world.endpoint(1).speaks = Peer::Speaks::bytes;
  Peer& client = world.connect({.as = As::detected});
  client.send("GE");
  world.settle();
  client.end_output();
  world.settle();
  ASSERT_EQ(world.sessions(), 1U);
  EXPECT_EQ(world.endpoint(1).last().received, "GE");
  EXPECT_TRUE(world.endpoint(1).last().input_ended);
}

TEST_F(HttpConnectionTest, on_a_port_for_both_a_client_may_vanish) {
  Peer& client = world.connect({.as = As::detected});
  client.reset();
  world.settle();
  EXPECT_EQ(world.metric(Family::connections_active), 0);
}

TEST_F(HttpConnectionTest, a_handshake_decides_for_the_bytes) {
  net::HandshakeInfo info;
  info.version = "TLSv1.3";
  for (const char* alpn : {"h2", "http/1.1"}) {
    info.alpn = alpn;
    const auto speaks = info.alpn == "h2" ? Peer::Speaks::h2_client : Peer::Speaks::h1_client;
    Peer& client = world.connect({.speaks = speaks, .tls = info, .as = As::detected});
    auto& answer = client.call({});
    world.settle();
    EXPECT_EQ(answer.status, 200) << alpn;
  }
  info.alpn = "outrigger-tcp";
  world.endpoint(1).speaks = Peer::Speaks::bytes;
  Peer& client = world.connect({.tls = info, .as = As::detected});
  client.send(get);
  world.settle();
  EXPECT_EQ(world.sessions(), 1U) << "opaque, whatever the bytes look like";
}

// --- Deadlines -----------------------------------------------------------------------------------

TEST_F(HttpConnectionTest, a_head_has_to_be_whole_in_time) {
  Peer& client = world.connect();
  client.send("GET / HT");
  world.settle();
  // Bytes that trickle in do not extend the deadline.
  for (int i = 0; i < 9; ++i) {
    world.advance(seconds(1));
    client.send("T");
  }
  EXPECT_FALSE(client.input_ended);
  world.advance(milliseconds(1'100));
  EXPECT_TRUE(client.input_ended);
  EXPECT_EQ(world.endpoint(1).requests(), 0U);
}

TEST_F(HttpConnectionTest, each_head_has_the_whole_time) {
  Peer& client = world.connect();
  for (int i = 0; i < 3; ++i) {
    client.send(get.substr(0, 10));
    world.advance(seconds(9));
    EXPECT_TRUE(contains(world.talk(client, get.substr(10)), "200")) << i;
  }
}

TEST_F(HttpConnectionTest, a_head_that_comes_with_another_ones_end_has_the_whole_time_too) {
  namespace h2 = http::h2;
  const std::string block = h2::request_block();
  const auto first = [&](std::uint32_t id) {
    return h2::headers(id, block.substr(0, 3), h2::end_stream);
  };
  const auto rest = [&](std::uint32_t id) { return h2::continuation(id, block.substr(3)); };
  Peer& client = world.connect();
  client.send(h2::preface() + h2::settings_ack() + first(1));
  world.advance(seconds(9));
  client.send(rest(1) + first(3));
  world.advance(seconds(9));
  client.send(rest(3) + first(5));
  world.advance(milliseconds(9'900));
  EXPECT_EQ(world.endpoint(1).requests(), 2U);
  EXPECT_FALSE(client.input_ended);
  world.advance(milliseconds(200));
  EXPECT_TRUE(client.input_ended) << "and no more than that";
}

TEST_F(HttpConnectionTest, a_drain_does_not_give_a_head_more_time) {
  namespace h2 = http::h2;
  const std::string block = h2::request_block();
  Peer& client = world.connect();
  client.send(h2::preface() + h2::settings_ack() + h2::headers(1, block, h2::whole) +
              h2::headers(3, block.substr(0, 3), h2::end_stream));
  world.advance(seconds(9));
  world.http_connection().drain();
  world.advance(milliseconds(900));
  EXPECT_FALSE(client.input_ended);
  world.advance(milliseconds(200));
  EXPECT_TRUE(client.input_ended);
}

TEST_F(HttpConnectionTest, idle_connections_are_closed_in_the_end) {
  world.scope->idle_timeout = seconds(60);
  Peer& used = world.connect();
  EXPECT_TRUE(contains(world.talk(used, get), "200"));
  Peer& silent = world.connect();
  Peer& http2 = world.connect(Peer::Speaks::h2_client);
  http2.call({});
  world.advance(seconds(50));
  EXPECT_FALSE(used.input_ended || silent.input_ended);
  EXPECT_TRUE(http2.open());
  EXPECT_TRUE(contains(world.talk(used, get), "200")) << "and lives on";
  world.advance(seconds(20));
  EXPECT_FALSE(used.input_ended);
  EXPECT_TRUE(silent.input_ended);
  EXPECT_FALSE(http2.open());
  world.advance(seconds(50));
  EXPECT_TRUE(used.input_ended);
}

TEST_F(HttpConnectionTest, a_connection_with_a_request_is_not_idle) {
  world.scope->idle_timeout = seconds(2);
  world.endpoint(1).on_request = [](Peer&, Peer::Sink&) {};
  Peer& client = world.connect();
  world.talk(client, get);
  world.advance(seconds(9));
  world.endpoint(1).last().answer(world.endpoint(1).last().server.last(), 200, "late");
  world.settle();
  EXPECT_TRUE(contains(client.take(), "late"));
}

// --- Drain ---------------------------------------------------------------------------------------

TEST_F(HttpConnectionTest, a_request_under_way_is_finished_and_its_answer_says_close) {
  world.endpoint(1).on_request = [](Peer&, Peer::Sink&) {};
  Peer& client = world.connect();
  world.talk(client, get);
  world.http_connection().drain();
  world.endpoint(1).last().answer(world.endpoint(1).last().server.last(), 200, "x");
  world.settle();
  EXPECT_TRUE(contains(client.take(), "connection: close\r\n"));
  EXPECT_TRUE(client.input_ended);
}

TEST_F(HttpConnectionTest, a_request_that_was_on_its_way_to_a_draining_connection_is_served) {
  for (const bool used : {false, true}) {
    Peer& client = world.connect();
    if (used) world.talk(client, get);
    world.http_connection().drain();
    world.advance(milliseconds(800));
    EXPECT_FALSE(client.input_ended) << used;
    const std::string answer = world.talk(client, post);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200")) << used << answer;
    EXPECT_TRUE(contains(answer, "connection: close\r\n")) << used << answer;
    EXPECT_TRUE(client.input_ended) << used;
    client.finish();
    world.settle();
    EXPECT_EQ(world.http_connections(), 0U);
  }
}

TEST_F(HttpConnectionTest, a_request_in_pieces_is_served_by_a_draining_connection) {
  Peer& client = world.connect();
  world.http_connection().drain();
  for (const char byte : post) {
    client.send({&byte, 1});
    world.advance(milliseconds(50));
  }
  EXPECT_TRUE(client.take().starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(client.input_ended);
}

TEST_F(HttpConnectionTest, a_draining_connection_does_not_wait_for_ever) {
  for (const bool used : {false, true}) {
    Peer& client = world.connect();
    if (used) world.talk(client, get);
    world.http_connection().drain();
    world.http_connection().drain();
    world.advance(milliseconds(1'200));
    EXPECT_TRUE(client.input_ended) << used;
    client.finish();
    world.settle();
  }
}

TEST_F(HttpConnectionTest,
       streams_of_a_draining_http2_connection_end_and_it_takes_what_was_sent_before) {
  world.endpoint(1).on_request = [](Peer&, Peer::Sink&) {};
  Peer& client = world.connect(Peer::Speaks::h2_client);
  auto& before = client.call({});
  world.settle();
  world.http_connection().drain();
  auto& during = client.call({.method = "POST", .body = "x"});  // it does not know yet
  world.settle();
  for (auto& peer : world.endpoint(1).connections) peer->answer(peer->server.last(), 200, "x");
  world.settle();
  EXPECT_EQ(before.status, 200);
  EXPECT_EQ(during.status, 200);
  EXPECT_EQ(client.call({}).reset, http::StreamEnd::local) << "no more";
  EXPECT_FALSE(client.open());
}

TEST_F(HttpConnectionTest, http2_that_begins_on_a_draining_connection_is_served) {
  Peer& client = world.connect(Peer::Speaks::h2_client);
  world.http_connection().drain();
  auto& answer = client.call({.method = "POST", .body = "x"});
  world.settle();
  EXPECT_EQ(answer.status, 200);
  EXPECT_FALSE(client.open());
}

// --- Pipelining ----------------------------------------------------------------------------------

std::string many(int count, std::string_view request) {
  std::string all;
  for (int i = 0; i < count; ++i) all += request;
  return all;
}

TEST_F(HttpConnectionTest, a_client_that_pipelines_and_never_reads_costs_its_watermark) {
  world.endpoint(1).on_request = [](Peer& peer, Peer::Sink& sink) {
    peer.answer(sink, 200, std::string(15'000, 'a'));
  };
  world.scope->connection.output_high = 100'000;
  world.scope->connection.output_low = 10'000;
  Peer& client = world.connect({.pipe = {.capacity = 10'000}});
  client.stall(true);
  client.send(many(2'000, get));
  world.settle();
  world.advance(seconds(1));
  // Its own requests are in the same pool, on its side.
  const std::size_t client_holds = client.connection().unsent();
  EXPECT_LT(world.http_connection().connection().unsent(), 120'000U);
  EXPECT_LT(world.loop.buffers().bytes_in_use(), client_holds + 600'000);
  EXPECT_LT(world.endpoint(1).requests(), 30U);
  client.stall(false);
  world.settle();
  EXPECT_EQ(world.endpoint(1).requests(), 2'000U);
}

// The proxy responds itself: no endpoint is involved.
struct NobodyTest : testing::Test {
  NobodyTest() {
    world.add_service("orders", 1);
    world.start("");
  }
  ~NobodyTest() override { world.expect_quiet(); }
  static constexpr std::string_view nobody = "GET /a HTTP/1.1\r\nhost: nobody\r\n\r\n";
  ProxyWorld world;
};

TEST_F(NobodyTest, a_client_that_pipelines_what_is_answered_here_costs_its_watermark_too) {
  world.scope->connection.output_high = 100'000;
  world.scope->connection.output_low = 10'000;
  Peer& client = world.connect({.pipe = {.capacity = 10'000}});
  client.stall(true);
  client.send(many(20'000, nobody));
  world.settle();
  EXPECT_LT(world.http_connection().connection().unsent(), 120'000U);
  client.stall(false);
  world.settle();
  EXPECT_EQ(world.http_connection().connection().unsent(), 0U);
}

TEST_F(NobodyTest, a_client_that_pipelines_does_not_keep_its_worker_from_another) {
  Peer& greedy = world.connect({.pipe = {.capacity = 1'000'000}});
  Peer& other = world.connect();
  world.settle();
  greedy.send(many(20'000, nobody));
  world.loop.turn();
  other.send(get);
  int turns = 0;
  while (!contains(other.received, "200") && turns < 100) {
    world.loop.turn();
    ++turns;
  }
  EXPECT_LT(turns, 20);
  EXPECT_LT(std::count(greedy.received.begin(), greedy.received.end(), '{'), 2'000);
  world.settle();
  greedy.take();
}

TEST_F(NobodyTest, a_client_with_thousands_of_streams_does_not_keep_its_worker_from_another) {
  namespace h2 = http::h2;
  constexpr double a_feed = 100;
  world.scope->limits.new_streams_per_feed = a_feed;
  Peer& greedy = world.connect({.pipe = {.capacity = 1'000'000}});
  Peer& other = world.connect();
  world.settle();
  std::string requests =
      std::string(h2::magic) + h2::settings() + h2::settings_ack() + h2::window_update(0, 1 << 30);
  constexpr std::uint32_t all = 5'000;
  for (std::uint32_t i = 0; i < all; ++i) {
    requests += h2::headers(1 + 2 * i, h2::request_block(), h2::whole);
  }
  greedy.send(requests);
  double before = 0;
  int turns = 0;
  for (; before < all; ++turns) {
    ASSERT_LT(turns, 1'000);
    if (turns == 3) other.send(get);
    EXPECT_TRUE(turns < 10 || contains(other.received, "200"));
    world.loop.turn();
    // One read, what was postponed in the turn before, and the other connection's.
    const double now = world.metric(Family::requests);
    EXPECT_LE(now - before, 2 * a_feed + 1);
    before = now;
  }
  EXPECT_GE(turns, 25);
  world.settle();
  greedy.take();
}

// --- Ends of a connection whose reading is paused
// --------------------------------------------------

// A streaming echo: everything received is sent back, until it is no longer read.
struct EchoTest : HttpConnectionTest {
  Peer& stuck_client() {
    world.endpoint(1).pipe = {.capacity = 10'000};
    world.endpoint(1).on_request = [](Peer&, Peer::Sink&) {};
    world.endpoint(1).on_head = [](Peer& peer, Peer::Sink& sink) {
      Arena arena(peer.connection().loop().blocks());
      http::Head head(arena);
      head.status = 200;
      sink.stream->send_head(head, false);
      sink.data_hook = [&sink](std::string_view bytes, bool) {
        sink.stream->send_data(bytes, false);
        if (sink.stream->above_high()) sink.stream->pause(true);
      };
    };
    Peer& client = world.connect({.pipe = {.capacity = 10'000}});
    client.stall(true);
    client.send("POST /a HTTP/1.1\r\nhost: orders\r\ncontent-length: 9000000\r\n\r\n" +
                std::string(8'000'000, 'x'));
    world.settle();
    EXPECT_TRUE(world.http_connection().connection().reading_paused());
    return client;
  }
};

TEST_F(EchoTest, a_client_that_stops_reading_and_resets_ends_once) {
  stuck_client().reset();
  world.settle();
  EXPECT_EQ(world.http_connections(), 0U);
  EXPECT_EQ(world.http_closed.size(), 1U);
}

TEST_F(EchoTest, an_app_that_dies_before_a_client_that_stopped_reading_ends_it_once) {
  Peer& client = stuck_client();
  world.endpoint(1).last().reset();
  world.settle();
  client.reset();
  world.settle();
  EXPECT_EQ(world.http_connections(), 0U);
  EXPECT_EQ(world.http_closed.size(), 1U);
}

TEST_F(EchoTest, the_end_of_a_drain_ends_a_paused_upload_once) {
  stuck_client();
  world.http_connection().close();
  world.settle();
  EXPECT_EQ(world.http_connections(), 0U);
  EXPECT_EQ(world.http_closed.size(), 1U);
}

// An app that does not read, so the upload is paused.
struct PausedUploadTest : HttpConnectionTest {
  Peer& upload(std::string_view framing) {
    world.endpoint(1).pipe = {.capacity = 10'000};
    world.endpoint(1).on_head = [](Peer&, Peer::Sink& sink) { sink.stream->pause(true); };
    Peer& client = world.connect({.pipe = {.capacity = 10'000}});
    client.send("POST /a HTTP/1.1\r\nhost: orders\r\n" + std::string(framing) + "\r\n\r\n");
    world.settle();
    return client;
  }
};

TEST_F(PausedUploadTest, a_client_that_resets_frees_its_upstream_at_once) {
  Peer& client = upload("content-length: 9000000");
  client.send(std::string(8'000'000, 'x'));
  world.settle();
  EXPECT_TRUE(world.http_connection().connection().reading_paused());
  client.reset();
  world.settle();
  EXPECT_EQ(world.http_connections(), 0U);
  EXPECT_EQ(world.metric(Family::requests_active), 0);
}

TEST_F(PausedUploadTest, a_body_cut_short_frees_its_upstream_at_once) {
  Peer& client = upload("content-length: 9000000");
  std::size_t sent = 0;
  while (!world.http_connection().connection().reading_paused() && sent < 8'000'000) {
    client.send(std::string(5'000, 'x'));
    sent += 5'000;
    world.settle();
  }
  EXPECT_LT(sent, 8'000'000U);
  client.end_output();
  world.settle();
  EXPECT_EQ(world.metric(Family::requests_active), 0);
}

TEST_F(HttpConnectionTest, a_body_cut_short_frees_its_upstream_at_once) {
  Peer& client = world.connect();
  client.send(post.substr(0, post.size() - 1));
  client.end_output();
  world.settle();
  EXPECT_EQ(world.metric(Family::requests_active), 0);
  EXPECT_EQ(world.http_connections(), 0U);
}

// --- Readers that do not read --------------------------------------------------------------------

struct SlowReaderTest : HttpConnectionTest {
  SlowReaderTest() {
    world.endpoint(1).on_request = [this](Peer& peer, Peer::Sink& sink) {
      peer.answer(sink, 200, std::string(size, 'a'));
    };
  }
  Peer& reader() { return world.connect({.pipe = {.capacity = 10'000}}); }
  std::size_t size = 3'000'000;
};

TEST_F(SlowReaderTest, who_takes_nothing_of_its_answer_is_closed) {
  Peer& client = reader();
  client.stall(true);
  client.send(get);
  world.advance(seconds(29));
  EXPECT_EQ(world.http_connections(), 1U);
  world.advance(seconds(3));
  EXPECT_EQ(world.http_connections(), 0U);
  ASSERT_EQ(world.http_closed.size(), 1U);
  EXPECT_EQ(world.http_closed[0], net::CloseReason::write_stalled);
  EXPECT_EQ(world.metric(Family::connections_closed, {"write_stalled"}), 1);
}

TEST_F(SlowReaderTest, an_http2_stream_whose_window_stays_shut_is_reset) {
  namespace h2 = http::h2;
  Peer& client = world.connect({.pipe = {.capacity = 1'000'000}});
  client.send(std::string(h2::magic) + h2::settings({{h2::initial_window_size, 10}}) +
              h2::settings_ack() + h2::headers(1, h2::request_block(), h2::whole));
  const auto has_reset = [&client] {
    std::string sent = client.received;
    for (const h2::Frame& frame : h2::take_frames(sent)) {
      if (frame.type == 3 && frame.stream == 1) return true;
    }
    return false;
  };
  world.advance(seconds(29));
  EXPECT_EQ(world.metric(Family::requests_active), 1);
  EXPECT_FALSE(has_reset());
  world.advance(seconds(10));
  EXPECT_TRUE(has_reset());
  EXPECT_EQ(world.metric(Family::requests_active), 0);
  EXPECT_EQ(world.http_connections(), 1U) << "its other streams go on";
  EXPECT_EQ(world.metric(Family::http_stalled_streams), 1);
}

// It has not seen the GOAWAY: what it sent before that is served for as long as its PING may take.
TEST_F(SlowReaderTest, a_drain_does_not_wait_less_for_a_client_that_reads_slowly) {
  namespace h2 = http::h2;
  Peer& client = world.connect({.pipe = {.capacity = 1'000'000}});
  client.send(std::string(h2::magic) + h2::settings({{h2::initial_window_size, 10}}) +
              h2::settings_ack() + h2::headers(1, h2::request_block(), h2::whole));
  world.settle();
  ASSERT_EQ(world.metric(Family::requests_active), 1);
  world.http_connection().drain();
  world.advance(seconds(9));
  client.send(h2::headers(3, h2::request_block(), h2::whole));
  world.settle();
  EXPECT_EQ(world.metric(Family::requests_active), 2);
}

TEST_F(SlowReaderTest, a_stream_whose_window_stays_shut_is_reset_during_a_drain_too) {
  namespace h2 = http::h2;
  world.scope->keepalive.after = seconds(0);
  Peer& client = world.connect({.pipe = {.capacity = 1'000'000}});
  client.send(std::string(h2::magic) + h2::settings({{h2::initial_window_size, 10}}) +
              h2::settings_ack() + h2::headers(1, h2::request_block(), h2::whole));
  world.settle();
  world.http_connection().drain();
  world.advance(seconds(25));
  EXPECT_EQ(world.metric(Family::requests_active), 1);
  world.advance(seconds(21));
  EXPECT_EQ(world.metric(Family::requests_active), 0);
  EXPECT_EQ(world.metric(Family::http_stalled_streams), 1);
}

TEST_F(SlowReaderTest, so_is_one_whose_response_comes_during_the_drain) {
  namespace h2 = http::h2;
  world.scope->keepalive.after = seconds(0);
  world.scope->idle_timeout = hours(1);
  world.endpoint(1).on_request = [](Peer&, Peer::Sink&) {};
  Peer& client = world.connect({.pipe = {.capacity = 1'000'000}});
  client.send(std::string(h2::magic) + h2::settings({{h2::initial_window_size, 10}}) +
              h2::settings_ack() + h2::headers(1, h2::request_block(), h2::whole));
  world.settle();
  world.http_connection().drain();
  world.advance(seconds(12));
  world.endpoint(1).last().answer(world.endpoint(1).last().server.last(), 200,
                                  std::string(size, 'a'));
  world.advance(seconds(25));
  EXPECT_EQ(world.metric(Family::requests_active), 1);
  world.advance(seconds(21));
  EXPECT_EQ(world.metric(Family::requests_active), 0);
}

TEST_F(SlowReaderTest, who_reads_nothing_is_closed_during_a_drain_too) {
  Peer& client = reader();
  client.stall(true);
  client.send(get);
  world.settle();
  world.http_connection().drain();
  world.advance(seconds(25));
  EXPECT_EQ(world.http_connections(), 1U);
  world.advance(seconds(10));
  EXPECT_EQ(world.http_connections(), 0U);
}

TEST_F(SlowReaderTest, nor_does_it_help_to_send_more) {
  Peer& client = reader();
  client.stall(true);
  client.send(get);
  for (int i = 0; i < 40; ++i) {
    world.advance(seconds(1));
    client.send("G");
  }
  EXPECT_EQ(world.http_connections(), 0U);
}

TEST_F(SlowReaderTest, who_takes_a_little_lives) {
  Peer& client = reader();
  client.stall(true);
  client.send(get);
  for (int i = 0; i < 10; ++i) {
    world.advance(seconds(20));
    client.stall(false);
    world.loop.turn();
    client.stall(true);
  }
  EXPECT_EQ(world.http_connections(), 1U);
}

TEST_F(SlowReaderTest, an_answer_that_fits_into_the_kernel_is_no_reason) {
  size = 100;
  Peer& client = reader();
  client.stall(true);
  client.send(get);
  world.advance(minutes(2));
  EXPECT_EQ(world.http_connections(), 1U);
}

TEST_F(SlowReaderTest, a_tunnel_has_no_such_limit) {
  world.endpoint(1).on_head = [this](Peer& peer, Peer::Sink& sink) {
    Arena arena(peer.connection().loop().blocks());
    http::Head head(arena);
    head.status = 101;
    head.protocol = "websocket";
    sink.stream->send_head(head, false);
    sink.stream->send_data(std::string(size, 'a'), false);
  };
  world.endpoint(1).on_request = [](Peer&, Peer::Sink&) {};
  Peer& client = reader();
  client.send(
      "GET /a HTTP/1.1\r\nhost: orders\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
      "sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n");
  client.stall(true);
  world.advance(seconds(120));
  ASSERT_EQ(world.http_connections(), 1U);
  EXPECT_TRUE(world.http_connection().connection().output_waits());
}

TEST_F(SlowReaderTest, nor_has_an_answer_to_a_grpc_call) {
  Peer& client = reader();
  client.stall(true);
  client.send(
      "POST /a HTTP/1.1\r\nhost: orders\r\ncontent-type: application/grpc\r\n"
      "content-length: 0\r\n\r\n");
  world.advance(seconds(120));
  EXPECT_EQ(world.http_connections(), 1U);
}

TEST_F(SlowReaderTest, zero_is_no_limit) {
  world.scope->connection.write_stall = {};
  Peer& client = reader();
  client.stall(true);
  client.send(get);
  world.advance(seconds(120));
  EXPECT_EQ(world.http_connections(), 1U);
}

// --- An early end --------------------------------------------------------------------------------

TEST_F(HttpConnectionTest, an_end_that_comes_while_the_protocol_is_found_out_is_not_lost) {
  for (const bool whole : {true, false}) {
    Peer& client = world.connect({.as = As::detected});
    client.send(whole ? get : post.substr(0, post.size() - 1));
    client.end_output();
    world.settle();
    EXPECT_EQ(world.http_connections(), 0U) << whole;
    EXPECT_EQ(world.metric(Family::requests_active), 0) << whole;
    EXPECT_TRUE(client.input_ended || client.closed) << whole;
  }
}

// --- First bytes ---------------------------------------------------------------------------------

TEST_F(HttpConnectionTest, any_first_byte_begins_the_header_deadline_however_late_it_comes) {
  for (const std::string_view bytes : {"G", "\r", "PRI * HTTP"}) {
    Peer& client = world.connect();
    world.advance(seconds(20));
    client.send(bytes);
    world.advance(seconds(9));
    EXPECT_FALSE(client.input_ended) << bytes;
    world.advance(seconds(2));
    EXPECT_TRUE(client.input_ended || client.closed) << bytes;
  }
}

TEST_F(HttpConnectionTest, a_byte_between_two_requests_begins_it_too) {
  Peer& client = world.connect();
  world.talk(client, get);
  client.send("\r");
  world.advance(seconds(11));
  EXPECT_TRUE(client.input_ended);
}

}  // namespace
}  // namespace outrigger::proxy
