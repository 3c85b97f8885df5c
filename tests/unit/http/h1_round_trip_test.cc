// A request through a server codec, a client codec, and a second server codec behind it, as two
// sidecars would pass it: it must arrive with the same meaning, and the response must come back.
// What the first refuses must not reach the second at all.

#include <gtest/gtest.h>

#include <string>

#include "base/random.h"
#include "http/h1_encoder.h"
#include "support/h1_harness.h"

namespace outrigger::http {
namespace {

using fakes::FakeWire;
using fakes::Feeder;
using fakes::RecordingClient;
using fakes::RecordingServer;
using fakes::RecordingSink;

// Joins a server stream and a client stream; a minimal proxy.
class Relay final : public ServerEvents {
 public:
  explicit Relay(net::BufferPool& buffers, BlockPool& blocks)
      : wire_up(buffers), upstream(wire_up, client, limits, counters, blocks) {}

  StreamSink& on_stream(Stream& stream) override {
    down_.relay = up_.relay = this;
    server_ = &stream;
    client_ = nullptr;
    return down_;
  }
  void on_idle() override {}

  CodecLimits limits;
  CodecCounters counters;
  FakeWire wire_up;
  RecordingClient client;
  H1ClientCodec upstream;
  int resets = 0;

 private:
  struct Down final : StreamSink {
    void on_head(Head& head, bool end) override {
      relay->request_ended_ = end;
      if (relay->upstream.capacity() == 0) return relay->server_->reset(StreamEnd::local);
      relay->client_ = &relay->upstream.open(relay->up_);
      relay->client_->send_head(head, end);
    }
    void on_interim(Head&) override {}
    void on_data(std::string_view bytes, bool end) override {
      relay->request_ended_ = end;
      relay->client_->send_data(bytes, end);
    }
    void on_trailers(Fields& trailers) override {
      relay->request_ended_ = true;
      relay->client_->send_trailers(trailers);
    }
    void on_reset(StreamEnd reason) override {
      ++relay->resets;
      relay->client_->reset(reason);
    }
    void on_drained() override {}
    Relay* relay = nullptr;
  };
  struct Up final : StreamSink {
    void on_head(Head& head, bool end) override {
      relay->server_->send_head(head, end);
      if (end) ended();
    }
    void on_interim(Head& head) override { relay->server_->send_interim(head); }
    void on_data(std::string_view bytes, bool end) override {
      relay->server_->send_data(bytes, end);
      if (end) ended();
    }
    void on_trailers(Fields& trailers) override {
      relay->server_->send_trailers(trailers);
      ended();
    }
    void on_reset(StreamEnd reason) override { relay->server_->reset(reason); }
    void on_drained() override {}
    void ended() const {
      if (!relay->request_ended_) relay->client_->reset(StreamEnd::local);
    }
    Relay* relay = nullptr;
  };

  Down down_;
  Up up_;
  Stream* server_ = nullptr;
  Stream* client_ = nullptr;
  bool request_ended_ = false;
};

class Chain {
 public:
  // Moves bytes until nothing is left to do.
  void run(std::string_view raw) {
    first_feeder_.feed(raw);
    for (int i = 0; i < 20; ++i) {
      relay.wire_up.end_turn();
      std::string up;
      up.swap(relay.wire_up.sent);
      wire_tape += up;
      last_feeder_.feed(up);
      up_feeder_.feed(wire_last.take());
      first_feeder_.settle();
    }
  }

  BlockPool blocks;
  net::BufferPool buffers;
  CodecLimits limits;
  CodecCounters counters;
  FakeWire wire_first{buffers};
  Relay relay{buffers, blocks};
  H1ServerCodec first{wire_first, relay, limits, counters, blocks, "http"};
  FakeWire wire_last{buffers};
  RecordingServer server;
  H1ServerCodec last{wire_last, server, limits, counters, blocks, "http"};
  std::string wire_tape;  // the bytes between the two

