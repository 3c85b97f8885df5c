#include "telemetry/process.h"

#include <gtest/gtest.h>

namespace outrigger::telemetry {
namespace {

TEST(Process, a_stat_line) {
  const std::string_view line =
      "4242 (a (b) c) S 1 4242 4242 0 -1 4194560 1000 0 3 0 250 150 0 0 20 0 7 0 12345 "
      "104857600 2560 18446744073709551615 1 1 0 0 0 0 0 16781312 0\n";
  const auto stats = parse_process_stat(line, 1'700'000'000, 100, 4096);
  ASSERT_TRUE(stats.has_value());
  EXPECT_DOUBLE_EQ(stats->cpu_seconds, 4.0);
  EXPECT_DOUBLE_EQ(stats->start_time, 1'700'000'123.45);
  EXPECT_EQ(stats->threads, 7U);
  EXPECT_EQ(stats->virtual_bytes, 104'857'600U);
  EXPECT_EQ(stats->resident_bytes, 2560U * 4096);
}

TEST(Process, what_is_no_stat_line) {
  for (const std::string_view line : {"", "1", "1 (x)", "1 (x) S 1 2 3", ")", "no parenthesis"}) {
    EXPECT_FALSE(parse_process_stat(line, 1, 100, 4096).has_value()) << line;
  }
}

TEST(Process, boot_time) {
  EXPECT_EQ(parse_boot_time("cpu 1 2 3\nbtime 1700000000\nprocesses 5\n"), 1'700'000'000U);
  EXPECT_EQ(parse_boot_time("btime 5\n"), 5U);
  EXPECT_EQ(parse_boot_time("cpu 1\nxbtime 5\n"), 0U);
  EXPECT_EQ(parse_boot_time(""), 0U);
}

TEST(Process, this_one) {
  const ProcessStats stats = read_process_stats();
  EXPECT_GT(stats.resident_bytes, 1U << 20);
  EXPECT_GT(stats.virtual_bytes, stats.resident_bytes);
  EXPECT_GE(stats.threads, 1U);
  EXPECT_GE(stats.open_fds, 3U);
  EXPECT_GT(stats.max_fds, stats.open_fds);
  EXPECT_GT(stats.start_time, 1.6e9);
}

}  // namespace
}  // namespace outrigger::telemetry
