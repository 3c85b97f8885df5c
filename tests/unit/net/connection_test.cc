#include "net/connection.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "net/socket.h"
#include "support/manual_loop.h"

namespace outrigger::net {
namespace {

using test::ManualLoop;
using test::MemoryChannel;

struct Recorder : ConnectionHandler {
  void on_open() override { opened = true; }
  std::size_t on_bytes(std::string_view bytes) override {
    const std::size_t n = std::min(bytes.size(), consume_max);
    got.append(bytes.substr(0, n));
    largest = std::max(largest, bytes.size());
    ++deliveries;
    return n;
  }
  void on_end_of_input() override { ended = true; }
  void on_drained() override { ++drained; }
  void on_rest() override { ++rests; }
  std::size_t read_max() override { return piece_max; }
  bool ends_on_unread_reset() const override { return hears_reset; }
  void on_end_ahead(std::size_t most) override { end_within = most; }
  void on_output_waits() override { ++waits; }
  void on_closed(CloseReason reason) override {
    EXPECT_FALSE(closed.has_value());
    closed = reason;
    if (when_closed) when_closed();
  }
  bool opened = false;
  bool ended = false;
  int drained = 0;
  int rests = 0;
  int deliveries = 0;
  std::size_t largest = 0;
  std::size_t piece_max = Loop::scratch_size;
  std::size_t consume_max = ~std::size_t{0};
  std::string got;
  std::optional<CloseReason> closed;
  bool hears_reset = false;
  std::optional<std::size_t> end_within;
  int waits = 0;
  std::function<void()> when_closed;
};

const ConnectionLimits plain_limits;

struct ConnectionTest : testing::Test {
  explicit ConnectionTest(MemoryChannel::Options options = {}) {
    auto [a, b] = MemoryChannel::make(loop, options);
    channel_a = a.get();
    left = std::make_unique<Connection>(loop, std::move(a), nullptr, limits());
    right = std::make_unique<Connection>(loop, std::move(b), nullptr, limits());
    left->start(l);
    right->start(r);
    loop.settle();
  }
  static const ConnectionLimits& limits() {
    static const ConnectionLimits limits{.output_high = 100'000, .output_low = 10'000};
    return limits;
  }
  void send(Connection& c, std::string_view text) {
    c.output().append(text);
    c.flush();
    loop.settle();
  }