 private:
  Feeder first_feeder_{first, wire_first};
  Feeder last_feeder_{last, wire_last};
  Feeder up_feeder_{relay.upstream, relay.wire_up};
};

std::string answer_body(const std::string& request_body) {
  return "got " + request_body;
}

void answer_everything(Chain& chain) {
  chain.server.stream_hook = [&chain](RecordingSink& sink) {
    const auto answer = [&chain, &sink] {
      Arena arena(chain.blocks);
      Head head(arena);
      head.status = 200;
      head.fields.add("x-answer", "1");
      sink.stream->send_head(head, false);
      sink.stream->send_data(answer_body(sink.body), true);
    };
    sink.head_hook = [answer](Head&, bool end) {
      if (end) answer();
    };
    sink.data_hook = [answer](std::string_view, bool end) {
      if (end) answer();
    };
    sink.trailers_hook = [answer](Fields&) { answer(); };
  };
}

TEST(H1RoundTripTest, RequestsArriveAndAnswersComeBack) {
  Chain chain;
  answer_everything(chain);
  chain.run(
      "GET /a/../b%41?x HTTP/1.1\r\nHost: A:80\r\nX-A:  1 \r\nConnection: x-b\r\nx-b: 2\r\n\r\n"
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nx-t: 1\r\nHost: evil\r\n\r\n"
      "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_EQ(chain.server.sinks.size(), 4U);
  EXPECT_EQ(chain.server.sinks[0]->head, "GET http://A:80 /a/../b%41?x\nX-A: 1\n");
  EXPECT_EQ(chain.server.sinks[1]->body, "hello");
  EXPECT_EQ(chain.server.sinks[1]->head, "POST http://a /\nlength 5\n");
  EXPECT_EQ(chain.server.sinks[2]->body, "abcde");
  EXPECT_EQ(chain.server.sinks[2]->trailers, "x-t: 1\n");
  EXPECT_EQ(chain.server.sinks[3]->head, "HEAD http://a /\n");
  const std::string head = "HTTP/1.1 200 OK\r\nx-answer: 1\r\ntransfer-encoding: chunked\r\n\r\n";
  EXPECT_EQ(chain.wire_first.take(),
            head + "4\r\ngot \r\n0\r\n\r\n" + head + "9\r\ngot hello\r\n0\r\n\r\n" + head +
                "9\r\ngot abcde\r\n0\r\n\r\n" + "HTTP/1.1 200 OK\r\nx-answer: 1\r\n\r\n");
  EXPECT_EQ(chain.relay.client.retiring, 0);
}

TEST(H1RoundTripTest, TunnelsRunBothWays) {
  Chain chain;
  chain.server.stream_hook = [&chain](RecordingSink& sink) {
    sink.head_hook = [&chain, &sink](Head& head, bool) {
      Arena arena(chain.blocks);
      Head answer(arena);
      answer.status = 101;
      answer.protocol = head.protocol;
      sink.stream->send_head(answer, false);
      sink.stream->send_data("down", false);
    };
  };
  chain.run("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nup");
  ASSERT_EQ(chain.server.sinks.size(), 1U);
  EXPECT_EQ(chain.server.last().body, "up");
  EXPECT_EQ(chain.wire_first.take(),
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: "
            "websocket\r\n\r\ndown");
  chain.run("\0\r\n more");
  EXPECT_EQ(chain.server.last().body, std::string("up"));
}

// A declined upgrade with a request behind it: that request is routed as one of its own, or not at
// all.
TEST(H1RoundTripTest, SmugglingBehindAnUpgrade) {
  Chain chain;
  chain.server.stream_hook = [&chain](RecordingSink& sink) {
    sink.head_hook = [&chain, &sink](Head&, bool) {
      Arena arena(chain.blocks);
      Head answer(arena);
      answer.status = 200;
      sink.stream->send_head(answer, true);
    };
  };
  chain.run(
      "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
      "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(chain.wire_tape.find("evil"), std::string::npos);
  EXPECT_EQ(chain.relay.upstream.capacity(), 0U);
}

// For any input, the second server reads as many requests as the first one let through, and what
// was truncated is truncated there too.
TEST(H1RoundTripTest, OneInOneOut) {
  const std::string pieces[] = {
      "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello",
      "x",
      "\r\n",
      "0\r\n\r\n",
      "GET /",
      "\n",
      "5\r\n",
      "Content-Length: 3\r\n",
  };
  Random random(11);
  std::size_t passed = 0;
  for (int i = 0; i < 3000; ++i) {
    Chain chain;
    answer_everything(chain);
    std::string raw;
    const std::uint32_t parts = 1 + random.below(4);
    for (std::uint32_t p = 0; p < parts; ++p) {
      raw += pieces[random.below(static_cast<std::uint32_t>(std::size(pieces)))];
    }
    if (random.below(2) == 0) raw[random.below(static_cast<std::uint32_t>(raw.size()))] ^= 1;
    chain.run(raw);
    EXPECT_EQ(chain.counters.malformed.value() > 0,
              chain.wire_first.over() && chain.wire_first.sent.find("\"DPE\"") != std::string::npos)
        << raw;
    std::size_t complete = 0;
    for (const auto& sink : chain.server.sinks) complete += sink->ended ? 1U : 0U;
    std::size_t answers = 0;
    const std::string back = chain.wire_first.take();
    for (std::size_t at = 0; (at = back.find("HTTP/1.1 200", at)) != back.npos; ++at) ++answers;
    EXPECT_EQ(answers, complete) << raw;
    for (const auto& sink : chain.server.sinks) EXPECT_EQ(sink->misuse, "");
    passed += complete;
  }
  EXPECT_GT(passed, 500U);
}

// Short and long texts are copied in different ways: none may lose or repeat a byte.
TEST(H1Encoder, TextsOfEveryLengthAreWrittenWhole) {
  net::BufferPool buffers;
  BlockPool blocks;
  std::string alphabet;
  for (char c = '0'; c <= 'z'; ++c) alphabet += c;
  for (std::size_t size = 1; size <= alphabet.size(); ++size) {
    const std::string text = alphabet.substr(0, size);
    const std::string name(size, 'n');
    Arena arena(blocks);
    Head head(arena);
    head.method = Method::get;
    head.method_text = "GET";
    head.authority = "a.test";
    head.path = "/";
    head.fields.add(name, text);
    head.fields.add("after", "it");
    net::Buffer out(buffers);
    ASSERT_TRUE(write_request_head(out, head, {}));
    EXPECT_EQ(out.view(),
              "GET / HTTP/1.1\r\nhost: a.test\r\n" + name + ": " + text + "\r\nafter: it\r\n\r\n");
  }
}

}  // namespace
}  // namespace outrigger::http
