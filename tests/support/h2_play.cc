#include "support/h2_play.h"

#include <algorithm>

#include "support/h2_world.h"

namespace outrigger::http::h2 {
namespace {

using namespace fakes;
using What = Expect::What;

constexpr std::string_view are_you_alive = "alive???";

const Frame* find(const Play& play, std::uint8_t type, std::uint32_t stream) {
  for (const Frame& f : play.frames) {
    if (f.type == type && f.stream == stream) return &f;
  }
  return nullptr;
}

bool pong(const Play& play) {
  return std::any_of(play.frames.begin(), play.frames.end(), [](const Frame& f) {
    return f.type == type_ping && f.flags == ack && f.payload == are_you_alive;
  });
}

void feed(Feeder& feeder, const std::string& bytes, bool in_pieces) {
  if (!in_pieces) return feeder.feed(bytes);
  for (const char c : bytes) feeder.feed({&c, 1});
}

// Moves what has left the wire to the play's frames; `half` keeps half a frame, and the magic.
Progress collect(Play& play, std::string& half, FakeWire& wire) {
  const std::string bytes = wire.take();
  play.bytes += bytes;
  half += bytes;
  if (half.starts_with(magic)) half.erase(0, magic.size());
  for (Frame& f : take_frames(half)) play.frames.push_back(std::move(f));
  Progress now;
  for (const Frame& f : play.frames) {
    now.heads += f.type == type_headers ? 1 : 0;
    now.data_bytes += f.type == type_data ? f.payload.size() : 0;
    now.ends += (f.type == type_headers || f.type == type_data) && (f.flags & end_stream) != 0;
    now.resets += f.type == type_rst_stream ? 1 : 0;
    now.goaways += f.type == type_goaway ? 1 : 0;
  }
  return now;
}

void play_steps(Play& play, const std::vector<std::string>& steps, bool in_pieces, Feeder& feeder,
                FakeWire& wire) {
  std::string half;
  play.before = collect(play, half, wire);
  for (const std::string& step : steps) {
    feed(feeder, step, in_pieces);
    play.after.push_back(collect(play, half, wire));
  }
  feeder.feed(ping(are_you_alive));
  collect(play, half, wire);
  play.finished = wire.finished;
}

// Answers each whole request, and each tunnel at once.
void answer(H2World& world, RecordingSink& sink, bool head_only, bool tunnel, bool upgrade) {
  TestHead head(world.blocks);
  head.response(upgrade ? 101 : 200);
  sink.stream->send_head(head, head_only);
  if (!head_only && !tunnel) sink.stream->send_data("hello world", true);
}

bool has_code(const Expect& expect, const Frame* frame, std::size_t at) {
  return frame != nullptr && std::find(expect.codes.begin(), expect.codes.end(),
                                       frame->number(at)) != expect.codes.end();
}

std::string describe(const Play& play) {
  std::string text;
  for (const Frame& f : play.frames) {
    text += " [type " + std::to_string(f.type) + " stream " + std::to_string(f.stream);
    if (f.type == type_rst_stream) text += " code " + std::to_string(f.number());
    if (f.type == type_goaway) text += " code " + std::to_string(f.number(4));
    text += "]";
  }
  return text + (play.finished ? " finished" : "");
}

std::string judge_common(const Expect& expect, const Play& play) {
  // Either side's connection preface is the first that it sends (RFC 9113 section 3.4).
  if (!play.frames.empty()) {
    const Frame& first = play.frames.front();
    if (first.type != type_settings || first.flags != none) return "not SETTINGS first";
  }
  if (!expect.contains.empty() && play.bytes.find(expect.contains) == std::string::npos) {
    return "a frame is missing";
  }
  if (!expect.lacks.empty() && play.bytes.find(expect.lacks) != std::string::npos) {
    return "a frame too many";
  }
  const Frame* goaway = find(play, type_goaway, 0);
  const Frame* rst = find(play, type_rst_stream, expect.stream);
  const bool tolerable_reset = rst == nullptr || rst->number() == no_error;
  const bool alive = goaway == nullptr && !play.finished && pong(play);
  switch (expect.what) {
    case What::quiet:
      if (goaway != nullptr && goaway->number(4) != no_error) return "an error code";
      return alive || play.finished ? "" : "neither alive nor at its end";
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
      return play.finished ? "" : "GOAWAY, but the connection goes on";
  }
  return "?";
}

std::string judge_answer(const Expect& expect, const Play& play) {
  Inflater inflater;
  FieldList head;
  std::vector<std::size_t> sizes;
  for (const Frame& f : play.frames) {
    if (f.type == type_headers) {
      const FieldList fields = inflater.decode(f.payload);
      if (f.stream == expect.stream) head = fields;
    }
    if (f.type == type_data && f.stream == expect.stream) sizes.push_back(f.payload.size());
  }
  const std::pair<std::string, std::string> status{":status", std::to_string(expect.status)};
  if (head.empty() || head[0] != status) return "no answer with this status";
  if (!expect.data_sizes.empty() && sizes != expect.data_sizes) return "other DATA frames";
  return "";
}

std::string with_description(std::string why, const Play& play) {
  if (!play.misuse.empty()) why = "misuse " + play.misuse;
  return why.empty() ? why : why + ":" + describe(play);
}

}  // namespace

Play play(const ServerCase& test, bool in_pieces) {
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
  if (!test.own_preface) server.feeder.feed(preface() + settings_ack());
  Play play;
  play_steps(play, test.steps, in_pieces, server.feeder, server.wire);
  for (const auto& sink : server.events.sinks) {
    play.misuse += sink->misuse;
    play.complete += sink->ended ? 1 : 0;
  }
  return play;
}

std::string judge(const ServerCase& test, const Play& play) {
  std::string why = judge_common(test.expect, play);
  // What is reset never looked like a whole request.
  if (why.empty() && test.expect.what == What::reset && play.complete > 0) why = "a whole request";
  if (why.empty() && test.expect.what == What::answer) why = judge_answer(test.expect, play);
  return with_description(std::move(why), play);
}

Play play(const ClientCase& test, bool in_pieces) {
  H2World world;
  H2ClientSide client(world);
  RecordingSink sink;
  Stream& stream = client.codec.open(sink);
  TestHead head(world.blocks);
  stream.send_head(head.request(test.method), !test.open && test.body == 0);
  if (test.body > 0) stream.send_data(std::string(test.body, 'b'), true);
  client.feeder.settle();
  Play play;
  // The server's preface is no answer to wait for, so it is fed before `before` is taken.
  if (!test.own_preface) client.feeder.feed(settings() + settings_ack());
  play_steps(play, test.steps, in_pieces, client.feeder, client.wire);
  play.misuse = sink.misuse;
  play.complete = sink.ended ? 1 : 0;
  play.began = sink.heads > 0;
  play.ended = sink.ended || sink.was_reset;
  play.end = sink.was_reset && !sink.ended ? sink.reset : StreamEnd::complete;
  play.retiring = client.events.retiring;
  return play;
}

std::string judge(const ClientCase& test, const Play& play) {
  std::string why = judge_common(test.expect, play);
  const bool complete = play.complete > 0;
  if (why.empty() && !play.bytes.starts_with(magic)) why = "the magic is not first";
  if (why.empty() && test.expect.what == What::answer && !complete) why = "no whole answer";
  if (why.empty() && test.end != StreamEnd::complete && complete) why = "a whole answer";
  if (why.empty() && (!play.ended || play.end != test.end)) {
    why = std::string("ended: ") + (play.ended ? to_string(play.end) : "not at all");
  }
  const bool gone = test.expect.what == What::goaway;
  if (why.empty() && gone && play.retiring != 1) why = "the pool was not told";
  for (std::size_t i = 0; why.empty() && i < test.sent.size(); ++i) {
    const std::size_t sent = play.after[i].data_bytes;
    if (sent != test.sent[i]) {
      why = "after step " + std::to_string(i + 1) + ": " + std::to_string(sent) + " bytes sent";
    }
  }
  return with_description(std::move(why), play);
}

}  // namespace outrigger::http::h2
