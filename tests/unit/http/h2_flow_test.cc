// Windows, watermarks and turns: which stream may send how much, when, and at what cost.

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"
#include "http/h2_codec.h"
#include "support/allocation_count.h"
#include "support/h2_frames.h"
#include "support/h2_world.h"

namespace outrigger::http {
namespace {

using namespace fakes;

std::string noise(std::size_t size, std::uint64_t seed) {
  Random random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random.next());
  return text;
}

class H2Flow : public testing::Test {
 protected:
  Stream& request(H2Pair& pair, RecordingSink& sink, std::string_view method, bool end) {
    Stream& stream = pair.client.codec.open(sink);
    TestHead head(world.blocks);
    stream.send_head(head.request(method), end);
    return stream;
  }
  void head(Stream& stream) {
    TestHead h(world.blocks);
    stream.send_head(h.response(200), false);
  }
  std::size_t memory() const {
    return world.memory.bytes_in_use() + world.buffers.bytes_in_use() +
           world.blocks.in_use() * BlockPool::block_size;
  }

  H2World world;
};

TEST_F(H2Flow, LargeBodiesBothWaysAtOnce) {
  H2Pair pair(world);
  const std::string up = noise(1'000'000, 1);
  const std::string down = noise(1'500'000, 2);
  RecordingSink sink;
  Stream& stream = request(pair, sink, "POST", false);
  pair.run();
  RecordingSink& got = pair.server.events.last();
  head(*got.stream);
  Random random(3);
  std::size_t sent_up = 0, sent_down = 0;
  while (sent_up < up.size() || sent_down < down.size()) {
    const std::size_t a = std::min<std::size_t>(random.below(40000), up.size() - sent_up);
    if (a > 0 && !stream.above_high()) {
      stream.send_data(std::string_view(up).substr(sent_up, a), sent_up + a == up.size());
      sent_up += a;
    }
    const std::size_t b = std::min<std::size_t>(random.below(40000), down.size() - sent_down);
    if (b > 0 && !got.stream->above_high()) {
      got.stream->send_data(std::string_view(down).substr(sent_down, b),
                            sent_down + b == down.size());
      sent_down += b;
    }
    pair.run();
  }
  pair.run();
  EXPECT_TRUE(got.body == up);
  EXPECT_TRUE(sink.body == down);
  EXPECT_TRUE(got.ended && sink.ended);
  EXPECT_EQ(pair.client.codec.open_streams() + pair.server.codec.open_streams(), 0U);
}

// A paused stream gets one window and no more; the others continue.
TEST_F(H2Flow, APausedStreamHoldsUpNobody) {
  H2Pair pair(world);
  RecordingSink slow, quick;
  Stream& one = request(pair, slow, "POST", false);
  Stream& two = request(pair, quick, "POST", false);
  pair.run();
  RecordingSink& slow_server = *pair.server.events.sinks[0];
  RecordingSink& quick_server = *pair.server.events.sinks[1];
  slow_server.stream->pause(true);
  for (int i = 0; i < 100; ++i) {
    const std::string piece(20000, static_cast<char>('a' + i % 26));
    if (!one.above_high()) one.send_data(piece, false);
    two.send_data(piece, false);
    pair.run();
  }
  EXPECT_LE(slow_server.body.size(), world.limits.stream_window);
  EXPECT_GE(slow_server.body.size(), 32U * 1024);
  EXPECT_EQ(quick_server.body.size(), 2'000'000U);
  EXPECT_TRUE(one.above_high());
  slow_server.stream->pause(false);
  pair.run();
  EXPECT_EQ(slow.drained, 1);
  EXPECT_FALSE(one.above_high());
  one.send_data("", true);
  two.send_data("", true);
  pair.run();
  EXPECT_TRUE(slow_server.ended && quick_server.ended);
}

TEST_F(H2Flow, AnAnswerWaitsForTheWindow) {
  H2ServerSide server(world);
  server.feeder.feed(std::string(h2::magic) + h2::settings({{h2::initial_window_size, 0}}) +
                     h2::settings_ack() + h2::headers(1, h2::request_block(), h2::whole));
  RecordingSink& sink = server.events.last();
  head(*sink.stream);
  std::size_t queued = 0;
  while (!sink.stream->above_high()) {
    sink.stream->send_data(std::string(10000, 'x'), false);
    queued += 10000;
  }
  EXPECT_LE(queued, world.limits.stream_high + 10000);
  EXPECT_GT(queued, world.limits.stream_high);
  server.feeder.settle();
  server.wire.take();
  // Half of it is sent: not below the low watermark yet.
  server.feeder.feed(h2::window_update(1, 65535));
  server.feeder.feed(h2::window_update(0, 1'000'000));
  EXPECT_EQ(sink.drained, 0);
  EXPECT_EQ(server.wire.take().size() / 1000, 65U);
  server.feeder.feed(h2::window_update(1, 200000));
  EXPECT_EQ(sink.drained, 1);
  EXPECT_FALSE(sink.stream->above_high());
}

TEST_F(H2Flow, AFullWireTakesNoMoreData) {
  H2ServerSide server(world);
  server.wire.high = 100'000;
  server.feeder.feed(std::string(h2::magic) +
                     h2::settings({{h2::initial_window_size, 10'000'000}}) + h2::settings_ack() +
                     h2::window_update(0, 10'000'000) +
                     h2::headers(1, h2::request_block(), h2::whole));
  server.wire.take();
  server.wire.blocked = true;
  RecordingSink& sink = server.events.last();
  head(*sink.stream);
  while (!sink.stream->above_high()) sink.stream->send_data(std::string(50000, 'x'), false);
  server.feeder.settle();
  EXPECT_LE(server.wire.unsent(), 100'000U + 16384 + 9);
  // Control frames are still sent.
  const std::size_t before = server.wire.unsent();
  server.feeder.feed(h2::ping());
  EXPECT_EQ(server.wire.unsent(), before + 17);
  std::size_t total = 0;
  for (int i = 0; i < 10; ++i) {
    server.wire.unblock();
    total += server.wire.take().size();
    server.codec.output_drained();
    server.feeder.settle();
  }
  EXPECT_GT(total, world.limits.stream_high);
  EXPECT_EQ(sink.drained, 1);
}

// Streams take turns, whichever came first, in both directions.
TEST_F(H2Flow, StreamsTakeTurns) {
  world.limits.raise_for_trusted();
  H2Pair pair(world);
  std::deque<RecordingSink> sinks;
  std::vector<Stream*> streams;
  for (int i = 0; i < 3; ++i) {
    streams.push_back(&request(pair, sinks.emplace_back(), "POST", false));
  }
  pair.run();
  const auto order = [](std::string bytes) {
    std::map<std::uint32_t, std::size_t> first_eight;
    std::size_t seen = 0;
    for (const h2::Frame& f : h2::take_frames(bytes)) {
      if (f.type == h2::type_data && seen++ < 6) ++first_eight[f.stream];
    }
    return first_eight;
  };
  const std::map<std::uint32_t, std::size_t> fair = {{1, 2}, {3, 2}, {5, 2}};
  // While the wire is full, everything is queued; then it is sent.
  pair.client.wire.blocked = pair.server.wire.blocked = true;
  pair.client.wire.high = pair.server.wire.high = 0;
  pair.client.wire.output().append("x");
  pair.server.wire.output().append("x");
  for (std::size_t i = 0; i < 3; ++i) {
    Stream& down = *pair.server.events.sinks[i]->stream;
    head(down);
    for (int k = 0; k < 4; ++k) {
      streams[i]->send_data(std::string(16384, 'u'), false);
      down.send_data(std::string(16384, 'd'), false);
    }
  }
  for (auto* side : {&pair.client.wire, &pair.server.wire}) {
    side->output().clear();
    side->blocked = false;
    side->high = 1U << 20;
  }
  pair.client.codec.output_drained();
  pair.server.codec.output_drained();
  pair.client.feeder.settle();
  pair.server.feeder.settle();
  EXPECT_EQ(order(pair.client.wire.take()), fair);
  std::string from_server = pair.server.wire.take();
  EXPECT_EQ(order(from_server), fair);
}

// Many small pieces in one turn are sent in one frame; a large one is not queued first.
TEST_F(H2Flow, PiecesOfATurnShareAFrame) {
  H2Pair pair(world);
  RecordingSink sink;
  Stream& stream = request(pair, sink, "POST", false);
  pair.run();
  for (int i = 0; i < 50; ++i) stream.send_data("0123456789", false);
  pair.client.feeder.settle();
  std::string bytes = pair.client.wire.take();
  auto frames = h2::take_frames(bytes);
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].payload.size(), 500U);
  const std::size_t before = world.buffers.bytes_in_use();
  stream.send_data(std::string(10000, 'x'), true);
  // The wire's own output holds it, not a second buffer.
  EXPECT_LE(world.buffers.bytes_in_use(), before + 16384);
  pair.client.feeder.settle();
  bytes = pair.client.wire.take();
  frames = h2::take_frames(bytes);
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].flags, h2::end_stream);
}

