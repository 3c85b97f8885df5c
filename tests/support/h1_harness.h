#pragma once

// HTTP/1 codecs with everything around them, for tests and fuzzers: bytes go in cut as one likes,
// what happened comes out as one text that must not depend on the cuts.

#include <string>
#include <string_view>
#include <vector>

#include "http/h1_client_codec.h"
#include "http/h1_server_codec.h"
#include "support/codec_fakes.h"

namespace outrigger::http::fakes {

// A server codec that answers every request as soon as it is whole.
class H1ServerRig {
 public:
  explicit H1ServerRig(const CodecLimits& l = {}, bool answers = true) : limits(l) {
    static const Upgrades allowed({"websocket", "foo", "foo/2", "CONNECT"});
    limits.upgrades = &allowed;
    if (!answers) return;
    server.stream_hook = [this](RecordingSink& sink) {
      sink.head_hook = [this, &sink](Head& head, bool end) {
        if (end || !head.protocol.empty() || head.method == Method::connect) answer(sink);
      };
      sink.data_hook = [this, &sink](std::string_view, bool end) {
        if (end) answer(sink);
      };
      sink.trailers_hook = [this, &sink](Fields&) { answer(sink); };
    };
  }

  void answer(RecordingSink& sink, int status = 404) {
    Head head(arena);
    head.status = status;
    sink.stream->send_head(head, true);
  }

  // Feeds the pieces of `raw` that end at each of `cuts` and at its end.
  void feed(std::string_view raw, const std::vector<std::size_t>& cuts) {
    std::size_t begin = 0;
    for (const std::size_t cut : cuts) {
      feeder.feed(raw.substr(begin, cut - begin));
      begin = cut;
    }
    feeder.feed(raw.substr(begin));
  }

  std::string story() {
    std::string text = server.story();
    text += "wrote " + wire.take();
    if (wire.finished) text += "finished\n";
    if (wire.aborted) text += wire.was_reset ? "aborted with reset\n" : "aborted\n";
    return text;
  }

  CodecLimits limits;
  CodecCounters counters;
  BlockPool blocks;
  net::BufferPool buffers;
  Arena arena{blocks};
  FakeWire wire{buffers};
  RecordingServer server;
  H1ServerCodec codec{wire, server, limits, counters, blocks, "http"};
  Feeder feeder{codec, wire};
};

// A client codec with one request out.
class H1ClientRig {
 public:
  explicit H1ClientRig(const CodecLimits& l = {}) : limits(l) {}

  // A head that may be sent.
  void make_request(Head& head, std::string_view method = "GET", std::string_view path = "/") {
    head.method_text = method;
    head.method = parse_method(method);
    head.scheme = "http";
    head.authority = "a.test";
    head.path = path;
  }
  RecordingSink& ask(std::string_view method = "GET", std::string_view protocol = {}) {
    Head head(arena);
    make_request(head, method);
    head.protocol = protocol;
    if (head.method == Method::connect) head.authority = "a.test:443";
    RecordingSink& sink = open();
    const bool tunnel = !protocol.empty() || head.method == Method::connect;
    sink.stream->send_head(head, !tunnel);
    feeder.settle();
    return sink;
  }
  RecordingSink& open() {
    sinks.push_back(std::make_unique<RecordingSink>());
    sinks.back()->stream = &codec.open(*sinks.back());
    return *sinks.back();
  }
  void feed(std::string_view raw, const std::vector<std::size_t>& cuts) {
    std::size_t begin = 0;
    for (const std::size_t cut : cuts) {
      feeder.feed(raw.substr(begin, cut - begin));
      begin = cut;
    }
    feeder.feed(raw.substr(begin));
  }
  std::string story() {
    std::string text;
    for (const auto& sink : sinks) text += sink->story();
    text += "capacity " + std::to_string(codec.capacity()) + "\n";
    if (wire.finished) text += "finished\n";
    if (wire.aborted) text += "aborted\n";
    if (client.retiring > 0) text += "retiring " + std::to_string(client.retiring) + "\n";
    return text;
  }

  CodecLimits limits;
  CodecCounters counters;
  BlockPool blocks;
  net::BufferPool buffers;
  Arena arena{blocks};
  FakeWire wire{buffers};
  RecordingClient client;
  H1ClientCodec codec{wire, client, limits, counters, blocks, 1};
  Feeder feeder{codec, wire};
  std::deque<std::unique_ptr<RecordingSink>> sinks;
};

}  // namespace outrigger::http::fakes
