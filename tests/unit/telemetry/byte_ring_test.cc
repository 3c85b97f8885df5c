#include "telemetry/byte_ring.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace outrigger::telemetry {
namespace {

std::string take_all(ByteRing& ring) {
  std::string out;
  for (const std::string_view piece : ring.readable()) out += piece;
  ring.consume(out.size());
  return out;
}

TEST(ByteRing, whole_or_not_at_all) {
  ByteRing ring(7);
  EXPECT_EQ(ring.capacity(), 8U);
  EXPECT_TRUE(ring.push("abcde"));
  EXPECT_FALSE(ring.push("1234"));
  EXPECT_TRUE(ring.push("123"));
  EXPECT_FALSE(ring.push("x"));
  EXPECT_TRUE(ring.push(""));
  EXPECT_EQ(take_all(ring), "abcde123");
  EXPECT_EQ(ring.used(), 0U);
}

TEST(ByteRing, wraps_around) {
  ByteRing ring(8);
  for (int i = 0; i < 100; ++i) {
    const std::string text(static_cast<std::size_t>(i % 8 + 1), static_cast<char>('a' + i % 26));
    ASSERT_TRUE(ring.push(text));
    ASSERT_EQ(take_all(ring), text);
  }
}

TEST(ByteRing, between_two_threads_nothing_is_torn) {
  ByteRing ring(64);
  constexpr int lines = 50'000;
  std::thread writer([&ring] {
    for (int i = 0; i < lines;) i += ring.push(std::to_string(i) + "\n") ? 1 : 0;
  });
  std::string all;
  for (int seen = 0; seen < lines;) {
    const std::string part = take_all(ring);
    ASSERT_TRUE(part.empty() || part.back() == '\n');
    seen += static_cast<int>(std::count(part.begin(), part.end(), '\n'));
    all += part;
  }
  writer.join();
  std::string expected;
  for (int i = 0; i < lines; ++i) expected += std::to_string(i) + "\n";
  EXPECT_EQ(all, expected);
}

}  // namespace
}  // namespace outrigger::telemetry