TEST_F(H2Flow, DataBeyondTheWindowEndsTheConnection) {
  H2ServerSide server(world);
  server.feeder.feed(h2::preface() + h2::settings_ack() +
                     h2::headers(1, h2::request_block("POST")));
  server.events.last().stream->pause(true);
  for (int i = 0; i < 4; ++i) server.feeder.feed(h2::data(1, std::string(16384, 'x')));
  EXPECT_FALSE(server.wire.finished);
  server.feeder.feed(h2::data(1, "x"));
  EXPECT_TRUE(server.wire.finished);
  EXPECT_EQ(server.events.last().reset, StreamEnd::protocol_error);
  std::string bytes = server.wire.take();
  EXPECT_EQ(h2::take_frames(bytes).back().number(4), h2::flow_control_error);
}

// A hundred uploads that are not read: what is parked for all of them together is taken from the
// connection's window.
TEST_F(H2Flow, WhatStreamsThatWaitHoldIsBoundedByTheConnectionsWindow) {
  H2ServerSide server(world);
  server.feeder.feed(h2::preface() + h2::settings_ack());
  const std::string frame(16384, 'x');
  std::size_t parked = 0;
  for (std::uint32_t id = 1; id < 200 && !server.wire.over(); id += 2) {
    server.feeder.feed(h2::headers(id, h2::request_block("POST")));
    server.events.last().stream->pause(true);
    for (int i = 0; i < 4 && !server.wire.over(); ++i) server.feeder.feed(h2::data(id, frame));
  }
  for (const auto& sink : server.events.sinks) parked += sink->body.size();
  EXPECT_EQ(parked, world.limits.connection_window);
  std::string bytes = server.wire.take();
  EXPECT_EQ(h2::take_frames(bytes).back().number(4), h2::flow_control_error)
      << "what is more breaks the window";
}

