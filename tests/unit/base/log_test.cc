#include "base/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

namespace outrigger::log {
namespace {

// What one message looks like on stderr, without its time.
std::string written(Format format, std::string_view message, const Pairs& fields) {
  configure(Level::info, format);
  testing::internal::CaptureStderr();
  info("net", message, fields);
  std::string line = testing::internal::GetCapturedStderr();
  configure(Level::info, Format::text);
  return line.substr(std::min(line.size(), line.find("net")));
}

TEST(Log, TextThatPeersSendCannotForgeALineOrSteerATerminal) {
  EXPECT_EQ(written(Format::text, "odd\nnet: forged", {{"path", "/\x1b[2J\r\n\x7f\xC2\x9B\xFF"}}),
            "net: odd\\x0anet: forged path=\"/\\x1b[2J\\x0d\\x0a\\x7f\\xc2\\x9b\\xff\"\n");
}

TEST(Log, AFieldsValueCannotForgeAnotherField) {
  EXPECT_EQ(written(Format::text, "m", {{"reason", "no level=error"}, {"empty", ""}, {"b", "\""}}),
            "net: m reason=\"no level=error\" empty=\"\" b=\"\\\"\"\n");
  EXPECT_EQ(written(Format::text, "m", {{"address", "10.0.0.1:80"}, {"name", "größe"}}),
            "net: m address=10.0.0.1:80 name=größe\n");
}

TEST(Log, JsonStaysJsonWhateverBytesPeersSend) {
  EXPECT_EQ(written(Format::json, "m\n", {{"path", "\x1b\x7f\xC2\x9B\xFF\"\\ü"}}),
            "net\",\"message\":\"m\\u000a\",\"path\":\"\\u001b\\u007f\\u009b\\ufffd\\\"\\\\ü\"}\n");
}

// A one-page pipe that is full.
struct StuckPipe {
  StuckPipe() {
    EXPECT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    EXPECT_GT(fcntl(ends[1], F_SETPIPE_SZ, 4096), 0);
    const std::string page(4096, 'x');
    EXPECT_EQ(::write(ends[1], page.data(), page.size()), 4096);
  }
  ~StuckPipe() {
    close(ends[0]);
    close(ends[1]);
  }
  // Reads everything up to and including `word`.
  std::string read_until(std::string_view word) {
    std::string all;
    std::array<char, 65536> block{};
    while (all.find(word) == std::string::npos) {
      const ssize_t got = read(ends[0], block.data(), block.size());
      if (got <= 0) break;
      all.append(block.data(), static_cast<std::size_t>(got));
    }
    return all;
  }
  std::array<int, 2> ends{};
};

TEST(Log, APipeNobodyReadsHoldsUpNobodyAndWhatDoesNotFitIsCounted) {
  StuckPipe pipe;
  start_writer(pipe.ends[1]);
  const std::uint64_t before = dropped();
  const std::string value(1000, 'v');
  for (int i = 0; i < 3000; ++i) info("net", "busy", {{"value", value}});
  EXPECT_GT(dropped() - before, 1000U);
  stop_writer(milliseconds(100));  // returns although the pipe is not read
}

// Each read of the one-page pipe takes what one write has put there.
TEST(Log, OtherWritersOfAPipeComeBetweenLinesOnly) {
  StuckPipe pipe;
  start_writer(pipe.ends[1]);
  const std::string value(100, 'v');
  for (int i = 0; i < 100; ++i) info("net", "busy", {{"value", value}});
  info("net", "last");
  std::array<char, 4096> block{};
  ASSERT_EQ(read(pipe.ends[0], block.data(), block.size()), 4096);  // what it was stuck with
  for (std::string all; all.find("last") == std::string::npos;) {
    const ssize_t got = read(pipe.ends[0], block.data(), block.size());
    ASSERT_GT(got, 0);
    EXPECT_EQ(block[static_cast<std::size_t>(got) - 1], '\n');
    all.append(block.data(), static_cast<std::size_t>(got));
  }
  stop_writer(seconds(5));
}

TEST(Log, WhoReadsAgainIsToldHowManyLinesAreMissing) {
  StuckPipe pipe;
  start_writer(pipe.ends[1]);
  const std::uint64_t before = dropped();
  const std::string value(1000, 'v');
  for (int i = 0; i < 3000; ++i) info("net", "busy", {{"value", value}});
  const std::string told = pipe.read_until("lines of this log were dropped lines=");
  EXPECT_NE(told.find("busy"), std::string::npos);
  EXPECT_GT(dropped() - before, 0U);
  stop_writer(seconds(5));
}

}  // namespace
}  // namespace outrigger::log
