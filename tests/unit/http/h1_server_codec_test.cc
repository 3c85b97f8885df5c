#include "http/h1_server_codec.h"

#include <gtest/gtest.h>

#include <string>

#include "http/bytes.h"
#include "http/h1_encoder.h"
#include "support/allocation_count.h"
#include "support/h1_harness.h"

namespace outrigger::http {
namespace {

using fakes::H1ServerRig;
using fakes::RecordingSink;
using std::string_literals::operator""s;

const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

class H1ServerCodecTest : public testing::Test {
 protected:
  explicit H1ServerCodecTest() : rig_({}, false) {}

  RecordingSink& ask(const std::string& raw) {
    rig_.feeder.feed(raw);
    return rig_.server.last();
  }
  Head& answer(int status) {
    head_.clear();
    head_.status = status;
    return head_;
  }
  std::string sent() { return rig_.wire.take(); }

  H1ServerRig rig_;
  Head head_{rig_.arena};
};

TEST_F(H1ServerCodecTest,
       a_pipelined_request_whose_body_was_cut_by_the_input_end_does_not_wait_for_it) {
  RecordingSink& first = ask(get + "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
  rig_.feeder.end();
  first.stream->send_head(answer(204), true);
  rig_.feeder.settle();
  ASSERT_EQ(rig_.server.sinks.size(), 2U);
  EXPECT_EQ(rig_.server.last().reset, StreamEnd::cancelled);
  EXPECT_TRUE(rig_.wire.over());
}

TEST_F(H1ServerCodecTest, AnswersAndKeepsTheConnection) {
  RecordingSink& sink = ask(get);
  EXPECT_EQ(rig_.codec.open_streams(), 1U);
  Head& head = answer(200);
  head.content_length = 5;
  head.fields.add("Server", "x");
  head.fields.add("connection", "close");        // the user cannot set this
  head.fields.add("Transfer-Encoding", "gzip");  // nor this
  sink.stream->send_head(head, false);
  EXPECT_EQ(rig_.wire.sent, "");
  sink.stream->send_data("hello", true);
  ASSERT_EQ(rig_.wire.written.size(), 1U);
  EXPECT_EQ(sent(), "HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 5\r\n\r\nhello");
  EXPECT_EQ(rig_.codec.open_streams(), 0U);
  EXPECT_EQ(rig_.server.idle, 1);
  EXPECT_FALSE(rig_.wire.over());
  EXPECT_EQ(rig_.blocks.in_use(), 1U);  // the test's own arena

  ask(get).stream->send_head(answer(299), true);
  EXPECT_EQ(sent(), "HTTP/1.1 299 \r\ncontent-length: 0\r\n\r\n");
}

// The head and a large body are sent in one write.
TEST_F(H1ServerCodecTest, LargeBodiesAreNotCopied) {
  RecordingSink& sink = ask(get);
  const std::string body(5000, 'x');
  Head& head = answer(200);
  head.content_length = body.size();
  sink.stream->send_head(head, false);
  sink.stream->send_data(body, true);
  ASSERT_EQ(rig_.wire.written.size(), 1U);
  EXPECT_EQ(sent(), "HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + body);
}

TEST_F(H1ServerCodecTest, ChunksWithoutALength) {
  RecordingSink& sink = ask(get);
  sink.stream->send_head(answer(200), false);
  sink.stream->send_data("hello", false);
  rig_.feeder.settle();
  sink.stream->send_data("", false);
  sink.stream->send_data(std::string(5000, 'x'), false);
  sink.stream->send_data({}, true);
  EXPECT_EQ(sent(), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1388\r\n" +
                        std::string(5000, 'x') + "\r\n0\r\n\r\n");
  EXPECT_FALSE(rig_.wire.over());
}

TEST_F(H1ServerCodecTest, TrailersWhereTheyAreWanted) {
  const auto run = [this](const std::string& fields, bool grpc, bool length) {
    RecordingSink& sink = ask("GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n");
    Head& head = answer(200);
    if (grpc) head.fields.add("content-type", "application/grpc");
    if (length) head.content_length = 2;
    sink.stream->send_head(head, false);
    sink.stream->send_data("hi", false);
    Fields trailers(rig_.arena);
    trailers.add("x-t", "1");
    trailers.add("content-length", "7");
    sink.stream->send_trailers(trailers);
    const std::string all = sent();
    return all.substr(all.find("\r\n\r\n") + 4);
  };
  EXPECT_EQ(run("TE: trailers\r\n", false, false), "2\r\nhi\r\n0\r\nx-t: 1\r\n\r\n");
  EXPECT_EQ(run("", true, false), "2\r\nhi\r\n0\r\nx-t: 1\r\n\r\n");
  EXPECT_EQ(run("", false, false), "2\r\nhi\r\n0\r\n\r\n");
  EXPECT_EQ(run("TE: trailers\r\n", false, true), "hi");
  EXPECT_FALSE(rig_.wire.over());
}

TEST_F(H1ServerCodecTest, AnswersWithoutABody) {
  const auto run = [this](const std::string& method, int status,
                          std::optional<std::uint64_t> length, bool end) {
    RecordingSink& sink = ask(method + " / HTTP/1.1\r\nHost: a\r\n\r\n");
    Head& head = answer(status);
    head.content_length = length;
    sink.stream->send_head(head, end);
    if (!end) sink.stream->send_data("dropped", true);
    const std::string all = sent();
    return all.substr(all.find("\r\n") + 2);
  };
  EXPECT_EQ(run("HEAD", 200, 5, true), "content-length: 5\r\n\r\n");
  EXPECT_EQ(run("HEAD", 200, {}, true), "\r\n");
  EXPECT_EQ(run("HEAD", 200, {}, false), "\r\n");
  EXPECT_EQ(run("GET", 304, 5, true), "content-length: 5\r\n\r\n");
  EXPECT_EQ(run("GET", 304, {}, false), "\r\n");
  EXPECT_EQ(run("GET", 204, 5, true), "\r\n");
  EXPECT_EQ(run("GET", 204, {}, false), "\r\n");
  EXPECT_EQ(run("GET", 200, {}, true), "content-length: 0\r\n\r\n");
  EXPECT_FALSE(rig_.wire.over());
}

TEST_F(H1ServerCodecTest, Http10) {
  ask("GET / HTTP/1.0\r\n\r\n").stream->send_head(answer(200), true);
  EXPECT_EQ(sent(), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  EXPECT_TRUE(rig_.wire.finished);
  EXPECT_TRUE(rig_.wire.at_once);
}

TEST_F(H1ServerCodecTest, Http10KeepAlive) {
  ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").stream->send_head(answer(200), true);
  EXPECT_EQ(sent(), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n");
  RecordingSink& sink = ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  Head interim(rig_.arena);
  interim.status = 100;
  sink.stream->send_interim(interim);  // not to a 1.0 client
  sink.stream->send_head(answer(200), false);
  sink.stream->send_data("until ", false);
  sink.stream->send_data("close", true);
  EXPECT_EQ(sent(), "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil close");
  EXPECT_TRUE(rig_.wire.finished);
  EXPECT_FALSE(rig_.wire.at_once);
}

TEST_F(H1ServerCodecTest, ConnectionClose) {
  ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + get)
      .stream->send_head(answer(200), true);
  EXPECT_EQ(sent(), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  EXPECT_TRUE(rig_.wire.finished);
  EXPECT_FALSE(rig_.wire.at_once);  // it said it would send nothing more, but it has
  EXPECT_EQ(rig_.server.sinks.size(), 1U);
}

// A client that has asked for the close waits for it: nothing can arrive that would turn it into a
// reset.
TEST_F(H1ServerCodecTest, ConnectionCloseAfterTheWholeRequestDoesNotLinger) {
  const std::string head =
      "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\n";
  ask(head + "body").stream->send_head(answer(200), true);
  EXPECT_TRUE(rig_.wire.at_once);
}

TEST_F(H1ServerCodecTest, ConnectionCloseBeforeTheWholeRequestLingers) {
  const std::string head =
      "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\n";
  ask(head + "bo").stream->send_head(answer(200), true);
  EXPECT_TRUE(rig_.wire.finished);
  EXPECT_FALSE(rig_.wire.at_once);
}

TEST_F(H1ServerCodecTest, InterimAnswers) {
  RecordingSink& sink =
      ask("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  Head interim(rig_.arena);
  interim.status = 100;
  sink.stream->send_interim(interim);
  EXPECT_EQ(rig_.wire.sent, "HTTP/1.1 100 Continue\r\n\r\n");
  interim.status = 200;  // none
  sink.stream->send_interim(interim);
  interim.status = 101;
  sink.stream->send_interim(interim);
  rig_.feeder.feed("hi");
  EXPECT_TRUE(sink.ended);
  sink.stream->send_head(answer(200), true);
  EXPECT_EQ(sent(), "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  EXPECT_FALSE(rig_.wire.over());
}

// A client that waits for its 100 may send the body, or the next request, after a final response:
// there is no way to know.
TEST_F(H1ServerCodecTest, RefusedExpectationCloses) {
  ask("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
      .stream->send_head(answer(401), true);
  EXPECT_NE(sent().find("connection: close"), std::string::npos);
  EXPECT_TRUE(rig_.wire.finished);
}

TEST_F(H1ServerCodecTest, PipelinedRequestsAreAnsweredOneByOne) {
  std::string raw;
  for (int i = 0; i < 1000; ++i) {
    raw += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n";
  }
  rig_.feeder.feed(raw);
  for (std::size_t i = 0; i < 1000; ++i) {
    ASSERT_EQ(rig_.server.sinks.size(), i + 1);
    EXPECT_EQ(rig_.server.last().head, "GET http://a /" + std::to_string(i) + "\n");
    rig_.server.last().stream->send_head(answer(200), true);
    if (i + 1 < 1000) {
      EXPECT_TRUE(rig_.wire.redeliver_wanted);
    }
    rig_.feeder.settle();
  }
  EXPECT_EQ(rig_.server.sinks.size(), 1000U);
  EXPECT_EQ(rig_.feeder.kept(), "");
  EXPECT_EQ(rig_.blocks.in_use(), 0U);
}

// Responses given inside the callbacks are sent together.
TEST(H1ServerPipelineTest, OneWriteAFeed) {
  H1ServerRig rig;
  std::string raw;
  for (int i = 0; i < 100; ++i) raw += get;
  rig.feeder.feed(raw);
  EXPECT_EQ(rig.server.sinks.size(), 100U);
  EXPECT_EQ(rig.wire.written.size(), 1U);
}

TEST_F(H1ServerCodecTest, EarlyAnswerDrainsTheRest) {
  RecordingSink& sink = ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
  sink.stream->send_head(answer(403), true);
  EXPECT_EQ(sent(), "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
  EXPECT_EQ(rig_.codec.open_streams(), 0U);
  rig_.feeder.feed("56789" + get);
  EXPECT_EQ(rig_.server.sinks.size(), 2U);
  EXPECT_EQ(sink.body, "01234");
  EXPECT_FALSE(sink.was_reset);
}

TEST_F(H1ServerCodecTest, EarlyAnswerDrainsChunks) {
  ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
      .stream->send_head(answer(403), true);
  rig_.feeder.feed("lo\r\n0\r\nx: y\r\n\r\n" + get);
  EXPECT_EQ(rig_.server.sinks.size(), 2U);
  EXPECT_FALSE(rig_.wire.over());
}

TEST_F(H1ServerCodecTest, EarlyAnswerToALongRequestCloses) {
  ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n01234")
      .stream->send_head(answer(403), true);
  EXPECT_NE(sent().find("connection: close"), std::string::npos);
  EXPECT_TRUE(rig_.wire.finished);
}

TEST_F(H1ServerCodecTest, DrainingHasALimit) {
  ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
      .stream->send_head(answer(403), true);
  EXPECT_FALSE(rig_.wire.over());
  const std::string chunk = "1000\r\n" + std::string(4096, 'x') + "\r\n";
  int fed = 0;
  for (; fed < 100 && !rig_.wire.over(); ++fed) rig_.feeder.feed(chunk);
  EXPECT_TRUE(rig_.wire.finished);
  EXPECT_GT(fed, 10);
  EXPECT_LT(fed, 20);
}

TEST_F(H1ServerCodecTest, DrainingAMalformedRestCloses) {
  ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
      .stream->send_head(answer(403), true);
  rig_.feeder.feed("xyz\r\n" + get);
  EXPECT_TRUE(rig_.wire.finished);
  EXPECT_EQ(rig_.server.sinks.size(), 1U);
}

// --- Ends ----------------------------------------------------------------------------------------

TEST_F(H1ServerCodecTest, MalformedBodyAfterTheAnswerBeganCutsIt) {
  RecordingSink& sink = ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  sink.stream->send_head(answer(200), false);
  sink.stream->send_data("half", false);
  rig_.feeder.feed("5\nhello");
  EXPECT_TRUE(sink.was_reset);
  EXPECT_EQ(sink.reset, StreamEnd::protocol_error);
  EXPECT_TRUE(rig_.wire.aborted);
  EXPECT_TRUE(rig_.wire.was_reset);
  EXPECT_EQ(sent().find("400"), std::string::npos);
}

// A reset would destroy what is in flight: it is used only where an orderly close would look
// complete.
TEST_F(H1ServerCodecTest, ResetCutsTheConnection) {
  struct Case {
    std::string request;
    bool begun;
    bool by_reset;
  };
  const std::vector<Case> cases{
      {get, false, true}, {get, true, false}, {"GET / HTTP/1.0\r\nHost: a\r\n\r\n", true, true}};
  for (const Case& c : cases) {
    H1ServerRig rig({}, false);
    rig.feeder.feed(c.request);
    RecordingSink& sink = rig.server.last();
    if (c.begun) {
      sink.stream->send_head(answer(200), false);
      sink.stream->send_data("half", false);
    }
    sink.stream->reset(StreamEnd::connection_lost);
    EXPECT_EQ(rig.wire.aborted, c.by_reset) << c.request << c.begun;
    EXPECT_EQ(rig.wire.was_reset, c.by_reset);
    EXPECT_EQ(rig.wire.finished, !c.by_reset);
    EXPECT_EQ(rig.wire.take().find("half") != std::string::npos, c.begun) << c.request;
    EXPECT_FALSE(sink.was_reset);
    EXPECT_EQ(rig.codec.open_streams(), 0U);
    EXPECT_EQ(rig.server.idle, 1);
    sink.stream->send_data("late", true);  // has no effect
    sink.stream->reset(StreamEnd::local);
    EXPECT_EQ(rig.server.idle, 1);
  }
}

TEST_F(H1ServerCodecTest, PipelinedRequestsBeforeTheEndOfInput) {
  rig_.feeder.feed(get + get);
  rig_.feeder.end();
  EXPECT_FALSE(rig_.wire.over());
  rig_.server.last().stream->send_head(answer(200), true);
  rig_.feeder.settle();
  ASSERT_EQ(rig_.server.sinks.size(), 2U);
  EXPECT_FALSE(rig_.wire.over());
  rig_.server.last().stream->send_head(answer(200), true);
  EXPECT_TRUE(rig_.wire.finished);
}

TEST_F(H1ServerCodecTest, AnAbandonedRequestIsCancelled) {
  RecordingSink& sink = ask(get);
  rig_.feeder.end();
  EXPECT_EQ(sink.reset, StreamEnd::cancelled);
  EXPECT_TRUE(rig_.wire.aborted);
  EXPECT_EQ(rig_.codec.open_streams(), 0U);
  EXPECT_EQ(rig_.server.idle, 1);
}

// An idle connection is little more than its place in its owner's lists.
TEST_F(H1ServerCodecTest, IdleConnectionsAreSmall) {
  EXPECT_LE(sizeof(H1ServerCodec), 256U);
  ask(get);
  EXPECT_EQ(rig_.blocks.in_use(), 1U);
  rig_.server.last().stream->send_head(answer(200), true);
  EXPECT_EQ(rig_.blocks.in_use(), 0U);
}

TEST_F(H1ServerCodecTest, EndOfInputWhereItEndsThings) {
  for (const char* raw : {"", "GET / HT", "\r\n", "\r"}) {
    H1ServerRig rig({}, false);
    rig.feeder.feed(raw);
    rig.feeder.end();
    EXPECT_TRUE(rig.wire.finished) << raw;
    EXPECT_EQ(rig.wire.sent, "");
  }
  // In the middle of the rest of a request.
  ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234")
      .stream->send_head(answer(403), true);
  rig_.feeder.end();
  EXPECT_TRUE(rig_.wire.finished);
}

TEST_F(H1ServerCodecTest, LostConnection) {
  RecordingSink& sink = ask(get);
  rig_.codec.connection_lost(true);
  EXPECT_EQ(sink.reset, StreamEnd::cancelled);
  EXPECT_EQ(rig_.server.idle, 1);
  EXPECT_EQ(rig_.blocks.in_use(), 0U);
  H1ServerRig idle({}, false);
  idle.codec.connection_lost(false);
  EXPECT_EQ(idle.server.idle, 0);
}

TEST_F(H1ServerCodecTest, DrainIdle) {
  rig_.codec.drain();
  EXPECT_TRUE(rig_.wire.finished);
}

TEST_F(H1ServerCodecTest, DrainWithAnOpenStream) {
  RecordingSink& sink = ask(get + get);
  rig_.codec.drain();
  EXPECT_FALSE(rig_.wire.over());
  sink.stream->send_head(answer(200), true);
  EXPECT_NE(sent().find("connection: close"), std::string::npos);
  EXPECT_TRUE(rig_.wire.finished);
  EXPECT_EQ(rig_.server.sinks.size(), 1U);
}

TEST_F(H1ServerCodecTest, DrainWhileAHeadArrives) {
  rig_.feeder.feed("GET / HTTP/1.1\r\nHo");
  EXPECT_TRUE(rig_.codec.receiving_head());
  rig_.codec.drain();
  EXPECT_FALSE(rig_.wire.over());
  rig_.feeder.feed("st: a\r\n\r\n");
  EXPECT_FALSE(rig_.codec.receiving_head());
  rig_.server.last().stream->send_head(answer(200), true);
  EXPECT_NE(sent().find("connection: close"), std::string::npos);
  EXPECT_TRUE(rig_.wire.finished);
}

TEST_F(H1ServerCodecTest, DrainAfterTheAnswersHead) {
  RecordingSink& sink = ask(get);
  sink.stream->send_head(answer(200), false);
  rig_.codec.drain();
  sink.stream->send_data({}, true);
  EXPECT_TRUE(rig_.wire.finished);
}

TEST_F(H1ServerCodecTest, Backpressure) {
  RecordingSink& sink = ask(get);
  rig_.wire.blocked = true;
  sink.stream->send_head(answer(200), false);
  EXPECT_FALSE(sink.stream->above_high());
  sink.stream->send_data(std::string(300 * 1024, 'x'), false);
  EXPECT_TRUE(sink.stream->above_high());
  rig_.wire.unblock();
  rig_.codec.output_drained();
  EXPECT_EQ(sink.drained, 1);
  sink.stream->pause(true);
  EXPECT_TRUE(rig_.wire.paused);
  sink.stream->pause(false);
  EXPECT_FALSE(rig_.wire.paused);
  sink.stream->pause(true);
  sink.stream->send_data({}, true);
  EXPECT_FALSE(rig_.wire.paused);  // the next request is read
  rig_.codec.output_drained();
  EXPECT_EQ(sink.drained, 1);
}

// --- What may not be written ---------------------------------------------------------------------

TEST_F(H1ServerCodecTest, InjectionIsAnsweredWith500) {
  for (int byte = 0; byte < 256; ++byte) {
    for (const bool in_name : {true, false}) {
      for (std::size_t at = 0; at < 3; ++at) {
        H1ServerRig rig({}, false);
        rig.feeder.feed(get);
        std::string text = "abc";
        text[at] = static_cast<char>(byte);
        Head head(rig.arena);
        head.status = 200;
        head.fields.add(in_name ? std::string_view(text) : "x",
                        in_name ? "v" : std::string_view(text));
        rig.server.last().stream->send_head(head, true);
        const bool value_ok = (byte >= ' ' && byte != 0x7f) || byte == '\t';
        const bool blank = byte == ' ' || byte == '\t';
        const bool good = in_name ? bytes::has(bytes::token, static_cast<char>(byte))
                                  : value_ok && !(blank && at != 1);
        const std::string written = rig.wire.take();
        EXPECT_EQ(written.starts_with("HTTP/1.1 200 "), good) << byte << " at " << at;
        EXPECT_EQ(written.starts_with("HTTP/1.1 500 "), !good) << byte << " at " << at;
        EXPECT_EQ(rig.wire.finished, !good);
        if (!good) {
          EXPECT_EQ(written.find(text), written.npos);
        }
      }
    }
  }
}

TEST_F(H1ServerCodecTest, AnUnwritableAnswerEndsTheStream) {
  RecordingSink& sink = ask(get);
  Head& head = answer(200);
  head.fields.add("a b", "c");
  sink.stream->send_head(head, false);
  sink.stream->send_data("dropped", false);
  EXPECT_FALSE(sink.was_reset);  // not from inside a call
  rig_.feeder.settle();
  EXPECT_TRUE(sink.was_reset);
  EXPECT_EQ(sink.reset, StreamEnd::local);
  EXPECT_TRUE(rig_.wire.finished);
  EXPECT_TRUE(sent().starts_with("HTTP/1.1 500 "));
  EXPECT_EQ(rig_.server.idle, 1);
}

TEST_F(H1ServerCodecTest, ABodyIsHeldToItsLength) {
  const auto run = [this](std::optional<std::uint64_t> length, const std::string& body, bool end) {
    H1ServerRig rig({}, false);
    rig.feeder.feed(get);
    RecordingSink& sink = rig.server.last();
    Head& head = answer(200);
    head.content_length = length;
    sink.stream->send_head(head, false);
    rig.feeder.settle();
    sink.stream->send_data(body, end);
    rig.feeder.settle();
    EXPECT_TRUE(rig.wire.aborted);
    EXPECT_TRUE(rig.wire.was_reset);
    EXPECT_EQ(sink.was_reset, !end);
    return rig.wire.take();
  };
  EXPECT_EQ(run(5, "longer than that", false), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
  EXPECT_EQ(run(5, "longer than that", true), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
  EXPECT_EQ(run(5, "shor", true), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
  H1ServerRig rig({}, false);
  rig.feeder.feed(get);
  Head& head = answer(200);
  head.content_length = 5;
  rig.server.last().stream->send_head(head, true);
  EXPECT_TRUE(rig.wire.take().starts_with("HTTP/1.1 500 "));
}

TEST_F(H1ServerCodecTest, TrailersAreCheckedToo) {
  RecordingSink& sink = ask("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n");
  sink.stream->send_head(answer(200), false);
  Fields trailers(rig_.arena);
  trailers.add("x-t", "a\r\nb");
  sink.stream->send_trailers(trailers);
  EXPECT_TRUE(rig_.wire.aborted);
  EXPECT_EQ(sent().find("0\r\n"), std::string::npos);
}

TEST_F(H1ServerCodecTest, StatusesThatAreNone) {
  for (const int status : {0, 99, 100, 101, 103, 1000, -1}) {
    H1ServerRig rig({}, false);
    rig.feeder.feed(get);
    rig.server.last().stream->send_head(answer(status), true);
    EXPECT_TRUE(rig.wire.take().starts_with("HTTP/1.1 500 ")) << status;
  }
}

TEST(H1LocalAnswerTest, LengthsAreRight) {
  for (const std::string& raw :
       {"\n"s, "GET / HTTP/3.0\r\n\r\n"s, "GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n"s,
        std::string(100'000, 'a')}) {
    H1ServerRig rig;
    rig.feeder.feed(raw);
    fakes::H1ClientRig client;
    RecordingSink& sink = client.ask();
    client.feeder.feed(rig.wire.take());
    EXPECT_TRUE(sink.ended) << sink.story();
    EXPECT_EQ(client.counters.glitches.value(), 0U);
    EXPECT_TRUE(sink.body.starts_with("{\"error\":\"")) << sink.body;
    EXPECT_TRUE(client.wire.finished);
    EXPECT_TRUE(rig.wire.finished);
  }
}

// Same form as the exchange's local replies: an error, a flag, a detail.
TEST(H1LocalAnswerTest, IsAWholeAnswerWithItsDate) {
  H1ServerRig rig;
  rig.feeder.feed("GET /a?b HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n");
  const std::string body =
      R"({"error":"the caller violated the protocol","flag":"DPE","detail":"the expectation cannot be met"})"
      "\n";
  EXPECT_EQ(rig.wire.take(),
            "HTTP/1.1 417 Expectation Failed\r\nserver: outrigger\r\n"
            "date: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-type: application/json\r\n"
            "x-outrigger-flag: DPE\r\ncontent-length: " +
                std::to_string(body.size()) + "\r\nconnection: close\r\n\r\n" + body);
  EXPECT_EQ(rig.server.refused, "417 GET /a?b " + std::to_string(body.size()) + "\n");
}

TEST(H1LocalAnswerTest, ToHeadHasNoBody) {
  for (const std::string& raw :
       {"HEAD / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n"s, "HEAD / HTTP/1.1\r\nHost:\x01\r\n\r\n"s,
        "HEAD / HTTP/1.1\r\n"s + std::string(9000, 'a') + ": b\r\n\r\n",
        "HEAD / HTTP/9.9\r\n\r\n"s}) {
    H1ServerRig rig;
    rig.feeder.feed(raw);
    const std::string answer = rig.wire.take();
    EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
    EXPECT_EQ(answer.find("content-length: 0"), answer.npos) << answer;
    EXPECT_TRUE(rig.server.refused.ends_with(" HEAD / 0\n")) << rig.server.refused;
    EXPECT_TRUE(rig.wire.finished);
  }
  // Also instead of a response.
  H1ServerRig rig({}, false);
  rig.feeder.feed("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  Head head(rig.arena);
  head.status = 99;
  rig.server.last().stream->send_head(head, true);
  const std::string answer = rig.wire.take();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 500 ")) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
}

TEST(H1LocalAnswerTest, WhatIsKnownOfARefusedRequestIsTold) {
  for (const auto& [raw, refused] : {
           std::pair("DELETE /x HTTP/1.1\r\n\r\n"s, "400 DELETE /x "),
           std::pair("GET / HTTP/1.1\r\nHost: a\r\nx: \x01\r\n\r\n"s, "400 GET / "),
           std::pair("GET /y HTTP/9.9\r\n\r\n"s, "505 GET /y "),
           std::pair("GET /"s + std::string(9000, 'a'), "431   "),
           std::pair("\x01\r\n"s, "400   "),
       }) {
    H1ServerRig rig;
    rig.feeder.feed(raw);
    EXPECT_TRUE(rig.server.refused.starts_with(refused)) << rig.server.refused;
  }
}

TEST(H1LocalAnswerTest, AHeadThatDoesNotComeInTimeIsA408) {
  H1ServerRig rig;
  rig.feeder.feed("HEAD /slow HTTP/1.1\r\nHost: a");
  rig.codec.head_late(rig.feeder.kept());
  EXPECT_TRUE(rig.wire.take().starts_with("HTTP/1.1 408 Request Timeout\r\n"));
  EXPECT_EQ(rig.server.refused, "408 HEAD /slow 0\n");
  EXPECT_TRUE(rig.wire.finished);
}

// A client that speaks HTTP/2 and sends an invalid preface (h2spec 3.5/2) could not read an HTTP/1
// response; one that has spoken HTTP/1 before can.
TEST(H1LocalAnswerTest, ALineThatIsNothingLikeHttp1IsNotAnswered) {
  const std::string line = "INVALID CONNECTION PREFACE\r\n\r\n";
  H1ServerRig rig;
  rig.feeder.feed(line);
  EXPECT_EQ(rig.wire.take(), "");
  EXPECT_TRUE(rig.wire.finished);
  EXPECT_EQ(rig.server.refused, "0 INVALID CONNECTION 0\n");
  H1ServerRig before;
  before.feeder.feed(get + line);
  EXPECT_NE(before.wire.take().find("HTTP/1.1 400 "), std::string::npos);
}

// --- Tunnels -------------------------------------------------------------------------------------

const std::string upgrade =
    "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

TEST_F(H1ServerCodecTest, UpgradeHoldsBytesUntil101) {
  RecordingSink& sink = ask(upgrade + "early");
  EXPECT_EQ(sink.body, "");
  EXPECT_EQ(rig_.feeder.kept(), "early");
  Head& head = answer(101);
  head.protocol = "websocket";
  head.fields.add("sec-websocket-accept", "theirs");
  sink.stream->send_head(head, false);
  EXPECT_EQ(sink.body, "");  // not from inside a call
  EXPECT_EQ(rig_.wire.sent,
            "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: theirs\r\n"
            "connection: upgrade\r\nupgrade: websocket\r\n\r\n");
  rig_.feeder.settle();
  EXPECT_EQ(sink.body, "early");
  rig_.feeder.feed(get);
  EXPECT_EQ(sink.body, "early" + get);
  sink.stream->send_data("down", false);
  rig_.feeder.end();
  EXPECT_TRUE(sink.ended);
  EXPECT_FALSE(rig_.wire.over());
  sink.stream->send_data("more", true);
  EXPECT_TRUE(sent().ends_with("\r\n\r\ndownmore"));
  EXPECT_TRUE(rig_.wire.finished);
  EXPECT_EQ(rig_.server.idle, 1);
}

// RFC 6455 section 1.3 gives this key and this proof.
TEST_F(H1ServerCodecTest, ProvesTheKeyWhenTheAnswerCameOverHttp2) {
  RecordingSink& sink = ask(upgrade);
  Head& head = answer(101);
  head.version = Version::http2;
  sink.stream->send_head(head, false);
  EXPECT_EQ(sent(),
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
}

// An HTTP/1 server's own response is passed on unchanged, with or without a proof.
TEST_F(H1ServerCodecTest, AddsNoProofToAnHttp1ServersAnswer) {
  ask(upgrade).stream->send_head(answer(101), false);
  EXPECT_EQ(sent(),
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: "
            "websocket\r\n\r\n");
}

TEST_F(H1ServerCodecTest, ATunnelMayFollowABody) {
  RecordingSink& sink =
      ask("POST /exec HTTP/1.1\r\nHost: a\r\nUpgrade: foo\r\nConnection: Upgrade\r\n"
          "Content-Length: 4\r\n\r\nbo");
  rig_.feeder.feed("dytunnel");
  EXPECT_EQ(sink.body, "body");
  EXPECT_FALSE(sink.ended);
  EXPECT_EQ(rig_.feeder.kept(), "tunnel");
  sink.stream->send_head(answer(101), false);
  rig_.feeder.settle();
  EXPECT_EQ(sink.body, "bodytunnel");
  rig_.feeder.end();
  EXPECT_TRUE(sink.ended);
}

TEST_F(H1ServerCodecTest, NobodySwitchesInTheMiddleOfABody) {
  RecordingSink& sink =
      ask("POST /exec HTTP/1.1\r\nHost: a\r\nUpgrade: foo\r\nConnection: Upgrade\r\n"
          "Content-Length: 4\r\n\r\nbo");
  sink.stream->send_head(answer(101), false);
  rig_.feeder.settle();
  EXPECT_TRUE(sent().starts_with("HTTP/1.1 500 "));
  EXPECT_TRUE(rig_.wire.over());
}

TEST_F(H1ServerCodecTest, A426KeepsItsUpgrade) {
  Head& head = answer(426);
  head.protocol = "TLS/1.0, websocket";
  ask(get).stream->send_head(head, true);
  EXPECT_EQ(sent(),
            "HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\nconnection: "
            "upgrade\r\nupgrade: TLS/1.0, websocket\r\n\r\n");
}

TEST_F(H1ServerCodecTest, InputMayEndBeforeTheSwitch) {
  for (const char* early : {"", "early"}) {
    H1ServerRig rig({}, false);
    rig.feeder.feed(upgrade + early);
    rig.feeder.end();
    RecordingSink& sink = rig.server.last();
    EXPECT_FALSE(sink.over());
    sink.stream->send_head(answer(101), false);
    EXPECT_FALSE(sink.over());
    rig.feeder.settle();
    EXPECT_EQ(sink.body, early);
    EXPECT_TRUE(sink.ended);
    EXPECT_EQ(sink.misuse, "");
    sink.stream->send_data("bye", true);
    EXPECT_TRUE(rig.wire.finished);
  }
}

TEST_F(H1ServerCodecTest, DeclinedUpgradeStaysHttp) {
  RecordingSink& sink = ask(upgrade + get);
  sink.stream->send_head(answer(200), false);
  sink.stream->send_data("no", true);
  rig_.feeder.settle();
  EXPECT_EQ(sink.body, "");
  ASSERT_EQ(rig_.server.sinks.size(), 2U);
  EXPECT_EQ(rig_.server.last().head, "GET http://a /\n");
  EXPECT_FALSE(rig_.wire.over());
}

TEST_F(H1ServerCodecTest, HoldingIsLimited) {
  RecordingSink& sink = ask(upgrade + std::string(17 * 1024, 'x'));
  EXPECT_TRUE(rig_.wire.paused);
  sink.stream->send_head(answer(101), false);
  EXPECT_FALSE(rig_.wire.paused);
  rig_.feeder.settle();
  EXPECT_EQ(sink.body.size(), 17U * 1024);

  H1ServerRig rig({}, false);
  rig.feeder.feed(upgrade + std::string(17 * 1024, 'x'));
  EXPECT_TRUE(rig.wire.paused);
  rig.server.last().stream->send_head(answer(200), true);
  EXPECT_FALSE(rig.wire.paused);
}

TEST_F(H1ServerCodecTest, TunnelResetCutsBothSides) {
  RecordingSink& sink = ask(upgrade);
  sink.stream->send_head(answer(101), false);
  sink.stream->reset(StreamEnd::connection_lost);
  EXPECT_TRUE(rig_.wire.was_reset);
  EXPECT_EQ(rig_.server.idle, 1);
}

TEST_F(H1ServerCodecTest, Connect) {
  RecordingSink& sink = ask("CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\nraw");
  EXPECT_EQ(sink.head, "CONNECT ://b:443 \n");
  EXPECT_FALSE(sink.ended);
  sink.stream->send_head(answer(200), false);
  rig_.feeder.settle();
  EXPECT_EQ(sink.body, "raw");
  sink.stream->send_data("back", false);
  EXPECT_EQ(sent(), "HTTP/1.1 200 OK\r\n\r\nback");
}

TEST_F(H1ServerCodecTest, RefusedConnectCloses) {
  ask("CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n" + get).stream->send_head(answer(403), true);
  EXPECT_NE(sent().find("connection: close"), std::string::npos);
  EXPECT_TRUE(rig_.wire.finished);
  EXPECT_EQ(rig_.server.sinks.size(), 1U);
}

TEST_F(H1ServerCodecTest, NobodyAskedForASwitch) {
  ask(get).stream->send_head(answer(101), false);
  rig_.feeder.settle();
  EXPECT_TRUE(sent().starts_with("HTTP/1.1 500 "));
}

// --- Costs ---------------------------------------------------------------------------------------

// Responds as fast as it can, without keeping anything.
class QuickServer final : public ServerEvents, public StreamSink {
 public:
  explicit QuickServer(BlockPool& blocks) : arena_(blocks) {
    head_.status = 200;
    head_.content_length = 5;
    head_.fields.add("content-type", "text/plain");
  }
  StreamSink& on_stream(Stream& stream) override {
    stream_ = &stream;
    return *this;
  }
  void on_idle() override {}
  void on_head(Head&, bool end) override {
    if (end) reply();
  }
  void on_interim(Head&) override {}
  void on_data(std::string_view, bool end) override {
    if (end) reply();
  }
  void on_trailers(Fields&) override { reply(); }
  void on_reset(StreamEnd) override {}
  void on_drained() override {}
  int answers = 0;

 private:
  void reply() {
    ++answers;
    stream_->send_head(head_, false);
    stream_->send_data("hello", true);
  }
  Arena arena_;
  Head head_{arena_};
  Stream* stream_ = nullptr;
};

#ifndef OUTRIGGER_SANITIZED  // A sanitizer owns the allocator: nothing can be counted.
TEST(H1ServerCostTest, TheSteadyStateAllocatesNothing) {
  BlockPool blocks;
  net::BufferPool buffers;
  CodecLimits limits;
  CodecCounters counters;
  fakes::FakeWire wire(buffers);
  wire.recording = false;
  QuickServer server(blocks);
  H1ServerCodec codec(wire, server, limits, counters, blocks, "http");
  const std::string requests[] = {
      "GET /%61/../x?y HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x-y\r\nCookie: a=b\r\n"
      "Accept: */*\r\nx-y: 1\r\nUser-Agent: t\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-t: "
      "1\r\n\r\n",
  };
  const auto run = [&](int times) {
    for (int i = 0; i < times; ++i) {
      for (const std::string& raw : requests) {
        ASSERT_EQ(codec.feed(raw, 0), raw.size());
        const std::size_t half = codec.feed(std::string_view(raw).substr(0, raw.size() / 3), 0);
        codec.feed(std::string_view(raw).substr(half), 0);
      }
    }
  };
  run(10);
  const std::uint64_t before = test::allocation_count();
  run(334);  // 2,004 requests
  EXPECT_EQ(test::allocation_count() - before, 0U);
  EXPECT_EQ(server.answers, 2064);
}
#endif

// One feed with the whole rest of a request makes its offsets valid again.
TEST(H1ServerCostTest, HeadsAreNotScannedAgain) {
  H1ServerRig rig;
  std::string raw = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 90; ++i)
    raw += "x-" + std::to_string(i) + ": " + std::string(500, 'v') + "\r\n";
  raw += "\r\n";
  // Every byte in a feed of its own: 46 KB would take 10^9 steps if each feed started over.
  for (std::size_t i = 1; i <= raw.size(); ++i) {
    const std::size_t consumed = rig.codec.feed({raw.data(), i}, 0);
    ASSERT_EQ(consumed, i == raw.size() ? i : 0U);
  }
  EXPECT_EQ(rig.server.sinks.size(), 1U);
}

// --- Pipelining ----------------------------------------------------------------------------------

std::string many(int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += get;
  return all;
}

TEST(H1Pipelining, no_head_is_begun_while_the_output_is_above_its_high_watermark) {
  H1ServerRig rig;
  rig.wire.high = 1000;
  rig.wire.blocked = true;
  rig.feeder.feed(many(500));
  const std::size_t begun = rig.server.sinks.size();
  EXPECT_LT(begun, 50U);
  EXPECT_GT(begun, 5U);
  EXPECT_LT(rig.wire.unsent(), 1200U);
  rig.feeder.feed(many(1));
  EXPECT_EQ(rig.server.sinks.size(), begun) << "nor when more comes";
  EXPECT_FALSE(rig.codec.receiving_head()) << "it is not the client who is waited for";
  rig.wire.unblock();
  rig.codec.output_drained();
  rig.feeder.settle();
  EXPECT_EQ(rig.server.sinks.size(), 501U);
}

TEST(H1Pipelining, who_has_finished_sending_is_answered_though_the_output_was_full) {
  H1ServerRig rig;
  rig.wire.high = 1000;
  rig.wire.blocked = true;
  rig.feeder.feed(many(100));
  rig.feeder.end();
  EXPECT_FALSE(rig.wire.over());
  rig.wire.unblock();
  rig.codec.output_drained();
  rig.feeder.settle();
  EXPECT_EQ(rig.server.sinks.size(), 100U);
  EXPECT_TRUE(rig.wire.finished);
}

TEST(H1Pipelining, a_feed_begins_so_many_heads_and_leaves_the_rest_for_the_next_turn) {
  H1ServerRig rig;
  const std::string all = many(200);
  const std::size_t consumed = rig.codec.feed(all, 0);
  EXPECT_EQ(rig.server.sinks.size(), std::size_t{H1ServerCodec::heads_a_feed});
  EXPECT_EQ(consumed, get.size() * H1ServerCodec::heads_a_feed);
  EXPECT_TRUE(rig.wire.redeliver_wanted);
}

TEST_F(H1ServerCodecTest, a_byte_that_begins_no_head_counts_as_one) {
  rig_.feeder.feed("\r");
  EXPECT_TRUE(rig_.codec.receiving_head());
  rig_.feeder.feed("\n");
  EXPECT_FALSE(rig_.codec.receiving_head()) << "an empty line is skipped";
  rig_.feeder.feed("\r");
  EXPECT_TRUE(rig_.codec.receiving_head());
}

TEST_F(H1ServerCodecTest, a_body_whose_end_comes_too_early_ends_the_stream_unread) {
  RecordingSink& sink = ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n1234567890");
  sink.stream->pause(true);
  rig_.codec.input_ends_within(90);
  EXPECT_FALSE(sink.was_reset) << "it may be whole";
  rig_.codec.input_ends_within(89);
  EXPECT_EQ(sink.reset, StreamEnd::cancelled);
  EXPECT_TRUE(rig_.wire.aborted);
}

}  // namespace
}  // namespace outrigger::http
