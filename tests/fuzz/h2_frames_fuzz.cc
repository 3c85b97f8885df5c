// Frames from a fuzzer's bytes into both HTTP/2 codecs: a structured stream of frames, so that the
// fuzzer gets past lengths and into states, with raw bytes now and then. Checked on the way: calls
// in their order, all ends told, nothing left behind.
//
// The input is a program. Each step is one byte for the kind, then its arguments.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "http/h2_codec.h"
#include "support/h2_frames.h"
#include "support/h2_world.h"

namespace outrigger::http {
namespace {

using namespace fakes;

class Program {
 public:
  Program(const std::uint8_t* data, std::size_t size)
      : rest_(reinterpret_cast<const char*>(data), size) {}
  bool done() const { return rest_.empty(); }
  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  std::string_view bytes(std::size_t size) {
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  std::uint32_t stream() { return byte() % 16; }

 private:
  std::string_view rest_;
};

std::string next_frame(Program& program, bool server) {
  const std::uint8_t kind = program.byte();
  const std::uint32_t stream = program.stream();
  const std::uint8_t flags = program.byte();
  switch (kind % 12) {
    case 0:
      return h2::headers(stream, server ? h2::request_block("GET") : h2::response_block(200),
                         h2::end_headers | (flags & h2::end_stream));
    case 1:
      return h2::headers(stream, server ? h2::request_block("POST", {{"content-length", "4"}})
                                        : h2::response_block(200, {{"content-length", "4"}}));
    case 2:
      return h2::data(stream, program.bytes(flags % 8), kind < 128 ? h2::end_stream : h2::none);
    case 3:
      return h2::headers(stream, program.bytes(flags % 64), kind < 128 ? h2::whole : h2::none);
    case 4:
      return h2::continuation(stream, program.bytes(flags % 64),
                              kind < 128 ? h2::end_headers : h2::none);
    case 5:
      return h2::rst_stream(stream, flags);
    case 6:
      return h2::window_update(stream, flags < 250 ? flags * 1000U : 0x7fffffff);
    case 7:
      return h2::settings({{static_cast<std::uint16_t>(flags % 10), program.byte() * 70000U}});
    case 8:
      return h2::goaway(stream, flags);
    case 9:
      return h2::ping("12345678", flags & h2::ack);
    case 10:
      return h2::headers(stream,
                         (server ? h2::request_block() : h2::response_block(103)) +
                             std::string(program.bytes(flags % 32)),
                         h2::end_headers | (kind < 128 ? h2::end_stream : 0));
    default:
      return h2::frame(program.byte(), flags, stream, program.bytes(program.byte() % 64));
  }
}

void require(bool ok) {
  if (!ok) std::abort();
}

// What a user does in its callbacks, chosen by the program as well.
void act(Stream& stream, RecordingSink& sink, std::uint8_t choice, H2World& world) {
  switch (choice % 6) {
    case 0: {
      TestHead head(world.blocks);
      stream.send_head(head.response(200), true);
      break;
    }
    case 1: {
      TestHead head(world.blocks);
      stream.send_head(head.response(200), false);
      stream.send_data(std::string(choice * 100U, 'x'), false);
      TestHead trailers(world.blocks);
      stream.send_trailers(trailers.add("grpc-status", "0").head.fields);
      break;
    }
    case 2:
      stream.reset(StreamEnd::cancelled);
      sink.was_reset = true;  // nothing may follow
      break;
    case 3:
      stream.pause(true);
      break;
    default:
      break;
  }
}

void run_server(Program program) {
  H2World world;
  {
    H2ServerSide server(world);
    const std::uint8_t choices = program.byte();
    server.events.stream_hook = [&](RecordingSink& sink) {
      sink.head_hook = [&world, &sink, choices](Head&, bool) {
        act(*sink.stream, sink, static_cast<std::uint8_t>(choices + sink.head.size()), world);
      };
    };
    server.feeder.feed(h2::preface() + h2::settings_ack());
    while (!program.done()) {
      std::string bytes = next_frame(program, true);
      if (bytes.size() > 10 && bytes.size() % 3 == 0) {
        server.feeder.feed(bytes.substr(0, 7));
        bytes.erase(0, 7);
      }
      server.feeder.feed(bytes);
      server.wire.take();
    }
    server.feeder.end();
    require(server.codec.open_streams() == 0);
    for (const auto& sink : server.events.sinks) require(sink->misuse.empty());
  }
  require(world.memory.bytes_in_use() == 0 && world.blocks.in_use() == 0 &&
          world.buffers.bytes_in_use() == 0);
}

void run_client(Program program) {
  H2World world;
  {
    H2ClientSide client(world);
    std::deque<RecordingSink> sinks;
    const std::uint8_t choices = program.byte();
    for (int i = 0; i < 4; ++i) {
      RecordingSink& sink = sinks.emplace_back();
      sink.stream = &client.codec.open(sink);
      TestHead head(world.blocks);
      const bool open = (choices >> i & 1) != 0;
      sink.stream->send_head(head.request(open ? "POST" : "GET"), !open);
      if (open) sink.stream->send_data(std::string(choices * 100U, 'x'), false);
    }
    client.feeder.settle();
    client.feeder.feed(h2::settings() + h2::settings_ack());
    while (!program.done()) {
      client.feeder.feed(next_frame(program, false));
      client.wire.take();
    }
    client.feeder.end();
    require(client.codec.open_streams() == 0 && client.events.retiring == 1);
    for (const RecordingSink& sink : sinks) {
      require(sink.misuse.empty() && (sink.ended || sink.was_reset));
    }
  }
  require(world.memory.bytes_in_use() == 0 && world.blocks.in_use() == 0 &&
          world.buffers.bytes_in_use() == 0);
}

}  // namespace
}  // namespace outrigger::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace outrigger::http;
  if (size == 0 || size > 4096) return 0;
  const Program program(data + 1, size - 1);
  if (data[0] % 2 == 0) {
    run_server(program);
  } else {
    run_client(program);
  }
  return 0;
}
