#include "admin/server.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "support/manual_loop.h"

namespace outrigger::admin {
namespace {

using test::ManualLoop;
using test::MemoryChannel;

// Echoes the request.
struct EchoHandler : PageHandler {
  Response handle(const Request& r) override {
    ++requests;
    last = r;
    Response response;
    response.body = r.method + " " + r.path + " [" + r.query + "] " + r.body;
    if (r.path == "/large") response.body.assign(1'000'000, 'x');
    if (r.path == "/empty") response.body.clear();
    response.headers = {{"x-seen", std::to_string(requests)}};
    return response;
  }
  int requests = 0;
  Request last;
};

// The peer: writes raw bytes and keeps what arrives.
struct Peer : net::ChannelHandler {
  explicit Peer(std::unique_ptr<MemoryChannel> c) : channel(std::move(c)) { channel->open(*this); }
  void on_channel_ready(bool, bool, bool) override {
    if (!reading) return;
    std::array<char, 65536> bytes{};
    for (;;) {
      const net::IoResult result = channel->read(bytes);
      if (result.kind == net::IoResult::Kind::done) {
        got.append(bytes.data(), result.bytes);
        continue;
      }
      if (result.kind != net::IoResult::Kind::blocked) closed = true;
      return;
    }
  }
  std::unique_ptr<MemoryChannel> channel;
  std::string got;
  bool closed = false;
  bool reading = true;
};

struct PageServerTest : testing::Test {
  Peer& connect() {
    auto [ours, theirs] = MemoryChannel::make(loop);
    peers.push_back(std::make_unique<Peer>(std::move(theirs)));
    server->accept(std::move(ours));
    loop.settle();
    return *peers.back();
  }
  void send(Peer& peer, std::string_view text) {
    iovec part{const_cast<char*>(text.data()), text.size()};
    const net::IoResult result = peer.channel->write({&part, 1}, false);
    ASSERT_EQ(result.bytes, text.size());
    loop.settle();
  }
  void restart(const PageServer::Options& options) {
    server.reset();
    server = std::make_unique<PageServer>(loop, handler, options);
  }

