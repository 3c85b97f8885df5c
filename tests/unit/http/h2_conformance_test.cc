// The tables of tests/support/h2_cases.h against the codecs: each case whole, and byte by byte.

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "support/h2_cases.h"
#include "support/h2_frames.h"
#include "support/h2_world.h"

namespace outrigger::http {
namespace {

using namespace fakes;
using What = h2::Expect::What;

// What came back, frame by frame.
struct Reply {
  std::vector<h2::Frame> frames;
  std::string bytes;
  bool finished = false;

  const h2::Frame* find(std::uint8_t type, std::uint32_t stream) const {
    for (const h2::Frame& f : frames) {
      if (f.type == type && f.stream == stream) return &f;
    }
    return nullptr;
  }
  bool pong(std::string_view opaque) const {
    return std::any_of(frames.begin(), frames.end(), [opaque](const h2::Frame& f) {
      return f.type == h2::type_ping && f.flags == h2::ack && f.payload == opaque;
    });
  }
};

constexpr std::string_view are_you_alive = "alive???";

void feed(Feeder& feeder, const std::string& bytes, bool in_pieces) {
  if (!in_pieces) return feeder.feed(bytes);
  for (const char c : bytes) feeder.feed({&c, 1});
}

bool has_code(const h2::Expect& expect, const h2::Frame* frame, std::size_t at) {
  return frame != nullptr && std::find(expect.codes.begin(), expect.codes.end(),
                                       frame->number(at)) != expect.codes.end();
}

std::string describe(const Reply& reply) {
  std::string text;
  for (const h2::Frame& f : reply.frames) {
    text += " [type " + std::to_string(f.type) + " stream " + std::to_string(f.stream);
    if (f.type == h2::type_rst_stream) text += " code " + std::to_string(f.number());
    if (f.type == h2::type_goaway) text += " code " + std::to_string(f.number(4));
    text += "]";
  }
  return text + (reply.finished ? " finished" : "");
}

// The reason why the reply is not as expected, or empty.
std::string judge_common(const h2::Expect& expect, const Reply& reply) {
  const h2::Frame* goaway = reply.find(h2::type_goaway, 0);
  const h2::Frame* rst = reply.find(h2::type_rst_stream, expect.stream);
  const bool tolerable_reset = rst == nullptr || rst->number() == h2::no_error;
  const bool alive = goaway == nullptr && !reply.finished && reply.pong(are_you_alive);
  switch (expect.what) {
    case What::quiet:
      if (goaway != nullptr && goaway->number(4) != h2::no_error) return "an error code";
      return alive || reply.finished ? "" : "neither alive nor at its end";
    case What::alive:
      return alive ? "" : "not alive";
    case What::answer:
      return alive && tolerable_reset ? "" : "not alive, or reset";
    case What::reset:
      if (!has_code(expect, rst, 0)) return "no RST_STREAM as expected";
      return alive ? "" : "not alive after the reset";
    case What::reset_or_goaway:
      if (has_code(expect, rst, 0)) return "";
      [[fallthrough]];
    case What::goaway:
      if (!has_code(expect, goaway, 4)) return "no GOAWAY as expected";
      return reply.finished ? "" : "GOAWAY, but the connection goes on";
  }
  return "?";
}

// Answers each whole request, and each tunnel at once.
void answer(H2World& world, RecordingSink& sink, bool head_only, bool tunnel, bool upgrade) {
  TestHead head(world.blocks);
  head.response(upgrade ? 101 : 200);
  sink.stream->send_head(head, head_only);
  if (!head_only && !tunnel) sink.stream->send_data("hello world", true);
}

Reply play_server(const h2::ServerCase& test, bool in_pieces, std::string& misuse,
                  std::size_t& complete) {
  H2World world;
  H2ServerSide server(world);
  server.events.stream_hook = [&world](RecordingSink& sink) {
    sink.head_hook = [&world, &sink](Head& head, bool end) {
      const bool is_head = head.method == Method::head;
      const bool tunnel = head.method == Method::connect || !head.protocol.empty();
      if (tunnel || end) return answer(world, sink, is_head, tunnel, !head.protocol.empty());
      sink.data_hook = [&world, &sink](std::string_view, bool last) {
        if (last) answer(world, sink, false, false, false);
      };
      sink.trailers_hook = [&world, &sink](Fields&) { answer(world, sink, false, false, false); };
    };
  };
  if (!test.own_preface) server.feeder.feed(h2::preface() + h2::settings_ack());
  for (const std::string& step : test.steps) feed(server.feeder, step, in_pieces);
  server.feeder.feed(h2::ping(are_you_alive));
  Reply reply;
  reply.bytes = server.wire.take();
  std::string rest = reply.bytes;
  reply.frames = h2::take_frames(rest);
  reply.finished = server.wire.finished;
  for (const auto& sink : server.events.sinks) {
    misuse += sink->misuse;
    complete += sink->ended ? 1 : 0;
  }
  return reply;
}

std::string judge_server(const h2::ServerCase& test, bool in_pieces) {
  std::string misuse;
  std::size_t complete = 0;
  const Reply reply = play_server(test, in_pieces, misuse, complete);
  const h2::Expect& expect = test.expect;
  std::string why = judge_common(expect, reply);
  if (!misuse.empty()) why = "misuse " + misuse;
  // What is reset never looked like a whole request.
  if (why.empty() && expect.what == What::reset && complete > 0) why = "a whole request";
  if (why.empty() && expect.what == What::answer) {
    h2::Inflater inflater;
    h2::FieldList head;
    std::vector<std::size_t> sizes;
    for (const h2::Frame& f : reply.frames) {
      if (f.type == h2::type_headers) {
        const h2::FieldList fields = inflater.decode(f.payload);
        if (f.stream == expect.stream) head = fields;
      }
      if (f.type == h2::type_data && f.stream == expect.stream) sizes.push_back(f.payload.size());
    }
    const std::pair<std::string, std::string> status{":status", std::to_string(expect.status)};
    if (head.empty() || head[0] != status) why = "no answer with this status";
    if (!expect.data_sizes.empty() && sizes != expect.data_sizes) why = "other DATA frames";
  }
  if (!expect.contains.empty() && reply.bytes.find(expect.contains) == std::string::npos) {
    why = "a frame is missing";
  }
  if (!expect.lacks.empty() && reply.bytes.find(expect.lacks) != std::string::npos) {
    why = "a frame too many";
  }
  return why.empty() ? why : why + ":" + describe(reply);
}

TEST(H2Conformance, Server) {
  for (const h2::ServerCase& test : h2::server_cases()) {
    EXPECT_EQ(judge_server(test, false), "") << test.id;
    EXPECT_EQ(judge_server(test, true), "") << test.id << ", byte by byte";
  }
  EXPECT_GT(h2::server_cases().size(), 250U);
}

std::string judge_client(const h2::ClientCase& test, bool in_pieces) {
  H2World world;
  H2ClientSide client(world);
  RecordingSink sink;
  Stream& stream = client.codec.open(sink);
  TestHead head(world.blocks);
  stream.send_head(head.request(test.method), !test.open);
  client.feeder.settle();
  client.wire.take();
  if (!test.own_preface) client.feeder.feed(h2::settings() + h2::settings_ack());
  for (const std::string& step : test.steps) feed(client.feeder, step, in_pieces);
  client.feeder.feed(h2::ping(are_you_alive));
  Reply reply;
  std::string rest = reply.bytes = client.wire.take();
  reply.frames = h2::take_frames(rest);
  reply.finished = client.wire.finished;
  std::string why = judge_common(test.expect, reply);
  // Where nothing is said about an end, the stream may go on.
  const bool ended = sink.ended || sink.was_reset;
  const bool complete = sink.ended;
  const StreamEnd end = sink.was_reset && !complete ? sink.reset : StreamEnd::complete;
  if (why.empty() && test.expect.what == What::answer && !complete) why = "no whole answer";
  if (why.empty() && test.end != StreamEnd::complete && complete) why = "a whole answer";
  if (why.empty() && (!ended || end != test.end)) {
    why = std::string("ended: ") + (ended ? to_string(end) : "not at all");
  }
  const bool gone = test.expect.what == What::goaway;
  if (why.empty() && gone && client.events.retiring != 1) why = "the pool was not told";
  if (!sink.misuse.empty()) why = "misuse " + sink.misuse;
  return why.empty() ? why : why + ":" + describe(reply);
}

TEST(H2Conformance, Client) {
  for (const h2::ClientCase& test : h2::client_cases()) {
    EXPECT_EQ(judge_client(test, false), "") << test.id;
    EXPECT_EQ(judge_client(test, true), "") << test.id << ", byte by byte";
  }
  EXPECT_GT(h2::client_cases().size(), 100U);
}

}  // namespace
}  // namespace outrigger::http
