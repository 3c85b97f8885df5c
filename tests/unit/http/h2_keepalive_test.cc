// When a silent peer is sent a PING, and when it is given up: with a channel and a codec that do
// what the test says.

#include "http/h2_keepalive.h"

#include <gtest/gtest.h>

#include "support/manual_loop.h"

namespace outrigger::http {
namespace {

using Towards = H2Keepalive::Towards;

struct ScriptedChannel final : net::Channel {
  explicit ScriptedChannel(std::size_t& u) : unacked(u) {}
  void open(net::ChannelHandler&) override {}
  net::IoResult read(std::span<char>) override { return {net::IoResult::Kind::blocked}; }
  net::IoResult write(std::span<const iovec> from, bool) override {
    std::size_t size = 0;
    for (const iovec& part : from) size += part.iov_len;
    unacked += size;
    return {net::IoResult::Kind::done, size};
  }
  bool was_reset() const override { return false; }
  std::size_t unread() const override { return 0; }
  void shutdown_write() override {}
  std::size_t unacknowledged() const override { return unacked; }
  void close(bool) override {}
  std::string peer_address() const override { return {}; }
  std::string peer_host() const override { return {}; }
  std::string local_address() const override { return {}; }
  std::size_t& unacked;
};

struct ScriptedCodec final : Codec {
  std::size_t feed(std::string_view bytes, std::uint64_t) override { return bytes.size(); }
  void input_ended() override {}
  void connection_lost(bool) override {}
  void output_drained() override {}
  void drain() override {}
  Version version() const override { return Version::http2; }
  std::size_t open_streams() const override { return streams; }
  bool receiving_head() const override { return false; }
  void ping() override { pinged.push_back(loop->now()); }
  std::uint64_t message_frames() const override { return messages; }

  net::Loop* loop = nullptr;
  std::size_t streams = 0;
  std::uint64_t messages = 0;
  std::vector<TimePoint> pinged;
};

struct H2KeepaliveTest : testing::Test, net::ConnectionHandler {
  H2KeepaliveTest() {
    codec.loop = &loop;
    connection = std::make_unique<net::Connection>(loop, std::make_unique<ScriptedChannel>(unacked),
                                                   nullptr, connection_limits);
    connection->start(*this);
  }
  ~H2KeepaliveTest() override {
    if (!connection->closed()) connection->abort();
  }
  void watch(Towards towards) { keepalive.emplace(towards, *connection, codec, times, counters); }
  void open_stream() {
    ++codec.streams;
    keepalive->stream_opened();
  }
  // DATA or HEADERS; a PING acknowledgement.
  void message() {
    ++codec.messages;
    keepalive->heard();
  }
  void pong() { keepalive->heard(); }
  // Advances time, each PING acknowledged after a millisecond.
  void live(Duration by) {
    const TimePoint end = loop.now() + by;
    while (loop.now() < end) {
      const std::size_t before = codec.pinged.size();
      loop.advance(milliseconds(100));
      if (codec.pinged.size() > before) pong();
    }
  }
  int write(std::size_t size) {
    connection->output().append(std::string(size, 'x'));
    connection->flush();
    return 0;
  }

  void on_open() override {}
  std::size_t on_bytes(std::string_view bytes) override { return bytes.size(); }
  void on_end_of_input() override {}
  void on_drained() override {}
  void on_closed(net::CloseReason) override { ++closed; }

