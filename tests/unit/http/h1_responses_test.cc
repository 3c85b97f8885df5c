// The table of raw HTTP/1 responses, good and malformed, as a client codec sees them: whole, split
// at every position, byte by byte; the same verdict and the same events each time.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/h1_harness.h"

namespace outrigger::http {
namespace {

using fakes::H1ClientRig;
using std::string_literals::operator""s;

struct Asked {
  std::string method = "GET";
  std::string protocol;
  bool then_closed = false;  // the peer closes its side after the bytes
};

CodecLimits small_limits() {
  CodecLimits limits;
  limits.head_bytes = 1024;
  limits.head_fields = 10;
  limits.field_bytes = 200;
  limits.name_bytes = 40;
  limits.trailer_bytes = 100;
  limits.trailer_fields = 3;
  limits.chunk_overhead = 300;
  limits.interims = 3;
  return limits;
}

std::string run(const std::string& raw, const std::vector<std::size_t>& cuts, const Asked& asked) {
  H1ClientRig rig(small_limits());
  rig.ask(asked.method, asked.protocol);
  rig.feed(raw, cuts);
  if (asked.then_closed) rig.feeder.end();
  return rig.story();
}

std::string run_all(const std::string& raw, const Asked& asked) {
  const std::string whole = run(raw, {}, asked);
  std::vector<std::size_t> every;
  for (std::size_t cut = 1; cut < raw.size(); ++cut) {
    EXPECT_EQ(run(raw, {cut}, asked), whole) << "cut at " << cut << " of\n" << raw;
    every.push_back(cut);
  }
  EXPECT_EQ(run(raw, every, asked), whole) << "byte by byte\n" << raw;
  return whole;
}

struct Row {
  std::string raw;
  std::string story;
  Asked asked = {};
};

const std::string kept = "complete\ncapacity 1\n";
const std::string closed = "complete\ncapacity 0\nfinished\nretiring 1\n";
const std::string ok = "HTTP/1.1 200 OK\r\n";
std::string head(const std::string& text) {
  return "head\n" + text;
}

std::vector<Row> good_rows() {
  const std::string empty = "end\nbody \n";
  return {
      {ok + "Content-Length: 0\r\n\r\n", head("status 200\nlength 0\n") + empty + kept},
      {ok + "Content-Length: 5\r\n\r\nhello",
       head("status 200\nlength 5\n") + "body hello\n" + kept},
      {ok + "Server: x\r\nDate: y\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
       head("status 200\nlength 0\nServer: x\nDate: y\nSet-Cookie: a\nSet-Cookie: b\n") + empty +
           kept},
      {"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", head("status 200\nlength 0\n") + empty + kept},
      {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", head("status 200\nlength 0\n") + empty + kept},
      {"HTTP/1.1 299 A \t\x80 b\r\nContent-Length: 0\r\n\r\n",
       head("status 299\nlength 0\n") + empty + kept},
      {"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
       head("status 999\nlength 0\n") + empty + kept},
      {ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
       head("status 200\n") + "body hello\n" + kept},
      {ok + "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
       head("status 200\n") + "body hello\ntrailers\nX-T: 1\n" + kept},
      // Who closes.
      {ok + "Content-Length: 5\r\nConnection: close\r\n\r\nhello",
       head("status 200\nlength 5\n") + "body hello\n" + closed},
      {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
       head("status 200\nlength 5\n") + "body hello\n" + closed},
      {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n\r\nhello",
       head("status 200\nlength 5\n") + "body hello\n" + kept},
      {ok + "\r\nhello", head("status 200\n") + "body hello\n" + closed, {"GET", "", true}},
      {ok + "\r\n", head("status 200\n") + "body \n" + closed, {"GET", "", true}},
      {ok + "\r\nhel", head("status 200\n") + "body hel\ncapacity 0\n"},
      // No body, whatever the fields say.
      {"HTTP/1.1 204 No Content\r\n\r\n", head("status 204\n") + empty + kept},
      {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
       head("status 204\n") + empty + closed},
      {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
       head("status 304\nlength 5\n") + empty + kept},
      {ok + "Content-Length: 5\r\n\r\n",
       head("status 200\nlength 5\n") + empty + kept,
       {"HEAD", "", false}},
      {ok + "Transfer-Encoding: chunked\r\n\r\n",
       head("status 200\n") + empty + kept,
       {"HEAD", "", false}},
      {ok + "\r\n", head("status 200\n") + empty + kept, {"HEAD", "", false}},
      // Interim responses.
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok +
           "Content-Length: 0\r\n\r\n",
       "interim\nstatus 100\ninterim\nstatus 103\nLink: x\n" + head("status 200\nlength 0\n") +
           empty + kept},
      // Hop-by-hop fields are removed.
      {ok + "Connection: x-a\r\nX-A: 1\r\nKeep-Alive: 5\r\nUpgrade: h2\r\nx-b: 2\r\n"
            "Content-Length: 0\r\n\r\n",
       head("status 200\nlength 0\nx-b: 2\n") + empty + kept},
      // Tunnels.
      {"HTTP/1.1 101 Switching\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\nx: y\r\n\r\nraw",
       head("status 101\nprotocol websocket\nx: y\n") + "body raw\ncapacity 0\n",
       {"GET", "websocket", false}},
      // A 426 means nothing without its Upgrade; HTTP itself is not passed on.
      {"HTTP/1.1 426 Upgrade Required\r\nUpgrade: h2c, TLS/1.0\r\nUpgrade: IRC/6.9\r\nConnection: "
       "upgrade\r\nContent-Length: 0\r\n\r\n",
       head("status 426\nprotocol TLS/1.0, IRC/6.9\nlength 0\n") + empty + kept},
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nraw bytes",
       head("status 200\n") + "body raw bytes\ncapacity 0\n",
       {"CONNECT", "", false}},
      {"HTTP/1.1 204 Fine\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
       head("status 204\n") + "body 0\r\n\ncapacity 0\n",
       {"CONNECT", "", false}},
  };
}

TEST(H1ResponsesTest, AcceptsTheGood) {
  for (const Row& row : good_rows()) EXPECT_EQ(run_all(row.raw, row.asked), row.story) << row.raw;
}

// A response followed by anything is accepted, and the connection is not reused.
TEST(H1ResponsesTest, BytesLeftOverCloseTheConnection) {
  const std::string answer = ok + "Content-Length: 5\r\n\r\nhello";
  for (const std::string& more : {ok + "Content-Length: 0\r\n\r\n", "x"s, "\r\n"s, "\0"s}) {
    const std::string story = run(answer + more, {}, {});
    EXPECT_EQ(story, head("status 200\nlength 5\n") + "body hello\n" + closed);
    // Late bytes find the stream complete and close the idle connection.
    const std::string late = run(answer + more, {answer.size()}, {});
    EXPECT_EQ(late, head("status 200\nlength 5\n") +
                        "body hello\ncomplete\ncapacity 0\naborted\nretiring 1\n");
  }
}

struct Bad {
  std::string raw;
  std::string reset = "protocol_error";
  Asked asked = {};
};

std::vector<Bad> bad_heads() {
  const std::string end = "\r\nContent-Length: 0\r\n\r\n";
  const std::string length = "Content-Length: 5\r\n";
  const std::string te = "Transfer-Encoding: chunked\r\n";
  std::vector<Bad> rows = {
      {"\r\n" + ok + "\r\n"},
      {"HTTP/1.1  200 OK" + end},
      {"HTTP/1.1 20 OK" + end},
      {"HTTP/1.1 2000 OK" + end},
      {"HTTP/1.1 099 OK" + end},
      {"HTTP/1.1 2x0 OK" + end},
      {"HTTP/1.1 -20 OK" + end},
      {"HTTP/1.1 +20 OK" + end},
      {"HTTP/1.1 200OK" + end},
      {"HTTP/1.1\t200 OK" + end},
      {"HTTP/1.1 200\tOK" + end},
      {"HTTP/1.1" + end},
      {"HTTP/1.1 " + end},
      {"HTTP/1.1 OK" + end},
      {"HTTP/2.0 200 OK" + end},
      {"HTTP/1.2 200 OK" + end},
      {"HTTP/0.9 200 OK" + end},
      {"http/1.1 200 OK" + end},
      {"ICY 200 OK" + end},
      {"RTSP/1.0 200 OK" + end},
      {"200 OK" + end},
      {" HTTP/1.1 200 OK" + end},
      {"<html>\r\n"},
      {"GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"HTTP/1.1 200 O\0K"s + end},
      {"HTTP/1.1 200 O\x01K" + end},
      {"HTTP/1.1 200 O\x7fK" + end},
      {"HTTP/1.1 200 OK\n" + end},
      {"HTTP/1.1 200 O\rK" + end},
      {"\0\0\0\0"s},  // shorter, it may be HTTP/2
      {"\0\0\0\5"s},
      {"\x16\x03\x03"s},
      {ok + "x-a : 1\r\n\r\n"},
      {ok + " x-a: 1\r\n\r\n"},
      {ok + "x-a: 1\r\n 2\r\n\r\n"},
      {ok + "x-a: 1\n\r\n"},
      {ok + "x-a: \0\r\n\r\n"s},
      {ok + ": 1\r\n\r\n"},
      {ok + "x a: 1\r\n\r\n"},
      {ok + "x-a\r\n\r\n"},
      {ok + "x-a: \x01\r\n\r\n"},
      {ok + "x-a: 1\r\n\n"},
      {ok + "x-a: 1\r\r\n"},
      {ok + length + te + "\r\n"},
      {ok + te + length + "\r\n"},
      {ok + length + length + "\r\nhello"},
      {ok + length + "Content-Length: 6\r\n\r\nhello"},
      {ok + te + te + "\r\n"},
      {"HTTP/1.0 200 OK\r\n" + te + "\r\n0\r\n\r\n"},
      {"HTTP/1.1 204 No\r\n" + te + length + "\r\n"},
      {"HTTP/1.1 304 No\r\nContent-Length: x\r\n\r\n"},
      {"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"},
      {"HTTP/1.1 101 Switching\r\n\r\n", "protocol_error", {"GET", "foo", false}},
      {"HTTP/1.1 101 Switching\r\nUpgrade: foo\r\n\r\n", "protocol_error", {"GET", "foo", false}},
      {"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\n\r\n",
       "protocol_error",
       {"GET", "foo", false}},
      {"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
       "protocol_error",
       {"GET", "foo", false}},
      {"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
       "protocol_error",
       {"GET", "foo", false}},
      {"HTTP/1.1 101 Switching\r\nUpgrade: foo, bar\r\nConnection: upgrade\r\n\r\n",
       "protocol_error",
       {"GET", "foo", false}},
      {ok + std::string(41, 'n') + ": v\r\n\r\n", "too_large"},
      {ok + "x-a: " + std::string(200, 'v') + "\r\n\r\n", "too_large"},
      {ok + "a:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\nh:\r\ni:\r\nj:\r\nk:\r\n\r\n", "too_large"},
      {ok + "a:" + std::string(1100, ' ') + "\r\n\r\n", "too_large"},
      {ok.substr(0, 9)},
  };
  rows.pop_back();
  for (const char* value : {"", "+5", "-1", "0x5", "5 5", "5,5", "5, 5", "five",
                            "18446744073709551616", "0000000000000000005", "5;", "5.0"}) {
    rows.push_back({ok + "Content-Length: " + value + "\r\n\r\nhello"});
  }
  for (const char* value : {"", "identity", "gzip", "gzip, chunked", "chunked, gzip",
                            "chunked, chunked", "xchunked", "chunked;a", "\"chunked\""}) {
    rows.push_back({ok + "Transfer-Encoding: " + value + "\r\n\r\n0\r\n\r\n"});
  }
  return rows;
}

TEST(H1ResponsesTest, RefusesHeads) {
  for (const Bad& row : bad_heads()) {
    const std::string story = run_all(row.raw, row.asked);
    EXPECT_EQ(story, "body \nreset " + row.reset + "\ncapacity 0\naborted\nretiring 1\n")
        << row.raw;
  }
}

TEST(H1ResponsesTest, RefusesBodies) {
  const std::pair<std::string, std::string> rows[] = {
      {"x\r\n", ""},
      {"5\nhello\r\n0\r\n\r\n", ""},
      {"5 \r\nhello\r\n0\r\n\r\n", ""},
      {"0x5\r\nhello\r\n0\r\n\r\n", ""},
      {"5\r\nhello0\r\n\r\n", "hello"},
      {"5\r\nhello\r\n0\r\nx : 1\r\n\r\n", "hello"},
      {"5\r\nhello\r\n\r\n", "hello"},
      {"5\r\nhello\r\n5\r\nworld\n", "helloworld"},
      {"5;a=\"\n\"\r\nhello\r\n0\r\n\r\n", ""},
  };
  for (const auto& [body, delivered] : rows) {
    const std::string story = run_all(ok + "Transfer-Encoding: chunked\r\n\r\n" + body, {});
    EXPECT_EQ(story, head("status 200\n") + "body " + delivered +
                         "\nreset protocol_error\ncapacity 0\naborted\nretiring 1\n")
        << body;
  }
  const std::string large = run_all(
      ok + "Transfer-Encoding: chunked\r\n\r\n0\r\na: " + std::string(120, 'v') + "\r\n\r\n", {});
  EXPECT_NE(large.find("reset too_large"), large.npos);
}

TEST(H1ResponsesTest, TooManyInterims) {
  std::string raw;
  for (int i = 0; i < 4; ++i) raw += "HTTP/1.1 100 Continue\r\n\r\n";
  const std::string story = run_all(raw, {});
  EXPECT_NE(story.find("reset flood"), story.npos) << story;
}

// Truncated anywhere, no response is complete, except one that ends with the connection.
TEST(H1ResponsesTest, ACutAnswerIsNotComplete) {
  const std::string answers[] = {
      ok + "Content-Length: 5\r\n\r\nhello",
      ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n",
  };
  for (const std::string& raw : answers) {
    for (std::size_t cut = 0; cut < raw.size(); ++cut) {
      for (const bool lost : {false, true}) {
        H1ClientRig rig;
        fakes::RecordingSink& sink = rig.ask();
        rig.feeder.feed(raw.substr(0, cut));
        lost ? rig.codec.connection_lost(true) : rig.feeder.end();
        EXPECT_FALSE(sink.ended) << cut;
        EXPECT_TRUE(sink.was_reset) << cut;
        EXPECT_EQ(sink.reset, StreamEnd::connection_lost);
        EXPECT_EQ(rig.codec.open_streams(), 0U);
      }
    }
  }
  H1ClientRig rig;
  fakes::RecordingSink& sink = rig.ask();
  rig.feeder.feed(ok + "\r\nhello");
  rig.codec.connection_lost(true);
  EXPECT_FALSE(sink.ended);
  EXPECT_EQ(sink.reset, StreamEnd::connection_lost);
}

}  // namespace
}  // namespace outrigger::http