TEST_F(H2Flow, ParkedBytesThatMoveOnOpenTheConnectionsWindow) {
  H2ServerSide server(world);
  server.feeder.feed(h2::preface() + h2::settings_ack());
  server.wire.take();
  const std::string frame(16384, 'x');
  const auto opened = [&server] {
    std::string bytes = server.wire.take();
    std::size_t sum = 0;
    for (const h2::Frame& f : h2::take_frames(bytes)) {
      if (f.type == h2::type_window_update && f.stream == 0) sum += f.number();
    }
    return sum;
  };
  std::vector<Stream*> streams;
  for (std::uint32_t id = 1; id < 32; id += 2) {
    server.feeder.feed(h2::headers(id, h2::request_block("POST")));
    streams.push_back(server.events.last().stream);
    streams.back()->pause(true);
    for (int i = 0; i < 4; ++i) server.feeder.feed(h2::data(id, frame));
  }
  EXPECT_EQ(opened(), 0U);
  // Half of them continue, the others are abandoned in three ways.
  for (std::size_t i = 0; i < 8; ++i) streams[i]->pause(false);
  server.feeder.settle();
  EXPECT_EQ(opened(), 8U * 65536);
  for (std::size_t i = 8; i < 11; ++i) streams[i]->reset(StreamEnd::local);
  for (std::uint32_t i = 11; i < 14; ++i) {
    server.feeder.feed(h2::rst_stream(1 + 2 * i, h2::cancel));
  }
  for (std::size_t i = 14; i < 16; ++i) {
    TestHead answer(world.blocks);
    streams[i]->send_head(answer.response(413), true);
  }
  server.feeder.settle();
  // All of it, except what is too little for a WINDOW_UPDATE.
  EXPECT_GE(opened() + 65536, 8U * 65536);
  EXPECT_FALSE(server.wire.over());
}