  ManualLoop loop;
  MemoryChannel* channel_a = nullptr;
  std::unique_ptr<Connection> left;
  std::unique_ptr<Connection> right;
  Recorder l;
  Recorder r;
};

TEST_F(ConnectionTest, bytes_pass_and_idle_connections_hold_no_buffer) {
  EXPECT_TRUE(l.opened && r.opened);
  send(*left, "hello");
  EXPECT_EQ(r.got, "hello");
  EXPECT_EQ(loop.buffers().bytes_in_use(), 0U);
}

TEST_F(ConnectionTest, unconsumed_bytes_come_again_in_front_of_new_ones) {
  r.consume_max = 0;
  send(*left, "abc");
  EXPECT_EQ(right->kept_input(), "abc");
  r.consume_max = 2;
  send(*left, "def");
  EXPECT_EQ(r.got, "ab");
  r.consume_max = 100;
  right->redeliver();
  loop.settle();
  EXPECT_EQ(r.got, "abcdef");
  EXPECT_EQ(loop.buffers().bytes_in_use(), 0U);
}

TEST_F(ConnectionTest, a_paused_reader_stops_the_writer_and_loses_nothing) {
  right->pause_reading(true);
  const std::string big(500'000, 'x');
  send(*left, big);
  EXPECT_EQ(r.got, "");
  EXPECT_TRUE(left->above_high());
  right->pause_reading(false);
  loop.settle();
  EXPECT_EQ(r.got, big);
  EXPECT_EQ(l.drained, 1);
}

TEST_F(ConnectionTest, kept_input_is_bounded) {
  r.consume_max = 0;
  send(*left, std::string(1'000'000, 'x'));
  EXPECT_LE(right->kept_input().size(), 128U * 1024);
  EXPECT_GT(left->unsent(), 700'000U);
}

TEST_F(ConnectionTest, no_more_is_read_at_once_than_its_handler_wants) {
  const std::string big(100'000, 'x');
  r.piece_max = 1000;
  send(*left, big);
  EXPECT_EQ(r.largest, 1000U);
  EXPECT_EQ(r.got, big);
}

TEST_F(ConnectionTest, flushes_of_one_turn_leave_in_one_write) {
  const int before = channel_a->writes;
  for (int i = 0; i < 10; ++i) {
    left->output().append("frame");
    left->flush_soon();
  }
  loop.settle();
  EXPECT_EQ(channel_a->writes, before + 1);
}

TEST_F(ConnectionTest, half_close_is_told_and_the_other_direction_goes_on) {
  left->output().append("last");
  left->end_output();
  loop.settle();
  EXPECT_EQ(r.got, "last");
  EXPECT_TRUE(r.ended);
  EXPECT_FALSE(r.closed);
  send(*right, "still here");
  EXPECT_EQ(l.got, "still here");
  right->end_output();
  loop.settle();
  EXPECT_TRUE(l.closed.has_value());
  EXPECT_TRUE(r.closed.has_value());
}

TEST_F(ConnectionTest, finish_sends_all_then_waits_for_the_peer) {
  right->pause_reading(true);
  left->output().append(std::string(300'000, 'y'));
  left->finish();
  loop.settle();
  EXPECT_FALSE(l.closed);
  right->pause_reading(false);
  loop.settle();
  EXPECT_EQ(r.got.size(), 300'000U);
  EXPECT_TRUE(r.ended);
  right->finish();
  loop.settle();
  EXPECT_EQ(l.closed, CloseReason::finished);
  EXPECT_EQ(r.closed, CloseReason::finished);
}

TEST_F(ConnectionTest, finish_without_lingering_closes_when_all_is_sent) {
  right->pause_reading(true);
  left->output().append(std::string(300'000, 'y'));
  left->finish(Linger::no);
  loop.settle();
  EXPECT_FALSE(l.closed);
  right->pause_reading(false);
  loop.settle();
  EXPECT_EQ(r.got.size(), 300'000U);
  EXPECT_EQ(l.closed, CloseReason::finished);
}

TEST_F(ConnectionTest, finish_lingers_while_input_is_unread) {
  left->pause_reading(true);
  send(*right, "unread");
  left->output().append("last");
  left->finish(Linger::no);
  loop.settle();
  EXPECT_EQ(r.got, "last");
  EXPECT_FALSE(l.closed);
  right->finish();
  loop.settle();
  EXPECT_EQ(l.closed, CloseReason::finished);
}

TEST_F(ConnectionTest, finish_does_not_wait_for_ever) {
  left->finish();
  loop.advance(seconds(3));
  EXPECT_EQ(l.closed, CloseReason::finished);
}

TEST_F(ConnectionTest, a_reset_is_told_once) {
  right->abort(true);
  loop.settle();
  EXPECT_EQ(l.closed, CloseReason::peer_reset);
  EXPECT_FALSE(r.closed);  // whoever aborts is not notified
}

// One packet instead of two, and the peer wakes up once.
TEST_F(ConnectionTest, last_bytes_leave_together_with_fin) {
  send(*left, "hello");
  EXPECT_EQ(channel_a->last_writes, 0);
  left->output().append("bye");
  left->finish(Linger::yes);
  EXPECT_EQ(channel_a->last_writes, 1);
  loop.settle();
  EXPECT_EQ(r.got, "hellobye");
  EXPECT_TRUE(r.ended);
  EXPECT_EQ(channel_a->writes, 2);
}

TEST_F(ConnectionTest, a_close_without_lingering_comes_with_the_last_bytes) {
  send(*left, "hello");
  left->output().append("bye");
  left->finish(Linger::no);
  EXPECT_EQ(channel_a->last_writes, 1);
  EXPECT_FALSE(l.closed.has_value()) << "not from inside the call";
  loop.settle();
  EXPECT_EQ(l.closed, CloseReason::finished);
  EXPECT_EQ(r.got, "hellobye");
  EXPECT_TRUE(r.ended);
}

TEST_F(ConnectionTest, the_rest_of_a_last_write_follows) {
  const std::string big(300'000, 'x');
  left->output().append(big);
  left->finish(Linger::no);
  EXPECT_FALSE(l.closed.has_value());
  loop.settle();
  EXPECT_EQ(r.got, big);
  EXPECT_TRUE(r.ended);
  EXPECT_EQ(l.closed, CloseReason::finished);
}

TEST_F(ConnectionTest, kill_tells_its_handler_at_the_end_of_the_turn) {
  left->kill(false);
  EXPECT_FALSE(l.closed);
  loop.settle();
  EXPECT_EQ(l.closed, CloseReason::aborted);
}

TEST_F(ConnectionTest, a_write_error_is_told_after_the_call) {
  right->abort(true);
  left->output().append("x");
  left->flush();
  EXPECT_FALSE(l.closed);
  loop.settle();
  EXPECT_EQ(l.closed, CloseReason::peer_reset);
}

TEST_F(ConnectionTest, a_connection_rests_when_nothing_moves_and_again_after_traffic) {
  for (int round = 1; round <= 3; ++round) {
    send(*left, "hello");
    for (int i = 0; i < 10; ++i) {
      loop.advance(milliseconds(100));
      send(*left, "more");
    }
    EXPECT_EQ(r.rests, round - 1);
    loop.advance(seconds(1));
    EXPECT_EQ(r.rests, round);
    // Once is enough, however long the idle time.
    loop.advance(seconds(60));
    EXPECT_EQ(r.rests, round);
  }
  EXPECT_EQ(loop.buffers().bytes_in_use(), 0U);
  EXPECT_EQ(loop.take_rested(), 3U);
}

TEST(ConnectionSize, thousands_may_be_idle) {
  // An idle HTTP/1 connection should cost less than 1 KiB in all; this is a quarter of it.
  EXPECT_LE(sizeof(Connection), 280U);  // what malloc returns for 272 too
  EXPECT_LE(sizeof(SocketChannel), 96U);
  EXPECT_LE(sizeof(SocketAddress), 48U);
}

TEST(SocketAddressTest, a_copy_names_the_same_address) {
  const auto named = SocketAddress::unix_path("/run/app.sock");
  ASSERT_TRUE(named);
  const SocketAddress copy = *named;
  EXPECT_EQ(copy.to_string(), "unix:/run/app.sock");
  EXPECT_EQ(copy.family(), AF_UNIX);
  EXPECT_STREQ(reinterpret_cast<const sockaddr_un*>(copy.get())->sun_path, "/run/app.sock");
  sockaddr_un unnamed{};
  unnamed.sun_family = AF_UNIX;
  const SocketAddress client(reinterpret_cast<const sockaddr*>(&unnamed), sizeof(sa_family_t));
  EXPECT_EQ(client.to_string(), "unix");
  EXPECT_EQ(SocketAddress::ip("10.0.0.7", 80).to_string(), "10.0.0.7:80");
  EXPECT_EQ(SocketAddress::ip("fd00::7", 80).to_string(), "[fd00::7]:80");
  EXPECT_EQ(SocketAddress::ip("0.0.0.0", 80).host(), "0.0.0.0");
  EXPECT_EQ(SocketAddress::ip("255.255.255.255", 80).host(), "255.255.255.255");
  EXPECT_EQ(SocketAddress::ip("fd00::7", 80).host(), "fd00::7");
}

SocketAddress address_of(const Fd& listener) {
  sockaddr_in name{};
  socklen_t length = sizeof name;
  EXPECT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&name), &length), 0);
  return SocketAddress::ip("127.0.0.1", ntohs(name.sin_port));
}

// A poller reports a hang-up for both: only one of them has lost bytes.
TEST(SocketChannelTest, the_end_of_both_sides_is_not_a_reset) {
  ManualLoop loop;
  const auto pair = [&loop](int family) {
    std::array<int, 2> ends{-1, -1};
    if (family == AF_UNIX) {
      EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    } else {
      const auto listener = listen_on(SocketAddress::ip("127.0.0.1", 0), {});
      EXPECT_TRUE(listener);
      int error = 0;
      Fd one = connect_to(address_of(*listener), error);
      pollfd ready{listener->get(), POLLIN, 0};
      EXPECT_EQ(::poll(&ready, 1, 5000), 1);
      ends = {one.release(), ::accept(listener->get(), nullptr, nullptr)};
    }
    return std::pair(Fd(ends[0]),
                     std::make_unique<SocketChannel>(loop, Fd(ends[1]), SocketAddress()));
  };
  for (const int family : {AF_INET, AF_UNIX}) {
    auto [theirs, ours] = pair(family);
    ASSERT_EQ(::send(theirs.get(), "unread", 6, MSG_NOSIGNAL), 6);
    ours->shutdown_write();
    EXPECT_FALSE(ours->was_reset());
    theirs.reset();  // FIN
    EXPECT_FALSE(ours->was_reset()) << family;
    EXPECT_EQ(ours->unread(), 6U);
  }
  for (const int family : {AF_INET, AF_UNIX}) {
    auto [theirs, ours] = pair(family);
    std::array<iovec, 1> parts{iovec{const_cast<char*>("unread"), 6}};
    ASSERT_EQ(ours->write(parts, false).bytes, 6U);
    theirs.reset();  // a close with unread bytes
    EXPECT_TRUE(ours->was_reset()) << family;
  }
}

TEST(ConnectionConnect, a_refused_connect_is_told) {
  ManualLoop loop;
  auto [a, b] = MemoryChannel::make(loop);
  a->connect_error = ECONNREFUSED;
  Connection c(loop, std::move(a), nullptr, plain_limits);
  Recorder r;
  c.start(r, true, seconds(1));
  loop.settle();
  EXPECT_EQ(r.closed, CloseReason::connect_failed);
  EXPECT_EQ(c.error(), ECONNREFUSED);
}

TEST(ConnectionConnect, a_connect_that_hangs_times_out) {
  ManualLoop loop;
  auto [a, b] = MemoryChannel::make(loop);
  a->connect_error = EINPROGRESS;
  Connection c(loop, std::move(a), nullptr, plain_limits);
  Recorder r;
  c.start(r, true, seconds(1));
  loop.advance(milliseconds(900));
  EXPECT_FALSE(r.closed);
  loop.advance(milliseconds(200));
  EXPECT_EQ(r.closed, CloseReason::connect_timeout);
}

TEST(ConnectionBulk, every_fragment_size_gives_the_same_bytes) {
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += static_cast<char>('a' + i % 26);
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{1000}, std::size_t{65536}}) {
    ManualLoop loop;
    auto [a, b] = MemoryChannel::make(loop, {.capacity = size, .read_max = size});
    Connection left(loop, std::move(a), nullptr, plain_limits);
    Connection right(loop, std::move(b), nullptr, plain_limits);
    Recorder l;
    Recorder r;
    left.start(l);
    right.start(r);
    left.write_through(text);
    loop.settle();
    EXPECT_EQ(r.got, text) << size;
  }
}

// --- One way to the end --------------------------------------------------------------------------

// A codec releases its pauses when the connection ends; that must not look like a second end.
TEST_F(ConnectionTest, a_paused_connection_that_ends_is_told_once) {
  left->pause_reading(true);
  l.when_closed = [this] {
    left->pause_reading(false);
    left->redeliver();
    left->flush_soon();
  };
  right->abort(true);
  left->output().append("x");
  left->flush();
  loop.settle();
  EXPECT_EQ(l.closed, CloseReason::peer_reset);
}

TEST_F(ConnectionTest, a_paused_connection_that_is_killed_is_told_once) {
  left->pause_reading(true);
  l.when_closed = [this] { left->pause_reading(false); };
  left->kill(true);
  left->kill(false);
  loop.settle();
  EXPECT_EQ(l.closed, CloseReason::aborted);
}

TEST_F(ConnectionTest, who_aborts_what_was_killed_hears_nothing) {
  left->kill(true);
  left->abort();
  loop.settle();
  EXPECT_FALSE(l.closed);
}

// --- Turns ---------------------------------------------------------------------------------------

// Consumes one byte and asks for the rest again, as long as there is any.
struct Nibbler final : ConnectionHandler {
  void on_open() override {}
  std::size_t on_bytes(std::string_view) override {
    ++deliveries;
    connection->redeliver();
    return 1;
  }
  void on_end_of_input() override {}
  void on_drained() override {}
  void on_closed(CloseReason) override {}
  Connection* connection = nullptr;
  int deliveries = 0;
};

TEST_F(ConnectionTest, what_is_delivered_again_waits_for_the_next_turn) {
  Nibbler nibbler;
  nibbler.connection = right.get();
  right->set_handler(nibbler);
  left->output().append(std::string(100, 'x'));
  left->flush();
  for (int turn = 1; turn <= 50; ++turn) {
    const int before = nibbler.deliveries;
    loop.turn();
    EXPECT_LE(nibbler.deliveries, before + 1) << turn;
  }
  loop.settle();
  EXPECT_GE(nibbler.deliveries, 100);
}

// Responds to each piece at once, as a codec does.
struct Answerer final : ConnectionHandler {
  void on_open() override {}
  std::size_t read_max() override { return 1000; }
  std::size_t on_bytes(std::string_view bytes) override {
    ++deliveries;
    connection->output().append("!");
    connection->flush_soon();
    return bytes.size();
  }
  void on_end_of_input() override {}
  void on_drained() override {}
  void on_closed(CloseReason) override {}
  Connection* connection = nullptr;
  int deliveries = 0;
};

// The turn's read share is used up, and the responses so far are sent in the same turn.
TEST_F(ConnectionTest, an_answer_is_not_put_off_with_the_reading_nor_brings_it_forward) {
  auto [a, b] = MemoryChannel::make(loop, {.capacity = 1'000'000});
  Recorder writer;
  Answerer answerer;
  const ConnectionLimits limits;
  Connection writing(loop, std::move(a), nullptr, limits);
  Connection answering(loop, std::move(b), nullptr, limits);
  answerer.connection = &answering;
  writing.start(writer);
  answering.start(answerer);
  loop.settle();
  writing.output().append(std::string(20'000, 'x'));
  writing.flush();
  for (int turn = 1; turn <= 8; ++turn) {
    const int before = answerer.deliveries;
    loop.turn();
    // One share when the poller reports, and one among the postponed reads.
    EXPECT_LE(answerer.deliveries - before, 8) << turn;
    EXPECT_EQ(answering.unsent(), 0U) << turn;
  }
  loop.settle();
  EXPECT_EQ(answerer.deliveries, 20);
  EXPECT_EQ(writer.got.size(), 20U);
}

// --- Ends that nobody reads ----------------------------------------------------------------------

TEST_F(ConnectionTest, who_takes_over_hears_of_an_end_that_came_before) {
  r.consume_max = 0;
  left->output().append("kept");
  left->end_output();
  loop.settle();
  EXPECT_TRUE(r.ended);
  Recorder next;
  right->set_handler(next);
  EXPECT_FALSE(next.ended) << "not from inside the call";
  loop.settle();
  EXPECT_EQ(next.got, "kept");
  EXPECT_TRUE(next.ended);
}

TEST_F(ConnectionTest, a_reset_is_heard_of_while_reading_is_paused) {
  l.hears_reset = true;
  left->pause_reading(true);
  send(*right, "unread");
  right->abort(true);
  loop.settle();
  EXPECT_EQ(l.closed, CloseReason::peer_reset);
}

TEST_F(ConnectionTest, a_reset_is_heard_of_while_kept_input_stops_the_reading) {
  l.hears_reset = true;
  l.consume_max = 0;
  send(*right, std::string(500'000, 'x'));
  right->abort(true);
  loop.settle();
  EXPECT_EQ(l.closed, CloseReason::peer_reset);
}

TEST_F(ConnectionTest, what_an_endpoint_said_before_its_reset_waits_for_its_reader) {
  left->pause_reading(true);
  send(*right, "unread");
  right->abort(true);
  loop.settle();
  EXPECT_FALSE(l.closed);
  left->pause_reading(false);
  loop.settle();
  EXPECT_TRUE(l.closed);
}

TEST_F(ConnectionTest, how_far_the_end_is_away_is_told_while_reading_is_paused) {
  left->pause_reading(true);
  right->output().append("unread");
  right->end_output();
  loop.settle();
  EXPECT_EQ(l.end_within, 6U);
  EXPECT_FALSE(l.ended);
  left->pause_reading(false);
  loop.settle();
  EXPECT_EQ(l.got, "unread");
  EXPECT_TRUE(l.ended);
}

// --- Readers that do not read --------------------------------------------------------------------

TEST_F(ConnectionTest, last_bytes_have_as_long_as_their_reader_takes_some) {
  right->pause_reading(true);
  left->output().append(std::string(1'000'000, 'y'));
  left->finish();
  for (int i = 0; i < 6; ++i) {
    loop.advance(seconds(20));
    EXPECT_FALSE(l.closed) << i;
    right->pause_reading(false);
    loop.turn();
    right->pause_reading(true);
  }
  loop.advance(seconds(61));
  EXPECT_EQ(l.closed, CloseReason::write_stalled);
}

TEST_F(ConnectionTest, output_that_waits_is_told_however_it_began_to_wait) {
  right->pause_reading(true);
  loop.advance(seconds(5));
  EXPECT_EQ(l.waits, 0);
  send(*left, std::string(300'000, 'y'));
  loop.advance(seconds(1));
  EXPECT_GE(l.waits, 1);
}

// The kernel takes a peer with a closed window for dead.
TEST_F(ConnectionTest, a_reader_with_a_shut_window_is_not_taken_for_dead_but_a_silent_one_is) {
  const ConnectionLimits bounded{.peer_silence = seconds(30)};
  auto [a, b] = MemoryChannel::make(loop);
  MemoryChannel* const channel = a.get();
  Recorder writer;
  Recorder reader;
  Connection writing(loop, std::move(a), nullptr, bounded);
  Connection reading(loop, std::move(b), nullptr, bounded);
  writing.start(writer, true, seconds(1));
  reading.start(reader);
  loop.settle();
  EXPECT_EQ(channel->silence_max, seconds(30));
  reading.pause_reading(true);
  send(writing, std::string(300'000, 'y'));
  loop.advance(minutes(10));
  EXPECT_FALSE(writer.closed);
  EXPECT_EQ(channel->silence_max, Duration(0)) << "lifted";
  reading.pause_reading(false);
  loop.settle();
  EXPECT_EQ(channel->silence_max, seconds(30)) << "and set again";
  reading.pause_reading(true);
  send(writing, std::string(300'000, 'y'));
  loop.advance(seconds(20));
  channel->silent = true;
  loop.advance(seconds(6));
  EXPECT_EQ(writer.closed, CloseReason::timed_out);
}

// What a peer sent before it closed is read even if the first sign of the close is a failed write.
TEST_F(ConnectionTest, last_words_are_read_before_a_failed_write_is_told) {
  struct Hook final : TurnHook {
    explicit Hook(std::function<void()> f) : act(std::move(f)) {}
    void on_turn_end() override { act(); }
    std::function<void()> act;
  };
  // All at the end of one turn, so that the failed write is found before the poller reports the
  // bytes.
  Hook hook([this] {
    right->output().append("last words");
    right->flush();
    right->abort(false);
    left->output().append("late");
    left->flush();
  });
  loop.at_turn_end(hook);
  loop.settle();
  EXPECT_EQ(l.got, "last words");
  EXPECT_EQ(l.closed, CloseReason::peer_reset);
}

TEST_F(ConnectionTest, however_many_last_words_there_are) {
  const std::string words(600'000, 'w');
  auto [a, b] = MemoryChannel::make(loop, {.capacity = 1'000'000});
  Recorder reader;
  Recorder writer;
  const ConnectionLimits limits;
  Connection reading(loop, std::move(a), nullptr, limits);
  Connection writing(loop, std::move(b), nullptr, limits);
  reading.start(reader);
  writing.start(writer);
  reading.pause_reading(true);
  writing.output().append(words);
  writing.flush();
  loop.settle();
  writing.abort(false);
  reading.pause_reading(false);
  reading.output().append("late");
  reading.flush();
  loop.settle();
  EXPECT_EQ(reader.got.size(), words.size());
  EXPECT_TRUE(reader.closed.has_value());
}

}  // namespace
}  // namespace outrigger::net
