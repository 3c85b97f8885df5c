// Attacks by hostile HTTP/2 peers, one test for each known attack: how it ends, and what it costs.
// Memory is what the codec holds: nghttp2's, streams, heads, queues and the wire's output.

#include <gtest/gtest.h>

#include <algorithm>

#include "http/h2_codec.h"
#include "support/h2_frames.h"
#include "support/h2_world.h"

namespace outrigger::http {
namespace {

using namespace fakes;

constexpr std::size_t bound = 2U << 20;

class H2Abuse : public testing::Test {
 protected:
  H2Abuse() : server(world) {
    server.wire.high = 1U << 20;
    server.feeder.feed(h2::preface() + h2::settings_ack());
    server.wire.take();
    server.events.stream_hook = [this](RecordingSink& sink) {
      sink.reset_hook = [this](StreamEnd) { ++cancelled; };
    };
  }
  std::size_t memory() {
    return world.memory.bytes_in_use() + world.buffers.bytes_in_use() +
           world.blocks.in_use() * BlockPool::block_size + server.wire.stuck.size();
  }
  // Feeds until the connection is over; how many times. `read`: what comes back is read.
  int feed_until_over(const std::function<std::string(int)>& bytes, int most, bool read = true) {
    for (int i = 0; i < most; ++i) {
      if (server.wire.over()) return i;
      server.feeder.feed(bytes(i));
      if (read) note(server.wire.take());
      peak = std::max(peak, memory());
    }
    return server.wire.over() ? most : most + 1;
  }
  void note(const std::string& bytes) { answers += bytes; }
  // The code of the GOAWAY that ended the connection.
  std::uint32_t goaway_code() {
    server.wire.unblock();
    note(server.wire.take());
    std::string rest = answers;
    std::uint32_t code = 0xffff;
    for (const h2::Frame& f : h2::take_frames(rest)) {
      if (f.type == h2::type_goaway) code = f.number(4);
    }
    return code;
  }
  std::size_t count(std::uint8_t type) {
    std::string rest = answers;
    std::size_t n = 0;
    for (const h2::Frame& f : h2::take_frames(rest)) n += f.type == type ? 1 : 0;
    return n;
  }
  void expect_flood() {
    EXPECT_TRUE(server.wire.finished);
    EXPECT_EQ(goaway_code(), h2::enhance_your_calm);
    EXPECT_EQ(world.counters.floods.value(), 1U);
    EXPECT_LE(peak, bound);
  }
  // The same connection still works.
  void expect_served(std::uint32_t stream) {
    const std::size_t before = server.events.sinks.size();
    server.feeder.feed(h2::headers(stream, h2::request_block(), h2::whole));
    ASSERT_EQ(server.events.sinks.size(), before + 1);
    TestHead head(world.blocks);
    server.events.last().stream->send_head(head.response(200), true);
    server.feeder.settle();
    EXPECT_FALSE(server.wire.finished);
  }