// All streams together: beyond the connection's budget no stream may queue, but each moves on.
TEST_F(H2Flow, TheQueueOfAConnectionIsBounded) {
  H2ServerSide server(world);
  server.feeder.feed(std::string(h2::magic) + h2::settings({{h2::initial_window_size, 0}}) +
                     h2::settings_ack());
  for (std::uint32_t i = 0; i < 100; ++i) {
    server.feeder.feed(h2::headers(1 + 2 * i, h2::request_block(), h2::whole));
  }
  std::size_t queued = 0;
  for (const auto& sink : server.events.sinks) {
    head(*sink->stream);
    while (!sink->stream->above_high()) {
      sink->stream->send_data(std::string(4096, 'x'), false);
      queued += 4096;
    }
  }
  EXPECT_LE(queued, world.limits.connection_queue + world.limits.stream_high + 100 * 4096);
  EXPECT_LE(memory(), 2U << 20);
  // One stream's window opens: it drains and continues although the others are stuck.
  RecordingSink& last = server.events.last();
  server.feeder.feed(h2::window_update(199, 100000));
  EXPECT_EQ(last.drained, 1);
  EXPECT_FALSE(last.stream->above_high());
  last.stream->send_data(std::string(4096, 'y'), false);
  server.feeder.settle();
  EXPECT_FALSE(last.stream->above_high());
  // Most streams end.
  for (std::uint32_t i = 0; i < 50; ++i) server.feeder.feed(h2::rst_stream(1 + 2 * i, h2::cancel));
  server.feeder.feed(h2::window_update(0, 1'000'000) +
                     h2::settings({{h2::initial_window_size, 100'000}}));
  for (const auto& sink : server.events.sinks) {
    EXPECT_TRUE(sink->was_reset || sink->drained == 1);
  }
}

TEST_F(H2Flow, WhoKeepsAWindowShutLosesTheStream) {
  H2ServerSide server(world);
  server.feeder.feed(std::string(h2::magic) + h2::settings({{h2::initial_window_size, 0}}) +
                     h2::settings_ack());
  EXPECT_FALSE(server.codec.output_queued());
  const h2::FieldList grpc{{"content-type", "application/grpc"}};
  server.feeder.feed(h2::headers(1, h2::request_block(), h2::whole) +
                     h2::headers(3, h2::request_block(), h2::whole) +
                     h2::headers(5, h2::request_block("POST", grpc), h2::whole) +
                     h2::headers(7, h2::request_block(), h2::whole));
  for (const auto& sink : server.events.sinks) head(*sink->stream);
  for (const std::size_t waiting : {0, 1, 2}) {
    server.events.sinks[waiting]->stream->send_data("some", waiting == 0);
  }
  server.feeder.settle();
  EXPECT_TRUE(server.codec.output_queued());
  const auto resets = [&] {
    std::map<std::uint32_t, std::uint32_t> found;
    std::string sent = server.wire.take();
    for (const h2::Frame& frame : h2::take_frames(sent)) {
      if (frame.type == 3) found[frame.stream] = frame.number();
    }
    return found;
  };
  const auto look = [&](std::uint64_t now_ms) {
    server.codec.end_stalled(now_ms, 30'000);
    server.feeder.settle();
    return resets();
  };
  EXPECT_TRUE(look(1'000).empty());
  EXPECT_TRUE(look(30'999).empty());
  // One byte is progress.
  server.feeder.feed(h2::window_update(3, 1));
  EXPECT_EQ(look(31'000), (std::map<std::uint32_t, std::uint32_t>{{1, 8}})) << "CANCEL";
  EXPECT_FALSE(server.events.sinks[1]->was_reset);
  EXPECT_TRUE(look(60'999).empty());
  EXPECT_EQ(look(61'000), (std::map<std::uint32_t, std::uint32_t>{{3, 8}}));
  EXPECT_EQ(server.events.sinks[1]->reset, StreamEnd::idle);
  // gRPC streams may be slow, and a stream with nothing to send waits for nothing.
  EXPECT_TRUE(look(1'000'000).empty());
  EXPECT_EQ(server.codec.open_streams(), 2U);
  EXPECT_EQ(world.counters.stalled.value(), 2U);
}

// One read per stream is too much when there are many: then pieces are small.
TEST_F(H2Flow, InACrowdOnlySmallPiecesAreWelcome) {
  H2ServerSide server(world);
  server.feeder.feed(std::string(h2::magic) + h2::settings({{h2::initial_window_size, 0}}) +
                     h2::settings_ack());
  for (std::uint32_t i = 0; i < 100; ++i) {
    server.feeder.feed(h2::headers(1 + 2 * i, h2::request_block(), h2::whole));
  }
  EXPECT_EQ(server.events.last().stream->piece_max(), any_piece);
  std::size_t queued = 0;
  std::size_t smallest = any_piece;
  for (const auto& sink : server.events.sinks) {
    head(*sink->stream);
    while (!sink->stream->above_high()) {
      const std::size_t piece = std::min<std::size_t>(64 * 1024, sink->stream->piece_max());
      smallest = std::min(smallest, piece);
      sink->stream->send_data(std::string(piece, 'x'), false);
      queued += piece;
    }
  }
  EXPECT_EQ(smallest, world.limits.connection_queue / 128);
  EXPECT_LE(queued, world.limits.connection_queue + 64 * 1024 + 100 * 4096);
  EXPECT_LE(memory(), 2U << 20);
  // Pieces do not stay small: most streams end.
  for (std::uint32_t i = 0; i < 99; ++i) server.feeder.feed(h2::rst_stream(1 + 2 * i, h2::cancel));
  EXPECT_EQ(server.events.last().stream->piece_max(), any_piece);
}

// One more piece for each of a hundred streams that have grown together would double their buffers.
TEST_F(H2Flow, InACrowdWhoHasBytesQueuedTakesNoMore) {
  H2ServerSide server(world);
  server.feeder.feed(std::string(h2::magic) + h2::settings({{h2::initial_window_size, 0}}) +
                     h2::settings_ack());
  for (std::uint32_t i = 0; i < 100; ++i) {
    server.feeder.feed(h2::headers(1 + 2 * i, h2::request_block(), h2::whole));
  }
  for (const auto& sink : server.events.sinks) head(*sink->stream);
  for (int round = 0; round < 64; ++round) {
    for (const auto& sink : server.events.sinks) {
      const std::size_t piece = std::min<std::size_t>(4096, sink->stream->piece_max());
      if (piece > 0) sink->stream->send_data(std::string(piece, 'x'), false);
    }
  }
  // A buffer's capacity beyond its bytes counts too.
  EXPECT_LE(world.buffers.bytes_in_use(), world.limits.connection_queue + 128 * 1024);
}

// No request allocates once the pools are warm.
#ifndef OUTRIGGER_SANITIZED  // A sanitizer owns the allocator: nothing can be counted.
TEST_F(H2Flow, TheSteadyStateAllocatesNothing) {
  // Sinks and wires that allocate nothing either.
  struct Ends final : StreamSink, ServerEvents, ClientEvents {
    explicit Ends(H2World& w) : response_head(w.blocks), trailers(w.blocks) {
      response_head.response(200).add("server", "outrigger").add("content-type", "text/plain");
      trailers.add("grpc-status", "0");
    }
    StreamSink& on_stream(Stream& stream) override {
      server_stream = &stream;
      return *this;
    }
    void on_idle() override {}
    void on_capacity() override {}
    void on_retiring() override {}
    void on_head(Head& head, bool) override {
      if (!head.is_request()) ++answers;
    }
    void on_interim(Head&) override {}
    void on_data(std::string_view, bool end) override {
      if (!end || server_stream == nullptr) return;
      Stream& stream = *std::exchange(server_stream, nullptr);
      stream.send_head(response_head, false);
      stream.send_data("a short answer", false);
      stream.send_trailers(trailers.head.fields);
    }
    void on_trailers(Fields&) override {}
    void on_reset(StreamEnd) override { ++resets; }
    void on_drained() override {}

    Stream* server_stream = nullptr;
    TestHead response_head, trailers;
    int answers = 0;
    int resets = 0;
  };
  Ends ends(world);
  FakeWire client_wire(world.buffers), server_wire(world.buffers);
  H2ClientCodec client(client_wire, ends, world.limits, world.counters, world.blocks, world.buffers,
                       world.memory);
  H2ServerCodec server(server_wire, ends, world.limits, world.counters, world.blocks, world.buffers,
                       world.memory);
  const auto move = [](Codec& from_codec, FakeWire& from, Codec& to) {
    from_codec.produce();
    if (from.output().empty()) return;
    const std::size_t size = from.output().size();
    ASSERT_EQ(to.feed(from.output().view(), 1), size);
    from.output().consume(size);
  };
  TestHead head(world.blocks);
  head.request("POST", "/a/path?with=query").add("user-agent", "test/1.0").length(5000);
  head.add("x-request-id", "0123456789abcdef").add("accept", "*/*").add("cookie", "a=b; c=d");
  const std::string body(5000, 'x');
  const auto exchange = [&] {
    Stream& stream = client.open(ends);
    stream.send_head(head, false);
    stream.send_data(body, true);
    for (int i = 0; i < 4; ++i) {
      move(client, client_wire, server);
      move(server, server_wire, client);
    }
  };
  for (int i = 0; i < 200; ++i) exchange();
  EXPECT_EQ(ends.answers, 200);
  const std::uint64_t from_library = world.memory.heap_allocations();
  const std::uint64_t before = test::allocation_count();
  for (int i = 0; i < 1000; ++i) exchange();
  EXPECT_EQ(test::allocation_count() - before, 0U);
  EXPECT_EQ(world.memory.heap_allocations() - from_library, 0U);
  EXPECT_EQ(ends.answers, 1200);
  EXPECT_EQ(ends.resets, 0);
  // The count works.
  const std::string text(static_cast<std::size_t>(ends.answers), 'x');
  EXPECT_EQ(text.size(), 1200U);
  EXPECT_GT(test::allocation_count(), before);
}
#endif

// The cost of an idle connection: nghttp2's tables and little else.
TEST_F(H2Flow, AnIdleConnectionIsSmall) {
  H2Pair warm(world);
  const std::size_t before = memory();
  H2ServerSide server(world);
  server.feeder.feed(h2::preface() + h2::settings_ack());
  for (std::uint32_t i = 0; i < 20; ++i) {
    server.feeder.feed(h2::headers(1 + 2 * i, h2::request_block(), h2::whole));
    head(*server.events.last().stream);
    server.events.last().stream->send_data("x", true);
    server.feeder.settle();
  }
  server.wire.take();
  RecordProperty("idle_bytes", static_cast<int>(memory() - before));
  EXPECT_LE(memory() - before, 8U * 1024);
}

// Random exchanges with random sizes, pauses, resets and pieces, from a seed: each ends once, as
// its two users think it did.
class H2Random : public H2Flow {
 protected:
  struct Plan {
    std::string up, down;
    std::size_t sent_up = 0, sent_down = 0;
    Stream* stream = nullptr;
    RecordingSink sink;
    bool answered = false;
    bool cancelled = false;
  };
  void run(std::uint64_t seed);
};

void H2Random::run(std::uint64_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  H2Pair pair(world);
  std::deque<Plan> plans;
  const auto piece = [&random](const std::string& text, std::size_t& sent) {
    const std::size_t size = std::min<std::size_t>(random.below(30000), text.size() - sent);
    const std::string_view view = std::string_view(text).substr(sent, size);
    sent += size;
    return view;
  };
  // Bytes travel in pieces, and not all at once.
  std::string to_server, to_client;
  const auto travel = [&] {
    pair.client.feeder.settle();
    pair.server.feeder.settle();
    to_server += pair.client.wire.take();
    to_client += pair.server.wire.take();
    for (auto* way : {&to_server, &to_client}) {
      const std::size_t size = std::min<std::size_t>(way->size(), 1 + random.below(20000));
      Feeder& feeder = way == &to_server ? pair.server.feeder : pair.client.feeder;
      if (size > 0) feeder.feed(std::string_view(*way).substr(0, size));
      way->erase(0, size);
    }
  };
  for (int step = 0; step < 300; ++step) {
    travel();
    if (plans.size() < 30 && random.below(3) == 0 && pair.client.codec.capacity() > 0) {
      Plan& plan = plans.emplace_back();
      plan.up = noise(random.below(4) == 0 ? random.below(200000) : random.below(2000), step);
      plan.down = noise(random.below(4) == 0 ? random.below(200000) : random.below(2000), step);
      plan.stream = &pair.client.codec.open(plan.sink);
      TestHead h(world.blocks);
      const std::string number = std::to_string(plans.size() - 1);
      plan.stream->send_head(h.request("POST").add("x-plan", number), false);
    }
    for (Plan& plan : plans) {
      const bool client_over = plan.cancelled || plan.sink.was_reset ||
                               (plan.sink.ended && plan.sent_up > plan.up.size());
      if (client_over || plan.sent_up > plan.up.size()) continue;
      if (random.below(200) == 0) {
        plan.stream->reset(StreamEnd::local);
        plan.cancelled = true;
      } else if (!plan.stream->above_high()) {
        const std::string_view text = piece(plan.up, plan.sent_up);
        const bool end = plan.sent_up == plan.up.size();
        plan.stream->send_data(text, end);
        if (end) plan.sent_up = plan.up.size() + 1;  // done
      }
    }
    for (const auto& sink : pair.server.events.sinks) {
      const std::size_t at = sink->head.find("x-plan: ");
      Plan& plan = plans[std::stoul(sink->head.substr(at + 8))];
      if (sink->was_reset || plan.sent_down > plan.down.size()) continue;
      if (!plan.answered) {
        plan.answered = true;
        head(*sink->stream);
      }
      if (!sink->ended) sink->stream->pause(random.below(3) == 0);
      if (sink->stream->above_high() || random.below(2) == 0) continue;
      const std::string_view text = piece(plan.down, plan.sent_down);
      const bool end = plan.sent_down == plan.down.size();
      sink->stream->send_data(text, end);
      if (end) plan.sent_down = plan.down.size() + 1;
    }
  }
  for (int i = 0; i < 3000 && pair.server.codec.open_streams() + pair.client.codec.open_streams();
       ++i) {
    travel();
    for (Plan& plan : plans) {
      if (plan.cancelled || plan.sink.was_reset || plan.sent_up > plan.up.size()) continue;
      plan.stream->send_data(std::string_view(plan.up).substr(plan.sent_up), true);
      plan.sent_up = plan.up.size() + 1;
    }
    for (const auto& sink : pair.server.events.sinks) {
      Plan& plan = plans[std::stoul(sink->head.substr(sink->head.find("x-plan: ") + 8))];
      if (sink->was_reset || plan.sent_down > plan.down.size()) continue;
      if (!plan.answered) head(*sink->stream);
      plan.answered = true;
      sink->stream->pause(false);
      sink->stream->send_data(std::string_view(plan.down).substr(plan.sent_down), true);
      plan.sent_down = plan.down.size() + 1;
    }
  }
  EXPECT_EQ(pair.server.codec.open_streams(), 0U);
  EXPECT_EQ(pair.client.codec.open_streams(), 0U);
  EXPECT_FALSE(pair.client.wire.finished || pair.server.wire.finished);
  for (const auto& sink : pair.server.events.sinks) {
    const Plan& plan = plans[std::stoul(sink->head.substr(sink->head.find("x-plan: ") + 8))];
    EXPECT_EQ(sink->misuse, "");
    EXPECT_TRUE(plan.up.starts_with(sink->body));
    EXPECT_TRUE(!sink->ended || sink->body == plan.up);
  }
  for (const Plan& plan : plans) {
    EXPECT_EQ(plan.sink.misuse, "");
    if (plan.cancelled) continue;
    EXPECT_TRUE(plan.sink.ended);
    EXPECT_TRUE(plan.sink.body == plan.down);
  }
}

TEST_F(H2Random, ExchangesEndOnce) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) run(seed);
  EXPECT_EQ(world.memory.bytes_in_use(), 0U);
  EXPECT_EQ(world.buffers.bytes_in_use(), 0U);
  EXPECT_EQ(world.blocks.in_use(), 0U);
}

}  // namespace
}  // namespace outrigger::http
