#include "http/h1_client_codec.h"

#include <gtest/gtest.h>

#include <string>

#include "http/bytes.h"
#include "support/allocation_count.h"
#include "support/h1_harness.h"

namespace outrigger::http {
namespace {

using fakes::H1ClientRig;
using fakes::RecordingSink;

const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

class H1ClientCodecTest : public testing::Test {
 protected:
  // Opens a stream and sends a head modified by `edit`.
  template <typename Edit>
  RecordingSink& send(Edit edit, bool end = true, std::string_view method = "GET") {
    Head head(rig_.arena);
    rig_.make_request(head, method, "/p?q");
    edit(head);
    RecordingSink& sink = rig_.open();
    sink.stream->send_head(head, end);
    return sink;
  }
  static void nothing(Head&) {}
  std::string sent() { return rig_.wire.take(); }

  H1ClientRig rig_;
};

// What an HTTP/2 server sends first, split wherever the network likes.
TEST_F(H1ClientCodecTest, an_http2_server_is_known_however_its_first_frame_is_cut) {
  using namespace std::string_view_literals;
  for (const std::string_view frame : {"\0\0\6\4\0\0\0\0\0\0\3\0\0\0\x64"sv, "\0\0\0\4\0\0\0\0\0"sv,
                                       "\0\0\x8\7\0\0\0\0\0\0\0\0\0\0\0\0\1"sv}) {
    for (std::size_t cut = 1; cut < frame.size(); ++cut) {
      H1ClientRig rig;
      RecordingSink& sink = rig.ask("GET");
      rig.feeder.feed(frame.substr(0, cut));
      EXPECT_EQ(rig.codec.met_http2(), cut >= 4) << cut;
      rig.feeder.feed(frame.substr(cut));
      EXPECT_TRUE(rig.codec.met_http2()) << cut;
      EXPECT_EQ(sink.reset, StreamEnd::wrong_version) << cut;
    }
  }
}

TEST_F(H1ClientCodecTest, WritesRequests) {
  EXPECT_EQ(rig_.codec.capacity(), 1U);
  RecordingSink& sink = send([](Head& head) {
    head.fields.add("X-A", "1");
    head.fields.add("host", "evil");
    head.fields.add("Connection", "x-a");
    head.fields.add("Content-Length", "7");
    head.fields.add("Transfer-Encoding", "chunked");
    head.fields.add("Upgrade", "h2c");
    head.fields.add("Keep-Alive", "1");
    head.fields.add("TE", "gzip");
    head.fields.add("expect", "100-continue");
  });
  EXPECT_EQ(rig_.codec.capacity(), 0U);
  EXPECT_EQ(rig_.wire.written.size(), 1U);
  EXPECT_EQ(sent(), "GET /p?q HTTP/1.1\r\nhost: a.test\r\nX-A: 1\r\nexpect: 100-continue\r\n\r\n");
  rig_.feeder.feed(ok);
  EXPECT_TRUE(sink.ended);
  EXPECT_EQ(rig_.codec.capacity(), 1U);
  EXPECT_EQ(rig_.client.capacity, 1);
  EXPECT_EQ(rig_.client.retiring, 0);
  EXPECT_EQ(rig_.codec.open_streams(), 0U);
}

TEST_F(H1ClientCodecTest, FramesBodies) {
  send(nothing, true, "POST");
  EXPECT_EQ(sent(), "POST /p?q HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\n\r\n");
  rig_.feeder.feed(ok);

  RecordingSink& fixed = send([](Head& head) { head.content_length = 5; }, false, "PUT");
  fixed.stream->send_data("he", false);
  fixed.stream->send_data("llo", true);
  EXPECT_EQ(sent(), "PUT /p?q HTTP/1.1\r\nhost: a.test\r\ncontent-length: 5\r\n\r\nhello");
  rig_.feeder.feed(ok);

  RecordingSink& chunked = send([](Head& head) { head.te_trailers = true; }, false, "GET");
  chunked.stream->send_data("hello", false);
  Fields trailers(rig_.arena);
  trailers.add("x-t", "1");
  chunked.stream->send_trailers(trailers);
  EXPECT_EQ(sent(),
            "GET /p?q HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\nconnection: te\r\n"
            "te: trailers\r\n\r\n5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n");
  rig_.feeder.feed(ok);

  send([](Head& head) { head.path = "*"; }, true, "OPTIONS");
  EXPECT_EQ(sent(), "OPTIONS * HTTP/1.1\r\nhost: a.test\r\n\r\n");
  rig_.feeder.feed(ok);
  send([](Head& head) { head.authority = {}; });
  EXPECT_EQ(sent(), "GET /p?q HTTP/1.1\r\nhost: \r\n\r\n");
  EXPECT_EQ(rig_.client.retiring, 0);
}

// --- When a connection may be used again ---------------------------------------------------------

TEST_F(H1ClientCodecTest, EarlyAnswersEndTheConnection) {
  RecordingSink& sink = send([](Head& head) { head.content_length = 5; }, false, "POST");
  rig_.feeder.feed(ok);
  EXPECT_TRUE(sink.ended);
  EXPECT_EQ(rig_.codec.open_streams(), 1U);
  EXPECT_FALSE(rig_.wire.over());
  sink.stream->send_data("hello", true);  // the rest may be sent
  EXPECT_EQ(rig_.codec.open_streams(), 0U);
  EXPECT_EQ(rig_.codec.capacity(), 0U);
  EXPECT_TRUE(rig_.wire.finished);
  EXPECT_EQ(rig_.client.retiring, 1);
  EXPECT_TRUE(sent().ends_with("hello"));
}

TEST_F(H1ClientCodecTest, EarlyAnswerThenReset) {
  RecordingSink& sink = send([](Head& head) { head.content_length = 5; }, false, "POST");
  rig_.feeder.feed(ok);
  sink.stream->reset(StreamEnd::local);
  EXPECT_TRUE(rig_.wire.aborted);
  EXPECT_EQ(rig_.client.retiring, 1);
  EXPECT_FALSE(sink.was_reset);
  EXPECT_EQ(rig_.codec.open_streams(), 0U);
}

TEST_F(H1ClientCodecTest, UnsolicitedBytesEndAnIdleConnection) {
  rig_.feeder.feed("H");
  EXPECT_TRUE(rig_.wire.aborted);
  EXPECT_EQ(rig_.client.retiring, 1);
  EXPECT_EQ(rig_.codec.capacity(), 0U);
  EXPECT_EQ(rig_.counters.glitches.value(), 1U);
}

TEST_F(H1ClientCodecTest, AnAnswerBeforeTheRequest) {
  RecordingSink& sink = rig_.open();
  rig_.feeder.feed(ok);
  EXPECT_EQ(sink.reset, StreamEnd::protocol_error);
  EXPECT_TRUE(rig_.wire.aborted);
}

TEST_F(H1ClientCodecTest, StaleAndLost) {
  const auto run = [](bool reused, const std::string& some, bool by_end) {
    H1ClientRig rig;
    if (reused) {
      rig.ask();
      rig.feeder.feed(ok);
    }
    RecordingSink& sink = rig.ask();
    rig.feeder.feed(some);
    by_end ? rig.feeder.end() : rig.codec.connection_lost(true);
    EXPECT_TRUE(sink.was_reset);
    EXPECT_EQ(rig.codec.capacity(), 0U);
    return sink.reset;
  };
  for (const bool by_end : {true, false}) {
    EXPECT_EQ(run(true, "", by_end), StreamEnd::stale);
    EXPECT_EQ(run(false, "", by_end), StreamEnd::connection_lost);
    EXPECT_EQ(run(true, "H", by_end), StreamEnd::connection_lost);
    EXPECT_EQ(run(true, "HTTP/1.1 100 Continue\r\n\r\n", by_end), StreamEnd::connection_lost);
    EXPECT_EQ(run(true, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", by_end),
              StreamEnd::connection_lost);
  }
}

TEST_F(H1ClientCodecTest, IdleConnectionsEnd) {
  rig_.ask();
  rig_.feeder.feed(ok);
  rig_.feeder.end();
  EXPECT_TRUE(rig_.wire.finished);
  EXPECT_EQ(rig_.client.retiring, 1);
  EXPECT_EQ(rig_.codec.capacity(), 0U);
}

TEST_F(H1ClientCodecTest, Drain) {
  rig_.codec.drain();
  EXPECT_TRUE(rig_.wire.finished);
  EXPECT_EQ(rig_.codec.capacity(), 0U);

  H1ClientRig busy;
  RecordingSink& sink = busy.ask();
  busy.codec.drain();
  EXPECT_FALSE(busy.wire.over());
  busy.feeder.feed(ok);
  EXPECT_TRUE(sink.ended);
  EXPECT_TRUE(busy.wire.finished);
  EXPECT_EQ(busy.codec.capacity(), 0U);
}

TEST_F(H1ClientCodecTest, ResetBeforeAnythingIsSentKeepsTheConnection) {
  RecordingSink& sink = rig_.open();
  sink.stream->reset(StreamEnd::local);
  EXPECT_EQ(rig_.codec.capacity(), 1U);
  EXPECT_FALSE(rig_.wire.over());
  rig_.ask();
  EXPECT_EQ(rig_.codec.capacity(), 0U);
}

TEST_F(H1ClientCodecTest, ResetInsideACallback) {
  Head head(rig_.arena);
  rig_.make_request(head);
  RecordingSink& sink = rig_.open();
  sink.stream->send_head(head, true);
  sink.head_hook = [&sink](Head&, bool) { sink.stream->reset(StreamEnd::local); };
  rig_.feeder.feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_EQ(sink.body, "");
  EXPECT_FALSE(sink.was_reset);
  EXPECT_TRUE(rig_.wire.aborted);
  EXPECT_EQ(rig_.client.retiring, 1);
}

// A sink may give up its stream as soon as it is called, and still use what it was given.
TEST_F(H1ClientCodecTest, WhatACallbackIsGivenLivesUntilItReturns) {
  for (const bool bodyless : {true, false}) {
    H1ClientRig rig;
    RecordingSink& sink = rig.open();
    Head head(rig.arena);
    rig.make_request(head, "POST");
    head.content_length = 5;
    sink.stream->send_head(head, false);
    sink.head_hook = [&sink](Head& h, bool) {
      sink.stream->reset(StreamEnd::local);
      EXPECT_EQ(fakes::render(h), sink.head);
    };
    rig.feeder.feed(std::string("HTTP/1.1 413 No\r\nX-Why: too much\r\nContent-Length: ") +
                    (bodyless ? "0" : "5") + "\r\n\r\n");
    EXPECT_EQ(sink.status, 413);
    EXPECT_EQ(rig.blocks.in_use(), 0U);
  }
  RecordingSink& sink = send([](Head& head) { head.content_length = 5; }, false, "POST");
  sink.trailers_hook = [&sink](Fields& trailers) {
    sink.stream->reset(StreamEnd::local);
    EXPECT_EQ(fakes::render(trailers), sink.trailers);
  };
  rig_.feeder.feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 9\r\n\r\n");
  EXPECT_EQ(sink.trailers, "X-Sum: 9\n");
}

TEST_F(H1ClientCodecTest, Backpressure) {
  RecordingSink& sink = send(nothing, false, "POST");
  rig_.wire.blocked = true;
  sink.stream->send_data(std::string(300 * 1024, 'x'), false);
  EXPECT_TRUE(sink.stream->above_high());
  rig_.wire.unblock();
  rig_.codec.output_drained();
  EXPECT_EQ(sink.drained, 1);
  sink.stream->pause(true);
  EXPECT_TRUE(rig_.wire.paused);
  sink.stream->send_data({}, true);
  rig_.feeder.feed(ok);
  EXPECT_FALSE(rig_.wire.paused);
  EXPECT_EQ(rig_.codec.capacity(), 1U);
}

// --- What may not be written ---------------------------------------------------------------------

template <typename Edit>
void expect_unwritable(Edit edit, std::string_view method = "GET") {
  H1ClientRig rig;
  Head head(rig.arena);
  rig.make_request(head, method);
  edit(head);
  RecordingSink& sink = rig.open();
  sink.stream->send_head(head, true);
  EXPECT_FALSE(sink.was_reset);  // not from inside a call
  rig.feeder.settle();
  EXPECT_TRUE(sink.was_reset) << rig.wire.sent;
  EXPECT_EQ(sink.reset, StreamEnd::local);
  EXPECT_EQ(rig.wire.bytes_sent, 0U);
  // Nothing was sent, so the connection can still be used.
  EXPECT_EQ(rig.codec.capacity(), 1U);
  EXPECT_FALSE(rig.wire.over());
}

TEST_F(H1ClientCodecTest, InjectionSweep) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    for (std::size_t at = 0; at < 3; ++at) {
      std::string text = "abc";
      text[at] = c;
      std::string path = "/bc";
      path[at] = c;
      const bool blank = c == ' ' || c == '\t';
      if (!bytes::has(bytes::token, c)) {
        expect_unwritable([&text](Head& head) { head.fields.add(text, "v"); });
        expect_unwritable([&text](Head& head) {
          head.method_text = text;
          head.method = Method::other;
        });
      }
      if (!bytes::has(bytes::value, c) || (blank && at != 1)) {
        expect_unwritable([&text](Head& head) { head.fields.add("x", text); });
      }
      if (!bytes::has(bytes::target, c) || (at == 0 && c != '/')) {
        expect_unwritable([&path](Head& head) { head.path = path; });
      }
      if (!bytes::has(bytes::target, c) || c == '@' || c == '/' || c == ',') {
        expect_unwritable([&text](Head& head) { head.authority = text; });
        expect_unwritable(
            [&text](Head& head) {
              head.authority = text;
              head.path = {};
            },
            "CONNECT");
      }
      if (!bytes::has(bytes::token, c) && c != '/') {
        expect_unwritable([&text](Head& head) { head.protocol = text; });
      }
    }
  }
}

TEST_F(H1ClientCodecTest, OtherHeadsThatMayNotBeWritten) {
  expect_unwritable([](Head& head) { head.path = {}; });
  expect_unwritable([](Head& head) { head.path = "*"; });
  expect_unwritable([](Head& head) { head.path = "http://a/"; });
  expect_unwritable([](Head& head) { head.method_text = {}; });
  expect_unwritable([](Head& head) { head.content_length = 5; });  // and ends
  expect_unwritable([](Head& head) { head.fields.add("", "v"); });
  expect_unwritable([](Head& head) { head.fields.add("a\r\nb", "v"); });
  expect_unwritable([](Head& head) { head.fields.add("a", "v\r\nGET / HTTP/1.1"); });
}

TEST_F(H1ClientCodecTest, ABodyIsHeldToItsLength) {
  for (const auto& [body, end] : {std::pair{"longer", false}, {"longer", true}, {"sho", true}}) {
    H1ClientRig rig;
    Head head(rig.arena);
    rig.make_request(head, "POST");
    head.content_length = 5;
    RecordingSink& sink = rig.open();
    sink.stream->send_head(head, false);
    sink.stream->send_data(body, end);
    rig.feeder.settle();
    EXPECT_EQ(sink.reset, StreamEnd::local);
    EXPECT_TRUE(rig.wire.was_reset);
    EXPECT_EQ(rig.client.retiring, 1);
    EXPECT_EQ(rig.wire.sent.find(body), std::string::npos);
  }
}

// --- Tunnels -------------------------------------------------------------------------------------

TEST_F(H1ClientCodecTest, UpgradeAndHalfClose) {
  RecordingSink& sink = send(
      [](Head& head) {
        head.protocol = "websocket";
        head.fields.add("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
      },
      false);
  EXPECT_EQ(sent(),
            "GET /p?q HTTP/1.1\r\nhost: a.test\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "connection: upgrade\r\nupgrade: websocket\r\n\r\n");
  rig_.feeder.feed(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nfirst");
  EXPECT_EQ(sink.head,
            "status 101\nprotocol websocket\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n");
  EXPECT_EQ(sink.body, "first");
  sink.stream->send_data("up", true);
  EXPECT_TRUE(rig_.wire.output_ended);
  EXPECT_FALSE(rig_.wire.over());
  rig_.feeder.feed("second");
  rig_.feeder.end();
  EXPECT_EQ(sink.body, "firstsecond");
  EXPECT_TRUE(sink.ended);
  EXPECT_EQ(rig_.codec.open_streams(), 0U);
  EXPECT_TRUE(rig_.wire.finished);
  EXPECT_EQ(rig_.client.retiring, 1);
}

TEST_F(H1ClientCodecTest, TheOtherSideEndsTheTunnelFirst) {
  RecordingSink& sink = send([](Head& head) { head.protocol = "foo"; }, false);
  rig_.feeder.feed("HTTP/1.1 101 S\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\n");
  rig_.feeder.end();
  EXPECT_TRUE(sink.ended);
  EXPECT_EQ(rig_.codec.open_streams(), 1U);
  sink.stream->send_data("still", false);
  sink.stream->send_data({}, true);
  EXPECT_EQ(rig_.codec.open_streams(), 0U);
  EXPECT_TRUE(sent().ends_with("still"));
  EXPECT_TRUE(rig_.wire.finished);
}

// An HTTP/2 client sends no key: one is generated, and its proof is required.
TEST_F(H1ClientCodecTest, MakesAndChecksAWebSocketKey) {
  for (const bool honest : {true, false}) {
    H1ClientRig rig;
    Head head(rig.arena);
    rig.make_request(head);
    head.protocol = "websocket";
    head.version = Version::http2;
    RecordingSink& sink = rig.open();
    sink.stream->send_head(head, false);
    rig.feeder.settle();
    const std::string request = rig.wire.take();
    const std::size_t at = request.find("sec-websocket-key: ") + 19;
    const std::string key = request.substr(at, 24);
    EXPECT_EQ(request.substr(at + 24, 2), "\r\n");
    const WebsocketAccept accept = websocket_accept(honest ? key : key.substr(1));
    rig.feeder.feed(
        "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: " +
        std::string(accept.data(), accept.size()) + "\r\n\r\n");
    EXPECT_EQ(sink.was_reset, !honest);
    EXPECT_EQ(sink.head, honest ? "status 101\nprotocol websocket\n" : "");
  }
}

// A request from an HTTP/1 client that lacks a key is the server's to refuse.
TEST_F(H1ClientCodecTest, AddsNoKeyToAnHttp1Request) {
  H1ClientRig rig;
  RecordingSink& sink = rig.ask("GET", "websocket");
  EXPECT_EQ(rig.wire.take().find("sec-websocket-key"), std::string::npos);
  rig.feeder.feed("HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
  EXPECT_EQ(sink.head, "status 101\nprotocol websocket\n");
}

TEST_F(H1ClientCodecTest, KeysDiffer) {
  Random random(1);
  const WebsocketKey a = websocket_key(random);
  const WebsocketKey b = websocket_key(random);
  EXPECT_NE(std::string(a.data(), a.size()), std::string(b.data(), b.size()));
}

// What follows a declined upgrade is not a tunnel, and the connection is not reused.
TEST_F(H1ClientCodecTest, DeclinedUpgrade) {
  RecordingSink& sink = send([](Head& head) { head.protocol = "foo"; }, false);
  rig_.feeder.feed(ok);
  EXPECT_TRUE(sink.ended);
  EXPECT_EQ(rig_.codec.open_streams(), 1U);
  sink.stream->send_data({}, true);
  EXPECT_EQ(rig_.codec.open_streams(), 0U);
  EXPECT_EQ(rig_.codec.capacity(), 0U);
  EXPECT_TRUE(rig_.wire.finished);
}

// An HTTP/2 client's first DATA may arrive before the response: it waits, and the sender is slowed
// down.
TEST_F(H1ClientCodecTest, NothingGoesOutBeforeTheSwitch) {
  for (const bool switches : {true, false}) {
    H1ClientRig rig;
    RecordingSink& sink = rig.ask("GET", "foo");
    rig.wire.take();
    sink.stream->send_data("GET /evil HTTP/1.1\r\nHost: a\r\n\r\n", false);
    rig.feeder.settle();
    EXPECT_EQ(rig.wire.take(), "");
    EXPECT_FALSE(sink.over());
    EXPECT_TRUE(sink.stream->above_high());
    rig.feeder.feed(switches ? "HTTP/1.1 101 S\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\n"
                             : "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n");
    sink.stream->send_data("more", !switches);
    EXPECT_EQ(rig.wire.take(), switches ? "GET /evil HTTP/1.1\r\nHost: a\r\n\r\nmore" : "");
    EXPECT_EQ(sink.drained, switches ? 1 : 0);
    EXPECT_EQ(sink.misuse, "");
  }
}

TEST_F(H1ClientCodecTest, ABodyInFrontOfATunnelLeavesAndTheTunnelWaits) {
  RecordingSink& sink = send(
      [](Head& head) {
        head.protocol = "tcp";
        head.content_length = 4;
      },
      false);
  EXPECT_TRUE(sent().ends_with("content-length: 4\r\nconnection: upgrade\r\nupgrade: tcp\r\n\r\n"));
  sink.stream->send_data("bo", false);
  sink.stream->send_data("dyearly", false);
  EXPECT_EQ(sent(), "body");
  rig_.feeder.feed("HTTP/1.1 101 S\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n");
  EXPECT_EQ(sent(), "early");
}

TEST_F(H1ClientCodecTest, TheEndMayBeSentBeforeTheSwitch) {
  RecordingSink& sink = send([](Head& head) { head.protocol = "foo"; }, false);
  sink.stream->send_data({}, true);
  EXPECT_FALSE(rig_.wire.output_ended);
  rig_.feeder.feed("HTTP/1.1 101 S\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\nx");
  EXPECT_TRUE(rig_.wire.output_ended);
  rig_.feeder.end();
  EXPECT_EQ(sink.body, "x");
  EXPECT_EQ(rig_.codec.open_streams(), 0U);
}

TEST_F(H1ClientCodecTest, Connect) {
  RecordingSink& sink = rig_.ask("CONNECT");
  EXPECT_EQ(sent(), "CONNECT a.test:443 HTTP/1.1\r\nhost: a.test:443\r\n\r\n");
  rig_.feeder.feed("HTTP/1.1 200 OK\r\n\r\nraw");
  EXPECT_EQ(sink.body, "raw");
  sink.stream->send_data("up", false);
  EXPECT_EQ(sent(), "up");
}

// --- Costs ---------------------------------------------------------------------------------------

class QuietSink final : public StreamSink {
 public:
  void on_head(Head&, bool) override {}
  void on_interim(Head&) override {}
  void on_data(std::string_view, bool end) override { ends += end ? 1 : 0; }
  void on_trailers(Fields&) override { ++ends; }
  void on_reset(StreamEnd) override {}
  void on_drained() override {}
  int ends = 0;
};

#ifndef OUTRIGGER_SANITIZED  // A sanitizer owns the allocator: nothing can be counted.
TEST(H1ClientCostTest, TheSteadyStateAllocatesNothing) {
  BlockPool blocks;
  net::BufferPool buffers;
  CodecLimits limits;
  CodecCounters counters;
  fakes::FakeWire wire(buffers);
  wire.recording = false;
  fakes::RecordingClient client;
  H1ClientCodec codec(wire, client, limits, counters, blocks);
  Arena arena(blocks);
  Head head(arena);
  head.method_text = "GET";
  head.authority = "a";
  head.path = "/";
  head.fields.add("accept", "*/*");
  QuietSink sink;
  const std::string answers[] = {
      "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n",
  };
  const auto run = [&](int times) {
    for (int i = 0; i < times; ++i) {
      for (const std::string& raw : answers) {
        codec.open(sink).send_head(head, true);
        ASSERT_EQ(codec.feed(raw, 0), raw.size());
      }
    }
  };
  run(10);
  const std::uint64_t before = test::allocation_count();
  run(500);
  EXPECT_EQ(test::allocation_count() - before, 0U);
  EXPECT_EQ(sink.ends, 1020);
}
#endif

}  // namespace
}  // namespace outrigger::http
