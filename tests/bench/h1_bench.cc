// HTTP/1 on short, typical and cookie-heavy messages: the parser alone, heads read into their
// normal form, heads written, and whole requests through the server codec.

#include <benchmark/benchmark.h>

#include <string>

#include "http/h1_encoder.h"
#include "http/h1_server_codec.h"
#include "support/codec_fakes.h"

namespace outrigger::http {
namespace {

const std::string& message(int kind) {
  static const std::string messages[] = {
      "GET / HTTP/1.1\r\nHost: orders\r\n\r\n",
      "GET /api/v1/orders/4711?expand=lines HTTP/1.1\r\nHost: orders.mesh:8080\r\n"
      "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0 "
      "Safari/537.36\r\n"
      "Accept: application/json, text/plain;q=0.9, */*;q=0.8\r\nAccept-Encoding: gzip, deflate\r\n"
      "Accept-Language: en-GB,en;q=0.7\r\nConnection: keep-alive\r\n"
      "X-Request-Id: 5f0c1a34-91a7-4b5e-8c0e-0f3a3a7d9f11\r\n"
      "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
      "Cookie: session=0123456789abcdef0123456789abcdef\r\nCache-Control: no-cache\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: shop\r\nCookie: " +
          [] {
            std::string cookie;
            for (int i = 0; i < 60; ++i) {
              cookie += "name" + std::to_string(i) + "=" + std::string(48, 'v') + "; ";
            }
            return cookie + "last=1";
          }() +
          "\r\nAccept: */*\r\n\r\n",
  };
  return messages[kind];
}

void Parse(benchmark::State& state) {
  const std::string& raw = message(static_cast<int>(state.range(0)));
  BlockPool blocks;
  Arena arena(blocks);
  const CodecLimits limits;
  H1Parser parser(H1Parser::Kind::request, limits, arena);
  for (auto _ : state) {
    benchmark::DoNotOptimize(parser.feed(raw));
    parser.restart(H1Parser::Kind::request);
    arena.reset();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(raw.size()));
}
BENCHMARK(Parse)->Name("h1/parse")->DenseRange(0, 2);

void ReadRequest(benchmark::State& state) {
  const std::string& raw = message(static_cast<int>(state.range(0)));
  BlockPool blocks;
  Arena arena(blocks);
  const CodecLimits limits;
  H1Parser parser(H1Parser::Kind::request, limits, arena);
  Head head(arena);
  H1Framing framing;
  for (auto _ : state) {
    parser.feed(raw);
    benchmark::DoNotOptimize(
        read_request(parser, arena.copy(raw), "http", Upgrades::standard(), head, framing));
    head.clear();
    parser.restart(H1Parser::Kind::request);
    arena.reset();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(raw.size()));
}
BENCHMARK(ReadRequest)->Name("h1/read_request")->DenseRange(0, 2);

void WriteHead(benchmark::State& state) {
  const std::string& raw = message(static_cast<int>(state.range(0)));
  BlockPool blocks;
  Arena arena(blocks);
  net::BufferPool buffers;
  const CodecLimits limits;
  H1Parser parser(H1Parser::Kind::request, limits, arena);
  Head head(arena);
  H1Framing framing;
  parser.feed(raw);
  read_request(parser, raw, "http", Upgrades::standard(), head, framing);
  net::Buffer out(buffers);
  for (auto _ : state) {
    benchmark::DoNotOptimize(write_request_head(out, head, {}));
    out.clear();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(raw.size()));
}
BENCHMARK(WriteHead)->Name("h1/write_head")->DenseRange(0, 2);

class QuickServer final : public ServerEvents, public StreamSink {
 public:
  explicit QuickServer(BlockPool& blocks) : arena_(blocks) {
    head_.status = 200;
    head_.content_length = body_.size();
    head_.fields.add("content-type", "text/plain");
    head_.fields.add("date", "Mon, 01 Jan 2026 00:00:00 GMT");
  }
  StreamSink& on_stream(Stream& stream) override {
    stream_ = &stream;
    return *this;
  }
  void on_idle() override {}
  void on_head(Head&, bool) override {
    stream_->send_head(head_, false);
    stream_->send_data(body_, true);
  }
  void on_interim(Head&) override {}
  void on_data(std::string_view, bool) override {}
  void on_trailers(Fields&) override {}
  void on_reset(StreamEnd) override {}
  void on_drained() override {}

 private:
  Arena arena_;
  Head head_{arena_};
  std::string body_ = std::string(1024, 'x');
  Stream* stream_ = nullptr;
};

void ServeRequest(benchmark::State& state) {
  const std::string& raw = message(static_cast<int>(state.range(0)));
  BlockPool blocks;
  net::BufferPool buffers;
  const CodecLimits limits;
  CodecCounters counters;
  fakes::FakeWire wire(buffers);
  wire.recording = false;
  QuickServer server(blocks);
  H1ServerCodec codec(wire, server, limits, counters, blocks, "http");
  for (auto _ : state) benchmark::DoNotOptimize(codec.feed(raw, 0));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(raw.size()));
}
BENCHMARK(ServeRequest)->Name("h1/serve_request")->DenseRange(0, 2);

}  // namespace
}  // namespace outrigger::http