  H2World world;
  H2ServerSide server;
  int cancelled = 0;
  std::size_t peak = 0;
  std::string answers;
};

// ---- CVE-2019-9512 and 9515.

TEST_F(H2Abuse, PingFlood) {
  const int n = feed_until_over([](int) { return h2::ping(); }, 20000);
  EXPECT_GE(n, 190);
  EXPECT_LE(n, 201);
  expect_flood();
}

TEST_F(H2Abuse, PingFloodUnread) {
  server.wire.blocked = true;
  EXPECT_LE(feed_until_over([](int) { return h2::ping(); }, 20000, false), 201);
  expect_flood();
}

TEST_F(H2Abuse, PingFloodInOneWrite) {
  std::string bytes;
  for (int i = 0; i < 20000; ++i) bytes += h2::ping();
  server.feeder.feed(bytes);
  expect_flood();
  EXPECT_LE(count(h2::type_ping), 200U);
}

TEST_F(H2Abuse, SettingsFlood) {
  EXPECT_LE(feed_until_over([](int) { return h2::settings({{1, 4096}}); }, 20000), 201);
  expect_flood();
}

TEST_F(H2Abuse, SettingsAcksThatNobodyAskedForEndTheConnection) {
  EXPECT_LE(feed_until_over([](int) { return h2::settings_ack(); }, 20000), 2);
  EXPECT_EQ(goaway_code(), h2::protocol_error);
}

TEST_F(H2Abuse, PatientPingsAreAnswered) {
  for (int i = 0; i < 2000; ++i) {
    server.feeder.now_ms += 20;
    server.feeder.feed(h2::ping());
  }
  EXPECT_FALSE(server.wire.finished);
}

// What a grpc-go client sends while it receives: its bandwidth estimator answers DATA with
// WINDOW_UPDATE and, if the last PING has been acknowledged, with another PING.
TEST_F(H2Abuse, AReceiverThatMeasuresWithPingsIsNoFlood) {
  TestHead head(world.blocks);
  for (std::uint32_t call = 0; call < 2000; ++call) {
    server.feeder.feed(h2::headers(1 + 2 * call, h2::request_block("POST")) +
                       h2::data(1 + 2 * call, "12345", h2::end_stream));
    ASSERT_FALSE(server.wire.finished) << call;
    Stream& stream = *server.events.last().stream;
    stream.send_head(head.response(200), false);
    stream.send_data("12345", false);
    stream.send_trailers(head.head.fields);
    server.feeder.settle();
    server.wire.take();
    server.feeder.feed(h2::window_update(0, 5) + h2::ping());
    ASSERT_FALSE(server.wire.finished) << call;
    server.wire.take();
  }
  EXPECT_EQ(world.counters.floods.value(), 0U);
  // Once the data stops, the PINGs must stop too.
  EXPECT_LE(feed_until_over([](int) { return h2::ping(); }, 20000), 2000 + 201);
  expect_flood();
}

// The same for a sender: grpc-go and gRPC in C++ measure what they receive, other libraries probe
// the connection as they send.
TEST_F(H2Abuse, ASenderThatMeasuresWithPingsIsNoFlood) {
  server.feeder.feed(h2::headers(1, h2::request_block("POST")));
  for (int i = 0; i < 2000; ++i) {
    server.feeder.feed(h2::data(1, "12345") + h2::ping());
    ASSERT_FALSE(server.wire.finished) << i;
    server.wire.take();
  }
  EXPECT_EQ(world.counters.floods.value(), 0U);
}

TEST_F(H2Abuse, TooManySettingsInAFrame) {
  std::string payload;
  for (int i = 0; i < 33; ++i) payload += h2::big_endian(1, 2) + h2::big_endian(4096, 4);
  server.feeder.feed(h2::frame(h2::type_settings, 0, 0, payload));
  expect_flood();
}

// Replies to control frames that are not read: reading stops, and then the connection ends.
TEST_F(H2Abuse, ControlFramesThatNobodyReads) {
  server.wire.blocked = true;
  server.wire.stuck = std::string(server.wire.high + 1, 'x');
  const int n = feed_until_over(
      [this](int) {
        server.feeder.now_ms += 10;
        return h2::ping();
      },
      20000, false);
  EXPECT_LE(n, 1302);
  EXPECT_TRUE(server.wire.paused);  // this peer ignores it: the test has no kernel in between
  EXPECT_TRUE(server.wire.finished);
  EXPECT_LE(peak, bound);
}

TEST_F(H2Abuse, ReadingGoesOnWhenTheWireDrains) {
  server.wire.blocked = true;
  server.wire.stuck = std::string(server.wire.high + 1, 'x');
  for (int i = 0; i < 1000; ++i) {
    server.feeder.now_ms += 10;
    server.feeder.feed(h2::ping());
  }
  EXPECT_TRUE(server.wire.paused);
  server.wire.unblock();
  server.codec.output_drained();
  EXPECT_FALSE(server.wire.paused);
  EXPECT_FALSE(server.wire.finished);
}

// ---- CVE-2019-9514 and CVE-2023-44487.

TEST_F(H2Abuse, RapidReset) {
  const int n = feed_until_over(
      [](int i) {
        const auto id = static_cast<std::uint32_t>(1 + 2 * i);
        return h2::headers(id, h2::request_block(), h2::whole) + h2::rst_stream(id, h2::cancel);
      },
      100000);
  EXPECT_GE(n, 990);
  EXPECT_LE(n, 1001);
  expect_flood();
  // Every request was cancelled at once.
  EXPECT_EQ(static_cast<std::size_t>(cancelled), server.events.sinks.size());
}

TEST_F(H2Abuse, RapidResetInOneWrite) {
  std::string bytes;
  for (std::uint32_t i = 0; i < 5000; ++i) {
    bytes += h2::headers(1 + 2 * i, h2::request_block(), h2::whole) +
             h2::rst_stream(1 + 2 * i, h2::cancel);
  }
  // A hundred at a time, however much was written.
  server.codec.feed(bytes, 1);
  EXPECT_EQ(server.events.sinks.size(), 100U);
  EXPECT_EQ(cancelled, 100);
  server.feeder.feed(bytes.substr(0, 0));
  EXPECT_LE(memory(), bound);
}

TEST_F(H2Abuse, ResetsOfClosedStreams) {
  expect_served(1);
  const int n = feed_until_over([](int) { return h2::rst_stream(1, h2::cancel); }, 20000);
  EXPECT_LE(n, 1001);
  expect_flood();
}

// ---- CVE-2025-8671: errors that make us reset.

TEST_F(H2Abuse, MadeYouResetByWindow) {
  const int n = feed_until_over(
      [](int i) {
        const auto id = static_cast<std::uint32_t>(1 + 2 * i);
        return h2::headers(id, h2::request_block(), h2::whole) + h2::window_update(id, 0x7fffffff);
      },
      20000);
  EXPECT_GE(n, 190);
  EXPECT_LE(n, 201);
  expect_flood();
  EXPECT_EQ(static_cast<std::size_t>(cancelled), server.events.sinks.size());
}

TEST_F(H2Abuse, MadeYouResetByLength) {
  const int n = feed_until_over(
      [](int i) {
        const auto id = static_cast<std::uint32_t>(1 + 2 * i);
        return h2::headers(id, h2::request_block("POST", {{"content-length", "1"}})) +
               h2::data(id, "xx");
      },
      20000);
  EXPECT_LE(n, 201);
  expect_flood();
  EXPECT_EQ(static_cast<std::size_t>(cancelled), server.events.sinks.size());
}

TEST_F(H2Abuse, MadeYouResetByBadHeads) {
  const int n = feed_until_over(
      [](int i) {
        const auto id = static_cast<std::uint32_t>(1 + 2 * i);
        return h2::headers(id, h2::request_block("GET", {{"Bad", "1"}}), h2::whole);
      },
      20000);
  EXPECT_LE(n, 201);
  expect_flood();
  EXPECT_EQ(server.events.sinks.size(), 0U);
}

TEST_F(H2Abuse, ResetsOfOurOwnChoiceDoNotCount) {
  for (std::uint32_t i = 0; i < 1000; ++i) {
    server.feeder.feed(h2::headers(1 + 2 * i, h2::request_block(), h2::whole));
    server.events.last().stream->reset(StreamEnd::connection_lost);
    server.feeder.settle();
    // In flight when the client did not know yet.
    server.feeder.feed(h2::window_update(1 + 2 * i, 10));
  }
  expect_served(2001);
}

// ---- CVE-2024-28182.

TEST_F(H2Abuse, ContinuationFlood) {
  server.feeder.feed(h2::headers(1, h2::request_block(), h2::end_stream));
  const int n = feed_until_over([](int) { return h2::continuation(1, "\x82", h2::none); }, 20000);
  EXPECT_LE(n, 9);
  expect_flood();
}

// ---- HPACK bombs.

TEST_F(H2Abuse, BombOfAFewLargeEntries) {
  const std::string big(3900, 'b');
  std::string references(2000, '\xbe');
  server.feeder.feed(
      h2::headers(1, h2::request_block() + h2::literal_added("x", big) + references, h2::whole));
  // 8 MB from 2 KB cannot be a mistake.
  EXPECT_EQ(goaway_code(), h2::enhance_your_calm);
  EXPECT_EQ(world.counters.floods.value(), 1U);
  EXPECT_LE(memory(), bound);
}

TEST_F(H2Abuse, BombOnManyStreams) {
  const std::string big(3900, 'b');
  server.feeder.feed(h2::settings({{h2::initial_window_size, 0}}));
  for (std::uint32_t i = 0; i < 100 && !server.wire.over(); ++i) {
    const std::string first = i == 0 ? h2::literal_added("x", big) : h2::indexed(62);
    server.feeder.feed(h2::headers(
        1 + 2 * i, h2::request_block("POST") + first + std::string(13, '\xbe'), h2::end_headers));
    note(server.wire.take());
    peak = std::max(peak, memory());
  }
  // Each head alone is allowed; together they are not: the rest are refused and may be retried.
  EXPECT_LE(peak, bound);
  EXPECT_GT(server.events.sinks.size(), 10U);
  EXPECT_LT(server.events.sinks.size(), 30U);
  EXPECT_EQ(count(h2::type_rst_stream), 100 - server.events.sinks.size());
  EXPECT_EQ(world.counters.refused.value(), 100 - server.events.sinks.size());
  EXPECT_FALSE(server.wire.finished);
  // Each of them is in the access log and the request metrics.
  const std::string& refused = server.events.refused;
  EXPECT_EQ(static_cast<std::size_t>(std::count(refused.begin(), refused.end(), '\n')),
            100 - server.events.sinks.size());
  EXPECT_EQ(refused.substr(0, 7), "0 POST ");
}

TEST_F(H2Abuse, BombOfManySmallFields) {
  // One byte each, on all streams (CVE-2026-47774): neither fields nor crumbs are unlimited.
  for (std::uint32_t i = 0; i < 90; ++i) {
    const std::string first = i == 0 ? h2::literal_added("cookie", "") : std::string("\xbe");
    server.feeder.feed(h2::headers(
        1 + 2 * i, h2::request_block("POST") + first + std::string(250, '\xbe'), h2::end_headers));
    peak = std::max(peak, memory());
  }
  EXPECT_LE(peak, bound);
  EXPECT_LE(server.events.sinks.size(), 60U);
  EXPECT_FALSE(server.wire.finished);
}

TEST_F(H2Abuse, FieldsWithoutEnd) {
  server.feeder.feed(
      h2::headers(1, h2::request_block() + h2::literal_added("cookie", ""), h2::whole));
  const std::size_t before = memory();
  for (std::uint32_t i = 1; i < 100; ++i) {
    server.feeder.feed(h2::headers(1 + 2 * i, h2::request_block("POST") + std::string(1500, '\xbe'),
                                   h2::end_headers));
  }
  EXPECT_EQ(server.events.sinks.size(), 1U);
  EXPECT_EQ(world.counters.too_large.value(), 99U);
  EXPECT_LE(memory(), before + 64 * 1024);
  EXPECT_FALSE(server.wire.finished);
}

TEST_F(H2Abuse, DiscardedFieldsAreCharged) {
  // CVE-2026-73550: Host beside :authority, by reference, which is not kept.
  std::string block =
      h2::request_block() + h2::literal_added("http2-settings", std::string(3000, 'h'));
  block += std::string(22, '\xbe');
  server.feeder.feed(h2::headers(1, block, h2::whole));
  EXPECT_EQ(server.events.sinks.size(), 0U);
  EXPECT_EQ(world.counters.too_large.value(), 1U);
}

TEST_F(H2Abuse, BlocksForNobodyAreCharged) {
  // The stream is reset, its trailers are a bomb.
  server.feeder.feed(h2::headers(1, h2::request_block("POST")));
  TestHead head(world.blocks);
  server.feeder.feed(h2::settings({{h2::initial_window_size, 0}}));
  Stream& stream = *server.events.last().stream;
  stream.send_head(head.response(200), false);
  stream.send_data("waits for the window", true);  // so the stream is still there
  server.feeder.settle();
  const std::string big(3900, 'b');
  server.feeder.feed(
      h2::headers(1, h2::literal_added("x", big) + std::string(2000, '\xbe'), h2::whole));
  EXPECT_EQ(goaway_code(), h2::enhance_your_calm);
}

TEST_F(H2Abuse, EmptyNames) {
  // CVE-2019-9516.
  std::string fields;
  for (int i = 0; i < 50; ++i) fields += h2::literal("", "");
  std::size_t warm = 0;
  for (std::uint32_t i = 0; i < 10000 && !server.wire.over(); ++i) {
    server.feeder.now_ms += 100;  // below the reset bucket's rate
    server.feeder.feed(h2::headers(1 + 2 * i, h2::request_block() + fields, h2::whole));
    server.wire.take();
    if (i == 100) warm = memory();
  }
  EXPECT_FALSE(server.wire.over());
  EXPECT_EQ(memory(), warm);
  EXPECT_EQ(server.events.sinks.size(), 0U);
}

TEST_F(H2Abuse, BlockOutOfStepNever) {
  // CVE-2023-32731: after an oversize block, the table is as it should be.
  std::string block = h2::request_block();
  for (int i = 0; i < 120; ++i) block += h2::literal("x" + std::to_string(i), "1");
  block += h2::literal_added("x-late", "kept");
  server.feeder.feed(h2::headers(1, block, h2::whole));
  server.feeder.feed(h2::headers(3, h2::request_block() + h2::indexed(62), h2::whole));
  ASSERT_EQ(server.events.sinks.size(), 1U);
  EXPECT_NE(server.events.last().head.find("x-late: kept"), std::string::npos);
}

// ---- CVE-2019-9518.

TEST_F(H2Abuse, EmptyDataFrames) {
  server.feeder.feed(h2::headers(1, h2::request_block("POST")));
  EXPECT_LE(feed_until_over([](int) { return h2::data(1, ""); }, 20000), 2);
  expect_flood();
}

TEST_F(H2Abuse, FramesOfPaddingOnly) {
  server.feeder.feed(h2::headers(1, h2::request_block("POST")));
  EXPECT_LE(feed_until_over([](int) { return h2::padded_data(1, "", 200); }, 20000), 2);
  expect_flood();
}

TEST_F(H2Abuse, PaddedFramesWithContentAreFine) {
  server.feeder.feed(h2::headers(1, h2::request_block("POST")));
  for (int i = 0; i < 100; ++i) {
    const std::string bytes = h2::padded_data(1, "x", 200);
    server.feeder.feed(bytes.substr(0, 15));  // the content apart from the padding
    server.feeder.feed(bytes.substr(15));
  }
  EXPECT_FALSE(server.wire.finished);
  EXPECT_EQ(server.events.last().body.size(), 100U);
}

TEST_F(H2Abuse, OneEmptyFrameNowAndThenIsFine) {
  server.feeder.feed(h2::headers(1, h2::request_block("POST")));
  for (int i = 0; i < 100; ++i) server.feeder.feed(h2::data(1, "") + h2::data(1, "x"));
  EXPECT_FALSE(server.wire.finished);
}

TEST_F(H2Abuse, EmptyBlocks) {
  server.feeder.feed(h2::headers(1, "", h2::none));
  EXPECT_LE(feed_until_over([](int) { return h2::continuation(1, "", h2::none); }, 20000), 2);
  expect_flood();
}

// ---- CVE-2019-9513 and 9511.

TEST_F(H2Abuse, PriorityFlood) {
  const int n = feed_until_over(
      [](int i) { return h2::priority(static_cast<std::uint32_t>(1 + 2 * (i % 1000)), 0); }, 20000);
  EXPECT_LE(n, 101);
  expect_flood();
}

TEST_F(H2Abuse, UnknownFrameFlood) {
  EXPECT_LE(feed_until_over([](int) { return h2::frame(0x50, 0, 0, "x"); }, 20000), 101);
  expect_flood();
}

TEST_F(H2Abuse, WindowUpdateFlood) {
  EXPECT_LE(feed_until_over([](int) { return h2::window_update(0, 1); }, 20000), 8);
  expect_flood();
}

TEST_F(H2Abuse, AClientThatReadsByteByByteMayUpdateAsOften) {
  server.feeder.feed(h2::headers(1, h2::request_block(), h2::whole));
  TestHead head(world.blocks);
  Stream& stream = *server.events.last().stream;
  stream.send_head(head.response(200), false);
  for (int i = 0; i < 2000; ++i) {
    stream.send_data("x", false);
    server.feeder.settle();
    server.feeder.feed(h2::window_update(0, 1) + h2::window_update(1, 1));
  }
  EXPECT_FALSE(server.wire.finished);
}

// ---- CVE-2019-9511 and 9517: responses that are not read.

TEST_F(H2Abuse, ZeroWindow) {
  server.feeder.feed(h2::settings({{h2::initial_window_size, 0}}));
  for (std::uint32_t i = 0; i < 100; ++i) {
    server.feeder.feed(h2::headers(1 + 2 * i, h2::request_block(), h2::whole));
    TestHead head(world.blocks);
    Stream& stream = *server.events.last().stream;
    stream.send_head(head.response(200), false);
    for (int k = 0; k < 100 && !stream.above_high(); ++k) {
      stream.send_data(std::string(4096, 'x'), false);
    }
    server.feeder.settle();
    peak = std::max(peak, memory());
  }
  EXPECT_LE(peak, bound);
  // The owner's timer ends them; all memory is returned.
  for (const auto& sink : server.events.sinks) sink->stream->reset(StreamEnd::idle);
  server.feeder.settle();
  server.wire.take();
  EXPECT_LE(memory(), 64U * 1024);
}

TEST_F(H2Abuse, UnreadSocket) {
  server.wire.blocked = true;
  server.wire.high = 256 * 1024;
  server.feeder.feed(h2::settings({{h2::initial_window_size, 0x7fffffff}}) +
                     h2::window_update(0, 0x7fff0000));
  for (std::uint32_t i = 0; i < 100; ++i) {
    server.feeder.feed(h2::headers(1 + 2 * i, h2::request_block(), h2::whole));
    TestHead head(world.blocks);
    Stream& stream = *server.events.last().stream;
    stream.send_head(head.response(200), false);
    for (int k = 0; k < 100 && !stream.above_high(); ++k) {
      stream.send_data(std::string(4096, 'x'), false);
    }
    server.feeder.settle();
    peak = std::max(peak, memory());
  }
  EXPECT_LE(peak, bound);
}

// ---- CVE-2026-27135: nothing is fed to the library once the end has begun.

TEST_F(H2Abuse, NothingIsFedAfterTheEnd) {
  const std::string bad[] = {h2::ping("short"),         h2::headers(1, h2::indexed(0), h2::whole),
                             h2::window_update(0, 0),   h2::frame(h2::type_settings, 0, 0, "12345"),
                             h2::headers(2, "x"),       h2::data(1, "x"),
                             h2::push_promise(1, 2, "")};
  for (const std::string& first : bad) {
    for (const std::string& second : bad) {
      H2ServerSide one(world);
      one.feeder.feed(h2::preface() + h2::settings_ack() + first + second + first);
      EXPECT_TRUE(one.wire.finished);
      std::string bytes = one.wire.take();
      std::size_t goaways = 0;
      for (const auto& f : h2::take_frames(bytes)) goaways += f.type == h2::type_goaway ? 1 : 0;
      EXPECT_EQ(goaways, 1U);
      // Everything that still arrives is discarded.
      EXPECT_EQ(one.codec.feed(second, 1), second.size());
      one.codec.produce();
      one.codec.output_drained();
      one.codec.drain();
      one.codec.input_ended();
      EXPECT_EQ(one.wire.take(), "");
    }
  }
}

// ---- CVE-2026-73513 and 26311.

TEST_F(H2Abuse, FramesAfterTheEndFindATombstone) {
  server.feeder.feed(h2::headers(1, h2::request_block("POST", {{"content-length", "1"}})));
  server.feeder.feed(h2::data(1, "too much"));
  EXPECT_EQ(cancelled, 1);
  // The client did not know yet: ignored, and the window is returned.
  for (int i = 0; i < 200; ++i) server.feeder.feed(h2::data(1, std::string(16384, 'x')));
  server.feeder.feed(h2::headers(1, h2::block({{"x-t", "1"}}), h2::whole));
  EXPECT_EQ(server.events.sinks.size(), 1U);
  EXPECT_EQ(server.events.last().misuse, "");
  EXPECT_GT(world.counters.glitches.value(), 200U);
  expect_served(3);
}

TEST_F(H2Abuse, ToleranceHasAnEnd) {
  server.feeder.feed(h2::headers(1, h2::request_block("POST", {{"Bad", "1"}})));
  EXPECT_LE(feed_until_over([](int) { return h2::data(1, "x"); }, 20000), 10001);
  expect_flood();
}

TEST_F(H2Abuse, OldResetsAreForgottenKindly) {
  // More streams than are remembered: late frames on any of them are not an error.
  for (std::uint32_t i = 0; i < 90; ++i) {
    server.feeder.feed(h2::headers(1 + 2 * i, h2::request_block("POST")));
    server.events.last().stream->reset(StreamEnd::local);
  }
  server.feeder.settle();
  for (std::uint32_t i = 0; i < 90; ++i) server.feeder.feed(h2::data(1 + 2 * i, "late"));
  expect_served(181);
}

// ---- Against a hostile server.

TEST_F(H2Abuse, AServerMayNotFloodEither) {
  for (const std::string& bytes :
       {h2::ping(), h2::settings(), h2::priority(1, 0), h2::frame(0x77, 0, 0, ""),
        h2::window_update(0, 1), h2::goaway(1, 0)}) {
    H2ClientSide client(world);
    RecordingSink sink;
    TestHead head(world.blocks);
    client.codec.open(sink).send_head(head.request(), true);
    client.feeder.settle();
    client.feeder.feed(h2::settings() + h2::settings_ack());
    for (int i = 0; i < 20000 && !client.wire.over(); ++i) client.feeder.feed(bytes);
    EXPECT_TRUE(client.wire.finished);
    EXPECT_EQ(sink.reset, StreamEnd::flood);
    EXPECT_EQ(client.events.retiring, 1);
  }
}

TEST_F(H2Abuse, AServerMayNotBombEither) {
  H2ClientSide client(world);
  RecordingSink sink;
  TestHead head(world.blocks);
  client.codec.open(sink).send_head(head.request(), true);
  client.feeder.settle();
  client.feeder.feed(h2::settings() + h2::settings_ack());
  client.feeder.feed(h2::headers(1,
                                 h2::response_block() +
                                     h2::literal_added("x", std::string(3900, 'b')) +
                                     std::string(2000, '\xbe'),
                                 h2::whole));
  EXPECT_TRUE(client.wire.finished);
  EXPECT_EQ(sink.reset, StreamEnd::flood);
}

}  // namespace
}  // namespace outrigger::http
