#pragma once

// Holds the server codec against the reference parser on one input: the same requests with the same
// fields and bodies, the same verdict, however the input is cut. Returns what differs, or nothing.

#include <string>

#include "support/h1_harness.h"
#include "support/h1_reference.h"

namespace outrigger::http::fakes {

inline std::string describe(const ReferenceRequest& request) {
  std::string text = request.method + "\n";
  for (const auto& [name, value] : request.fields)
    text.append(name).append(": ").append(value).append("\n");
  return text;
}

// Keeps of each request what the reference knows.
class CompareServer final : public ServerEvents {
 public:
  class Sink final : public RecordingSink {
   public:
    Sink() {
      head_hook = [this](Head& h, bool) {
        request = std::string(h.method_text) + "\n" + render(h.fields);
      };
    }
    std::string request;
  };
  StreamSink& on_stream(Stream& stream) override {
    sinks.push_back(std::make_unique<Sink>());
    Sink& sink = *sinks.back();
    sink.stream = &stream;
    const auto describe_head = sink.head_hook;
    sink.head_hook = [this, &sink, describe_head](Head& head, bool end) {
      describe_head(head, end);
      if (end || !head.protocol.empty() || head.method == Method::connect) answer(sink);
    };
    sink.data_hook = [this, &sink](std::string_view, bool end) {
      if (end) answer(sink);
    };
    sink.trailers_hook = [this, &sink](Fields&) { answer(sink); };
    return sink;
  }
  void on_idle() override {}
  void answer(Sink& sink) {
    ++answers;
    Arena arena(blocks);
    Head head(arena);
    head.status = 204;
    sink.stream->send_head(head, true);
  }

  BlockPool blocks;
  int answers = 0;
  std::vector<std::unique_ptr<Sink>> sinks;
};

inline std::string compare_with_reference(const std::string& input, std::size_t cut) {
  const ReferenceResult expected = ReferenceParser::parse(input);
  CodecLimits limits;
  CodecCounters counters;
  BlockPool blocks;
  net::BufferPool buffers;
  FakeWire wire(buffers);
  CompareServer server;
  H1ServerCodec codec(wire, server, limits, counters, blocks, "http");
  Feeder feeder(codec, wire);
  feeder.feed(std::string_view(input).substr(0, cut));
  feeder.feed(std::string_view(input).substr(std::min(cut, input.size())));

  const bool refused = counters.malformed.value() + counters.too_large.value() > 0;
  std::size_t i = 0;
  for (const ReferenceRequest& request : expected.requests) {
    if (i >= server.sinks.size()) return "a request is missing: " + describe(request);
    const auto& got = *server.sinks[i++];
    if (got.request != describe(request)) return got.request + "!=\n" + describe(request);
    if (got.body != request.body) return "body " + got.body + " != " + request.body;
    const bool tunnel = request.tunnel;
    if (got.ended == tunnel) return "ended is wrong";
    if (got.has_trailers != request.has_trailers) return "trailers are wrong";
    if (got.was_reset || !got.misuse.empty()) return "reset or misuse " + got.misuse;
  }
  const bool partial = server.sinks.size() == i + 1;
  if (server.sinks.size() > i + 1) return "more requests than there are";
  if (partial) {
    if (!expected.partial) return "a request that is none: " + server.sinks[i]->request;
    const auto& got = *server.sinks[i];
    if (got.ended) return "complete, and should not be";
    if (got.request != describe(*expected.partial)) return "the partial request differs";
    const std::string& body = expected.partial->body;
    if (got.body != body) return "the partial body differs: " + got.body + " != " + body;
    if (got.was_reset != refused) return "reset is wrong";
  } else if (expected.partial) {
    return "the partial request is missing";
  }
  if (!expected.undecided && refused != (expected.end == ReferenceResult::End::refused)) {
    return refused ? "refused, and should not be" : "not refused";
  }
  if (refused && !wire.over()) return "refused, and the connection goes on";
  return {};
}

}  // namespace outrigger::http::fakes