  test::ManualLoop loop;
  std::size_t unacked = 0;
  net::ConnectionLimits connection_limits;
  std::unique_ptr<net::Connection> connection;
  ScriptedCodec codec;
  KeepaliveTimes times;
  CodecCounters counters;
  std::optional<H2Keepalive> keepalive;
  int closed = 0;
};

TEST_F(H2KeepaliveTest, ASilentPeerIsAskedAfter30sAndGivenUp10sLater) {
  watch(Towards::server);
  open_stream();
  loop.advance(milliseconds(29'900));
  EXPECT_EQ(codec.pinged.size(), 0U);
  loop.advance(milliseconds(200));
  EXPECT_EQ(codec.pinged.size(), 1U);
  loop.advance(milliseconds(9'800));
  EXPECT_EQ(closed, 0);
  loop.advance(milliseconds(200));
  EXPECT_EQ(closed, 1);
  EXPECT_EQ(counters.keepalive_pings.value(), 1U);
  EXPECT_EQ(counters.keepalive_timeouts.value(), 1U);
}

TEST_F(H2KeepaliveTest, WhoeverSaysAnythingInTimeLives) {
  watch(Towards::client);
  open_stream();
  loop.advance(seconds(39));
  message();  // not an acknowledgement, but a sign of life
  loop.advance(seconds(29));
  EXPECT_EQ(codec.pinged.size(), 1U);
  EXPECT_EQ(closed, 0);
  loop.advance(seconds(2));
  EXPECT_EQ(codec.pinged.size(), 2U);
}

TEST_F(H2KeepaliveTest, WithoutStreamsNobodyIsAsked) {
  watch(Towards::server);
  loop.advance(hours(1));
  open_stream();
  codec.streams = 0;
  loop.advance(hours(1));
  EXPECT_EQ(codec.pinged.size(), 0U);
  // The half hour before does not count.
  open_stream();
  loop.advance(seconds(29));
  EXPECT_EQ(codec.pinged.size(), 0U);
  loop.advance(seconds(2));
  EXPECT_EQ(codec.pinged.size(), 1U);
}

TEST_F(H2KeepaliveTest, AnAnswerToABusyConnectionIsNeverWaitedForInVain) {
  watch(Towards::server);
  open_stream();
  loop.advance(seconds(31));
  codec.streams = 0;  // we reset the last stream
  loop.advance(seconds(60));
  EXPECT_EQ(closed, 0) << "nobody waits for anything any more";
}

TEST_F(H2KeepaliveTest, AClientIsAskedEvery30s) {
  watch(Towards::client);
  open_stream();
  live(seconds(305));
  EXPECT_EQ(codec.pinged.size(), 10U);
  EXPECT_EQ(closed, 0);
}

// What gRPC servers do: a PING within five minutes of the previous one is a strike, unless HEADERS
// or DATA were sent in between; after more than two strikes they end the connection.
TEST_F(H2KeepaliveTest, AQuietStreamOfAGrpcServerIsNeverTakenForAFlood) {
  watch(Towards::server);
  open_stream();
  live(hours(24));
  ASSERT_GT(codec.pinged.size(), 200U);
  int strikes = 0;
  for (std::size_t i = 1; i < codec.pinged.size(); ++i) {
    strikes += codec.pinged[i] - codec.pinged[i - 1] < minutes(5) ? 1 : 0;
  }
  EXPECT_EQ(strikes, 0);
}

TEST_F(H2KeepaliveTest, MessagesOfAServerAllowTheNextPingAfter30s) {
  watch(Towards::server);
  open_stream();
  for (int i = 1; i <= 20; ++i) {
    live(seconds(31));
    EXPECT_EQ(codec.pinged.size(), static_cast<std::size_t>(i));
    message();
  }
}

TEST_F(H2KeepaliveTest, WindowUpdatesOfAServerDoNot) {
  watch(Towards::server);
  open_stream();
  for (int i = 0; i < 9; ++i) {
    live(seconds(31));
    keepalive->heard();
  }
  EXPECT_EQ(codec.pinged.size(), 1U);
}

TEST_F(H2KeepaliveTest, APingBehindBytesThatMoveIsOnItsWay) {
  watch(Towards::client);
  open_stream();
  write(1'000'000);
  loop.advance(seconds(31));
  EXPECT_EQ(codec.pinged.size(), 1U);
  for (int i = 0; i < 10; ++i) {
    unacked -= 90'000;
    loop.advance(seconds(10));
    EXPECT_EQ(closed, 0) << i;
  }
  // The rest makes no more progress.
  loop.advance(seconds(11));
  EXPECT_EQ(closed, 1);
}

TEST_F(H2KeepaliveTest, ZeroTurnsItOff) {
  times.after = Duration::zero();
  watch(Towards::client);
  open_stream();
  loop.advance(hours(1));
  EXPECT_EQ(codec.pinged.size(), 0U);
  EXPECT_EQ(closed, 0);
}

}  // namespace
}  // namespace outrigger::http
