#pragma once

// The surroundings of HTTP/2 codecs in tests: pools, counters, and a client and a server codec
// wired to each other in memory. Without gtest.

#include <memory>
#include <string>
#include <string_view>

#include "http/h2_codec.h"
#include "support/codec_fakes.h"

namespace outrigger::http::fakes {

struct H2World {
  explicit H2World(H2Memory::Sharing sharing = H2Memory::Sharing::where_known)
      : memory(2U << 20, sharing) {}
  BlockPool blocks;
  net::BufferPool buffers;
  H2Memory memory;
  CodecCounters counters;
  CodecLimits limits;
};

struct H2ServerSide {
  explicit H2ServerSide(H2World& world)
      : wire(world.buffers),
        codec(wire, events, world.limits, world.counters, world.blocks, world.buffers,
              world.memory),
        feeder(codec, wire) {}

  RecordingServer events;
  FakeWire wire;
  H2ServerCodec codec;
  Feeder feeder;
};

struct H2ClientSide {
  explicit H2ClientSide(H2World& world)
      : wire(world.buffers),
        codec(wire, events, world.limits, world.counters, world.blocks, world.buffers,
              world.memory),
        feeder(codec, wire) {}

  RecordingClient events;
  FakeWire wire;
  H2ClientCodec codec;
  Feeder feeder;
};

// A client and a server that talk to each other; run() moves bytes until nothing moves.
struct H2Pair {
  explicit H2Pair(H2World& world) : client(world), server(world) { run(); }
  void run() {
    for (bool moved = true; moved;) {
      moved = false;
      client.feeder.settle();
      if (const std::string bytes = client.wire.take(); !bytes.empty()) {
        server.feeder.feed(bytes);
        moved = true;
      }
      server.feeder.settle();
      if (const std::string bytes = server.wire.take(); !bytes.empty()) {
        client.feeder.feed(bytes);
        moved = true;
      }
    }
  }

  H2ClientSide client;
  H2ServerSide server;
};

// A head that may be changed before it is sent.
struct TestHead {
  explicit TestHead(BlockPool& blocks) : arena(blocks), head(arena) {}
  TestHead& request(std::string_view method = "GET", std::string_view path = "/") {
    head.method_text = method;
    head.method = parse_method(method);
    head.scheme = "http";
    head.authority = "example.test";
    head.path = path;
    return *this;
  }
  TestHead& response(int status) {
    head.status = status;
    return *this;
  }
  TestHead& length(std::uint64_t size) {
    head.content_length = size;
    return *this;
  }
  TestHead& add(std::string_view name, std::string_view value) {
    head.fields.add(name, value);
    return *this;
  }
  operator const Head&() const { return head; }  // NOLINT: so that it can be sent

  Arena arena;
  Head head;
};

}  // namespace outrigger::http::fakes
