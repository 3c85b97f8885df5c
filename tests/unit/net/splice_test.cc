// Bulk data between two sockets moves through a pipe. Real sockets and the real, edge-triggered
// loop: a missed edge makes the test hang.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <semaphore>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "net/connection.h"
#include "net/event_loop.h"
#include "net/pipe.h"
#include "net/socket.h"

namespace outrigger::net {
namespace {

const ConnectionLimits limits;

// Forwards what it receives to another connection, as a TCP session does.
struct Relay : ConnectionHandler {
  void on_open() override {}
  std::size_t on_bytes(std::string_view bytes) override {
    copied += bytes.size();
    to->write_through(bytes);
    hold_back();
    return bytes.size();
  }
  bool on_bulk(Channel& channel, IoResult& result) override {
    if (!to->splice_from(channel, result)) return false;
    if (result.kind == IoResult::Kind::done) moved += result.bytes;
    hold_back();
    return true;
  }
  void hold_back() {
    if (!to->above_high()) return;
    from->pause_reading(true);
    if (when_held) when_held();
  }
  void on_end_of_input() override { to->end_output(); }
  void on_drained() override { to->pause_reading(false); }
  void on_closed(CloseReason r) override {
    reason = r;
    if (when_closed) when_closed();
  }

  Connection* from = nullptr;
  Connection* to = nullptr;
  std::size_t copied = 0;
  std::size_t moved = 0;
  std::optional<CloseReason> reason;
  std::function<void()> when_held;
  std::function<void()> when_closed;
};

// writer <-> (a: connection b) … relay … (connection c: d) <-> reader
struct SpliceTest : testing::Test {
  SpliceTest() {
    std::tie(writer, source) = pair();
    std::tie(reader, sink) = pair();
    in.from = source.get();
    in.to = sink.get();
    out.from = sink.get();
    out.to = source.get();
    in.when_closed = out.when_closed = [this] {
      if (in.reason && out.reason) loop.stop();
    };
    source->start(in);
    sink->start(out);
  }
  ~SpliceTest() override {
    if (thread.joinable()) thread.join();
  }

  std::pair<Fd, std::unique_ptr<Connection>> pair() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    EXPECT_EQ(::fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    auto channel = std::make_unique<SocketChannel>(loop, Fd(ends[1]), SocketAddress());
    return {Fd(ends[0]), std::make_unique<Connection>(loop, std::move(channel), nullptr, limits)};
  }

  // Consecutive numbers: none may be lost, duplicated or reordered.
  static void send_numbers(int fd, std::size_t bytes) {
    std::vector<std::uint32_t> block(std::size_t{64} * 1024);
    std::uint32_t next = 0;
    for (std::size_t sent = 0; sent < bytes; sent += block.size() * 4) {
      for (auto& number : block) number = next++;
      send_all(fd, {reinterpret_cast<const char*>(block.data()), block.size() * 4});
    }
  }
  static void send_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  static std::string read_to_the_end(int fd) {
    std::string got;
    std::vector<char> block(std::size_t{1} << 20);
    for (;;) {
      const ssize_t n = ::recv(fd, block.data(), block.size(), 0);
      if (n <= 0) return got;
      got.append(block.data(), static_cast<std::size_t>(n));
    }
  }
  static void expect_numbers(std::string_view got, std::size_t bytes) {
    ASSERT_EQ(got.size(), bytes);
    for (std::size_t i = 0; i < bytes / 4; ++i) {
      std::uint32_t number = 0;
      std::memcpy(&number, got.data() + i * 4, 4);
      ASSERT_EQ(number, i);
    }
  }
  // Runs the whole upload through the loop, to the end of both connections.
  std::string pass(std::size_t bytes) {
    std::string got;
    thread = std::thread([this, bytes, &got] {
      std::thread sender([this, bytes] {
        send_numbers(writer.get(), bytes);
        ::shutdown(writer.get(), SHUT_WR);
      });
      got = read_to_the_end(reader.get());
      sender.join();
      reader.reset();
      writer.reset();
    });
    loop.run();
    thread.join();
    return got;
  }

  // Runs once, when the reader has stopped reading and a pipe is held; the copied beginning does
  // not count.
  void when_a_pipe_waits(std::function<void()> what) {
    in.when_held = [this, what = std::move(what)] {
      if (loop.pipes().in_use() == 0) return;
      const auto now = what;
      in.when_held = nullptr;
      now();
    };
  }

  static constexpr std::size_t bulk = std::size_t{32} << 20;