  ManualLoop loop;
  EchoHandler handler;
  std::vector<std::unique_ptr<Peer>> peers;
  std::unique_ptr<PageServer> server = std::make_unique<PageServer>(loop, handler);
};

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST_F(PageServerTest, answers_a_request) {
  Peer& peer = connect();
  send(peer,
       "GET /stats?format=json HTTP/1.1\r\nHost: localhost:15000\r\nOrigin: http://o\r\n"
       "Sec-Fetch-Site: none\r\nAccept: a/b\r\nAuthorization: Bearer t\r\n\r\n");
  EXPECT_TRUE(peer.got.starts_with("HTTP/1.1 200 ")) << peer.got;
  EXPECT_TRUE(has(peer.got, "content-length: 25\r\n")) << peer.got;
  EXPECT_TRUE(has(peer.got, "content-type: text/plain; charset=utf-8\r\n"));
  EXPECT_TRUE(has(peer.got, "x-seen: 1\r\n"));
  EXPECT_TRUE(peer.got.ends_with("\r\n\r\nGET /stats [format=json] ")) << peer.got;
  EXPECT_EQ(handler.last.host, "localhost:15000");
  EXPECT_EQ(handler.last.origin, "http://o");
  EXPECT_EQ(handler.last.sec_fetch_site, "none");
  EXPECT_EQ(handler.last.accept, "a/b");
  EXPECT_EQ(handler.last.authorization, "Bearer t");
  EXPECT_EQ(handler.last.now, loop.now());
  EXPECT_FALSE(peer.closed);
}

TEST_F(PageServerTest, one_byte_at_a_time) {
  Peer& peer = connect();
  for (const char c : std::string("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")) {
    send(peer, {&c, 1});
  }
  EXPECT_TRUE(peer.got.ends_with("POST /a [] abc")) << peer.got;
}

TEST_F(PageServerTest, keeps_alive_and_pipelines) {
  Peer& peer = connect();
  send(peer, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
  send(peer, "GET /3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(handler.requests, 3);
  EXPECT_TRUE(has(peer.got, "GET /2 []"));
  EXPECT_TRUE(peer.got.ends_with("GET /3 [] "));
  EXPECT_TRUE(peer.closed);
}

TEST_F(PageServerTest, head_has_no_body) {
  Peer& peer = connect();
  send(peer, "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\nGET /empty HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(has(peer.got, "content-length: 11\r\n")) << peer.got;
  EXPECT_FALSE(has(peer.got, "HEAD /a"));
  EXPECT_TRUE(has(peer.got, "content-length: 0\r\n")) << peer.got;
}

TEST_F(PageServerTest, chunked_bodies_and_trailers) {
  Peer& peer = connect();
  send(peer,
       "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
       "2\r\nab\r\n1\r\nc\r\n0\r\nX-T: 1\r\n\r\n");
  EXPECT_TRUE(peer.got.ends_with("POST /a [] abc")) << peer.got;
}

TEST_F(PageServerTest, a_body_beyond_the_limit_is_refused) {
  Peer& peer = connect();
  send(peer, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n");
  for (int i = 0; i < 7; ++i) send(peer, std::string(10'000, 'x'));
  EXPECT_TRUE(has(peer.got, "HTTP/1.1 413 ")) << peer.got;
  EXPECT_EQ(handler.requests, 0);
  // Exactly the limit is accepted.
  Peer& other = connect();
  send(other, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n");
  for (int i = 0; i < 8; ++i) send(other, std::string(8192, 'x'));
  EXPECT_TRUE(has(other.got, "HTTP/1.1 200 "));
}

TEST_F(PageServerTest, malformed_requests_are_answered_and_harm_nobody) {
  for (const char* bytes :
       {"GARBAGE\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET /\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"}) {
    Peer& peer = connect();
    send(peer, bytes);
    EXPECT_TRUE(peer.got.empty() || peer.got.starts_with("HTTP/1.1 4") ||
                peer.got.starts_with("HTTP/1.1 5"))
        << bytes << peer.got;
  }
  EXPECT_EQ(handler.requests, 0);
  Peer& peer = connect();
  send(peer, "GET /fine HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(has(peer.got, "GET /fine"));
}

TEST_F(PageServerTest, whoever_asks_for_a_tunnel_gets_a_page) {
  Peer& peer = connect();
  send(peer, "GET /up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  EXPECT_TRUE(has(peer.got, "HTTP/1.1 200 ")) << peer.got;
  EXPECT_EQ(handler.requests, 1);
}

TEST_F(PageServerTest, expect_continue) {
  Peer& peer = connect();
  send(peer, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_TRUE(peer.got.starts_with("HTTP/1.1 100 ")) << peer.got;
  send(peer, "abc");
  EXPECT_TRUE(peer.got.ends_with("POST /a [] abc"));
}

TEST_F(PageServerTest, idle_connections_end) {
  Peer& peer = connect();
  loop.advance(seconds(50));
  send(peer, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
  loop.advance(seconds(59));
  EXPECT_EQ(server->connections(), 1U);
  loop.advance(seconds(2));
  EXPECT_EQ(server->connections(), 0U);
  EXPECT_TRUE(peer.closed);
}

TEST_F(PageServerTest, a_request_must_arrive_in_time) {
  Peer& peer = connect();
  send(peer, "GET /slow HT");
  // Sending byte by byte does not extend the deadline.
  for (int i = 0; i < 9; ++i) {
    loop.advance(seconds(1));
    send(peer, i == 0 ? "TP/1.1\r\nx" : "x");
  }
  EXPECT_EQ(server->connections(), 1U);
  loop.advance(seconds(2));
  EXPECT_EQ(server->connections(), 0U);
  EXPECT_EQ(handler.requests, 0);

  Peer& body = connect();
  send(body, "POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
  loop.advance(seconds(9));
  send(body, "d");
  EXPECT_EQ(server->connections(), 1U);
  loop.advance(seconds(2));
  EXPECT_EQ(server->connections(), 0U);
}

TEST_F(PageServerTest, a_reader_that_takes_nothing_is_given_up) {
  Peer& peer = connect();
  peer.reading = false;
  send(peer, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
  loop.advance(seconds(29));
  EXPECT_EQ(server->connections(), 1U);
  loop.advance(seconds(2));
  EXPECT_EQ(server->connections(), 0U);
  EXPECT_EQ(loop.buffers().bytes_in_use(), 0U);
}

TEST_F(PageServerTest, a_slow_reader_gets_it_all) {
  Peer& peer = connect();
  send(peer, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(has(peer.got, "content-length: 1000000\r\n"));
  EXPECT_GT(peer.got.size(), 1'000'000U);
}

TEST_F(PageServerTest, the_longest_idle_makes_room) {
  restart({.connections_max = 3});
  Peer& first = connect();
  loop.advance(seconds(1));
  Peer& second = connect();
  loop.advance(seconds(1));
  Peer& busy = connect();
  send(busy, "GET /slow HT");
  send(first, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");  // now the second is the oldest
  Peer& fourth = connect();
  EXPECT_EQ(server->connections(), 3U);
  EXPECT_TRUE(second.closed);
  EXPECT_FALSE(first.closed || busy.closed || fourth.closed);
}

TEST_F(PageServerTest, half_heads_shut_nobody_out) {
  restart({.connections_max = 3});
  Peer& slow = connect();
  loop.advance(seconds(1));
  send(slow, "GET /slow HT");
  Peer& slower = connect();
  send(slower, "POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n");
  loop.advance(seconds(1));
  send(connect(), "GET /slow HT");
  // One that keeps sending has waited for its rest as long.
  send(slow, "T");
  Peer& fourth = connect();
  EXPECT_TRUE(slow.closed);
  EXPECT_FALSE(slower.closed);
  // One that has only just come is given time for its request.
  Peer& fifth = connect();
  EXPECT_TRUE(slower.closed);
  EXPECT_FALSE(fourth.closed);
  for (Peer* peer : {&fourth, &fifth}) {
    send(*peer, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_TRUE(has(peer->got, "GET /livez"));
  }
  EXPECT_EQ(server->connections(), 3U);
}

TEST_F(PageServerTest, many_at_once_replace_one_another) {
  restart({.connections_max = 2});
  Peer& first = connect();
  Peer& second = connect();
  Peer& third = connect();
  EXPECT_TRUE(first.closed);
  EXPECT_FALSE(second.closed || third.closed);
  EXPECT_EQ(server->connections(), 2U);
}

TEST_F(PageServerTest, peers_that_leave_are_forgotten) {
  Peer& cut = connect();
  send(cut, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
  cut.channel->close(true);
  Peer& half = connect();
  half.channel->shutdown_write();
  loop.settle();
  loop.advance(seconds(3));
  EXPECT_EQ(server->connections(), 0U);
  EXPECT_EQ(handler.requests, 0);
  EXPECT_EQ(loop.buffers().bytes_in_use(), 0U);
  EXPECT_EQ(loop.blocks().in_use(), 0U);
}

TEST_F(PageServerTest, it_closes_what_is_open_when_it_goes) {
  Peer& idle = connect();
  Peer& busy = connect();
  send(busy, "GET /slow HT");
  server.reset();
  loop.settle();
  EXPECT_TRUE(idle.closed && busy.closed);
  loop.advance(seconds(100));
}

}  // namespace
}  // namespace outrigger::admin
