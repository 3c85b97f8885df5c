#include "net/buffer.h"

#include <gtest/gtest.h>

#include <string>

namespace outrigger::net {
namespace {

class BufferTest : public testing::Test {
 protected:
  BufferPool pool;
  Buffer buffer{pool};
};

TEST_F(BufferTest, HoldsNothingWhenEmpty) {
  EXPECT_EQ(buffer.capacity(), 0U);
  buffer.append("abc");
  EXPECT_EQ(buffer.capacity(), BufferPool::smallest);
  buffer.consume(2);
  EXPECT_EQ(buffer.view(), "c");
  buffer.consume(1);
  EXPECT_EQ(buffer.capacity(), 0U);
  EXPECT_EQ(pool.bytes_in_use(), 0U);
}

TEST_F(BufferTest, GrowsAndKeepsItsBytes) {
  std::string expected;
  for (int i = 0; i < 5000; ++i) {
    const std::string piece = std::to_string(i) + ' ';
    buffer.append(piece);
    expected += piece;
    if (i % 3 == 0) {
      buffer.consume(2);
      expected.erase(0, 2);
    }
    ASSERT_EQ(buffer.size(), expected.size());
  }
  EXPECT_EQ(buffer.view(), expected);
}

TEST_F(BufferTest, DropsFromBothEnds) {
  buffer.append("padded text.....");
  buffer.consume(7);
  buffer.drop_back(5);
  EXPECT_EQ(buffer.view(), "text");
  buffer.drop_back(0);
  EXPECT_EQ(buffer.view(), "text");
  buffer.drop_back(4);
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.capacity(), 0U);
}

TEST_F(BufferTest, BeginsAsLargeAsItHadToBe) {
  const std::string large(20'000, 'x');
  buffer.append(large);
  buffer.clear();
  buffer.append("x");
  EXPECT_EQ(buffer.capacity(), 32'768U);
  // Each use that needs less halves it, down to the smallest size.
  for (int i = 0; i < 5; ++i) {
    buffer.consume(buffer.size());
    buffer.append("x");
  }
  EXPECT_EQ(buffer.capacity(), BufferPool::smallest);
}

TEST_F(BufferTest, NeverBeginsWithMoreThanThePoolKeeps) {
  buffer.append(std::string(1'000'000, 'x'));
  buffer.clear();
  buffer.append("x");
  EXPECT_EQ(buffer.capacity(), BufferPool::largest);
}

TEST_F(BufferTest, TakesOver) {
  Buffer other(pool);
  other.append("bytes");
  buffer.take_over(other);
  EXPECT_EQ(buffer.view(), "bytes");
  EXPECT_TRUE(other.empty());
  EXPECT_EQ(other.capacity(), 0U);
}

TEST_F(BufferTest, ThePoolReusesTheBlockOfLast) {
  buffer.append("x");
  const char* const first = buffer.view().data();
  buffer.clear();
  EXPECT_EQ(pool.bytes_kept(), BufferPool::smallest);
  Buffer other(pool);
  other.append("y");
  EXPECT_EQ(other.view().data(), first);
  other.clear();
  pool.trim();
  EXPECT_EQ(pool.bytes_kept(), 0U);
}

}  // namespace
}  // namespace outrigger::net