  EventLoop loop;
  Relay in;
  Relay out;
  Fd writer;
  Fd reader;
  std::unique_ptr<Connection> source;
  std::unique_ptr<Connection> sink;
  std::thread thread;
};

TEST_F(SpliceTest, bulk_arrives_whole_and_mostly_uncopied) {
  expect_numbers(pass(bulk), bulk);
  EXPECT_EQ(in.moved + in.copied, bulk);
  EXPECT_EQ(sink->bytes_written(), bulk);
  EXPECT_EQ(source->bytes_read(), bulk);
  EXPECT_GT(in.moved, bulk / 2);
  EXPECT_EQ(loop.pipes().in_use(), 0U);
}

TEST_F(SpliceTest, without_pipes_everything_is_copied) {
  loop.pipes().refuse();
  expect_numbers(pass(bulk), bulk);
  EXPECT_EQ(in.copied, bulk);
}

TEST_F(SpliceTest, small_messages_are_copied) {
  std::string got;
  thread = std::thread([this, &got] {
    for (int i = 0; i < 100; ++i) {
      send_all(writer.get(), std::string(1000, 'x'));
      std::string message(1000, 0);
      ASSERT_EQ(::recv(reader.get(), message.data(), message.size(), MSG_WAITALL), 1000);
      got += message;
    }
    writer.reset();
    reader.reset();
  });
  loop.run();
  thread.join();
  EXPECT_EQ(got.size(), 100'000U);
  EXPECT_EQ(in.moved, 0U);
}

TEST_F(SpliceTest, what_a_slow_reader_leaves_waits_in_the_pipe_and_goes_before_what_follows) {
  std::binary_semaphore held(0);
  when_a_pipe_waits([&] {
    EXPECT_GT(sink->unsent(), 0U);
    EXPECT_TRUE(sink->output_waits());
    source->abort();
    sink->write_through("the end");
    sink->end_output();
    held.release();
  });
  out.when_closed = [this] { loop.stop(); };
  std::string got;
  std::thread sender([this] { send_numbers(writer.get(), bulk); });
  thread = std::thread([&] {
    held.acquire();
    got = read_to_the_end(reader.get());
    reader.reset();
  });
  loop.run();
  thread.join();
  sender.join();
  EXPECT_EQ(sink->bytes_written(), got.size());
  ASSERT_GT(got.size(), 7U);
  EXPECT_EQ(got.substr(got.size() - 7), "the end");
  expect_numbers(got.substr(0, got.size() - 7), in.copied + in.moved);
  EXPECT_EQ(loop.pipes().in_use(), 0U);
}

TEST_F(SpliceTest, a_slow_reader_gets_everything) {
  std::binary_semaphore held(0);
  when_a_pipe_waits([&] { held.release(); });
  std::string got;
  std::thread sender([this] {
    send_numbers(writer.get(), bulk);
    ::shutdown(writer.get(), SHUT_WR);
  });
  thread = std::thread([&] {
    held.acquire();
    got = read_to_the_end(reader.get());
    sender.join();
    reader.reset();
    writer.reset();
  });
  loop.run();
  thread.join();
  expect_numbers(got, bulk);
}

TEST_F(SpliceTest, a_pipe_that_still_holds_bytes_serves_nobody_else) {
  when_a_pipe_waits([&] {
    sink->abort();
    source->abort();
    loop.stop();
  });
  std::thread sender([this] { send_numbers(writer.get(), bulk); });
  loop.run();
  sender.join();
  EXPECT_EQ(loop.pipes().in_use(), 0U);
  const auto pipe = loop.pipes().take();
  ASSERT_TRUE(pipe);
  EXPECT_EQ(pipe->held(), 0U);
  // Verifies that the pipe is empty: what goes in comes out first.
  Fd to;
  Fd from;
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  from = Fd(ends[0]);
  to = Fd(ends[1]);
  send_all(to.get(), "fresh");
  ASSERT_EQ(pipe->fill_from(from.get()).bytes, 5U);
  ASSERT_EQ(pipe->drain_to(from.get()).bytes, 5U);
  std::array<char, 16> got{};
  ASSERT_EQ(::recv(to.get(), got.data(), got.size(), 0), 5);
  EXPECT_STREQ(got.data(), "fresh");
}

// Otherwise a later read would find nothing but the end, and a truncated stream would look
// complete.
TEST_F(SpliceTest, an_error_of_the_socket_is_not_taken_for_a_kernel_that_cannot_splice) {
  int error = 0;
  Fd refused;
  {
    const auto listener = listen_on(SocketAddress::ip("127.0.0.1", 0), {.later = true});
    ASSERT_TRUE(listener);
    sockaddr_in name{};
    socklen_t length = sizeof name;
    ::getsockname(listener->get(), reinterpret_cast<sockaddr*>(&name), &length);
    refused = connect_to(SocketAddress::ip("127.0.0.1", ntohs(name.sin_port)), error);
  }
  ASSERT_TRUE(refused.valid());
  SocketChannel dead(loop, std::move(refused), SocketAddress());
  IoResult result;
  EXPECT_TRUE(sink->splice_from(dead, result));
  EXPECT_EQ(result.kind, IoResult::Kind::failed);
  EXPECT_EQ(result.error, ECONNREFUSED);
  const auto pipe = loop.pipes().take();
  EXPECT_TRUE(pipe) << "others may still splice";
  source->abort();
  sink->abort();
}

TEST(PipePool, has_a_bound_and_keeps_a_few) {
  PipePool pool;
  std::vector<std::unique_ptr<Pipe>> taken;
  while (auto pipe = pool.take()) taken.push_back(std::move(pipe));
  EXPECT_EQ(taken.size(), PipePool::most);
  pool.give(std::move(taken.back()));
  taken.pop_back();
  auto again = pool.take();
  EXPECT_TRUE(again);
  pool.give(std::move(again));
  for (auto& pipe : taken) pool.give(std::move(pipe));
  EXPECT_EQ(pool.in_use(), 0U);
  pool.refuse();
  EXPECT_FALSE(pool.take());
}

TEST(PipePool, without_descriptors_there_is_none) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  PipePool pool;
  rlimit none = before;
  none.rlim_cur = 3;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto pipe = pool.take();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_FALSE(pipe);
  EXPECT_EQ(pool.in_use(), 0U);
}

}  // namespace
}  // namespace outrigger::net
