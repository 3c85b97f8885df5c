// One exchange over HTTP/2 in memory: a client codec, a server codec, no socket.

#include <benchmark/benchmark.h>

#include <utility>

#include "http/h2_codec.h"
#include "support/codec_fakes.h"

namespace outrigger::http {
namespace {

struct Ends final : StreamSink, ServerEvents, ClientEvents {
  StreamSink& on_stream(Stream& stream) override {
    server_stream = &stream;
    return *this;
  }
  void on_idle() override {}
  void on_capacity() override {}
  void on_retiring() override {}
  void on_head(Head& head, bool end) override {
    if (head.is_request() && end) answer();
  }
  void on_interim(Head&) override {}
  void on_data(std::string_view, bool) override {}
  void on_trailers(Fields&) override {}
  void on_reset(StreamEnd) override {}
  void on_drained() override {}
  void answer() {
    Stream& stream = *std::exchange(server_stream, nullptr);
    stream.send_head(*response, false);
    stream.send_data(body, true);
  }

  Stream* server_stream = nullptr;
  const Head* response = nullptr;
  std::string_view body;
};

void exchange(benchmark::State& state) {
  BlockPool blocks;
  net::BufferPool buffers;
  H2Memory memory;
  CodecCounters counters;
  const CodecLimits limits;
  Ends ends;
  fakes::FakeWire client_wire(buffers), server_wire(buffers);
  H2ClientCodec client(client_wire, ends, limits, counters, blocks, buffers, memory);
  H2ServerCodec server(server_wire, ends, limits, counters, blocks, buffers, memory);
  Arena arena(blocks);
  Head request(arena);
  request.method_text = "GET";
  request.scheme = "http";
  request.authority = "service.mesh";
  request.path = "/some/path?with=query";
  request.fields.add("user-agent", "bench/1.0");
  request.fields.add("accept", "*/*");
  request.fields.add("x-request-id", "0123456789abcdef0123456789abcdef");
  request.fields.add("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  request.fields.add("x-forwarded-for", "10.1.2.3");
  Head response(arena);
  response.status = 200;
  response.fields.add("server", "bench");
  response.fields.add("date", "Tue, 03 Nov 2026 10:00:00 GMT");
  response.fields.add("content-type", "application/octet-stream");
  const std::string body(static_cast<std::size_t>(state.range(0)), 'x');
  response.content_length = body.size();
  ends.response = &response;
  ends.body = body;
  const auto move = [](Codec& codec, fakes::FakeWire& wire, Codec& to) {
    codec.produce();
    if (wire.output().empty()) return;
    to.feed(wire.output().view(), 1);
    wire.output().clear();
  };
  for (auto _ : state) {
    client.open(ends).send_head(request, true);
    move(client, client_wire, server);
    move(server, server_wire, client);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(exchange)->Arg(0)->Arg(1024)->Arg(16384);

}  // namespace
}  // namespace outrigger::http
