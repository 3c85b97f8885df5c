// Bump allocation and the blocks it comes from.

#include "base/arena.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace outrigger {
namespace {

struct ArenaTest : testing::Test {
  BlockPool pool;
  Arena arena{pool};
};

TEST_F(ArenaTest, an_unused_one_holds_nothing) {
  EXPECT_EQ(pool.in_use(), 0U);
}

TEST_F(ArenaTest, no_bytes_have_a_place_too) {
  EXPECT_NE(arena.allocate(0), nullptr);
}

TEST_F(ArenaTest, what_it_gives_is_aligned_and_nobody_elses) {
  std::vector<std::pair<unsigned char*, std::size_t>> pieces;
  std::size_t total = 0;
  for (std::size_t i = 0; i < 2'000; ++i) {
    const std::size_t alignment = std::size_t{1} << (i % 5);
    const std::size_t size = i % 97;
    auto* piece = static_cast<unsigned char*>(arena.allocate(size, alignment));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(piece) % alignment, 0U);
    std::memset(piece, static_cast<int>(i % 251), size);
    pieces.emplace_back(piece, size);
    total += size;
  }
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    for (std::size_t at = 0; at < pieces[i].second; ++at) ASSERT_EQ(pieces[i].first[at], i % 251);
  }
  EXPECT_EQ(arena.total(), total);
  EXPECT_GT(pool.in_use(), 1U);
}

TEST_F(ArenaTest, a_reset_gives_every_block_back_and_they_are_used_again) {
  for (int i = 0; i < 100; ++i) arena.allocate(1'000);
  const std::size_t used = pool.in_use();
  arena.reset();
  EXPECT_EQ(pool.in_use(), 0U);
  EXPECT_EQ(pool.kept(), used);
  EXPECT_EQ(arena.total(), 0U);
  for (int i = 0; i < 100; ++i) arena.allocate(1'000);
  EXPECT_EQ(pool.in_use(), used);
  EXPECT_EQ(pool.kept(), 0U);
}

TEST_F(ArenaTest, a_large_value_has_a_block_of_its_own_and_the_current_one_goes_on) {
  const char* before = static_cast<char*>(arena.allocate(8));
  const std::string_view large = arena.copy(std::string(100'000, 'x'));
  const char* after = static_cast<char*>(arena.allocate(8));
  EXPECT_EQ(after, before + 8);
  EXPECT_EQ(pool.in_use(), 1U);
  EXPECT_EQ(large.size(), 100'000U);
  EXPECT_EQ(large.find_first_not_of('x'), std::string_view::npos);
  arena.reset();
  EXPECT_EQ(pool.kept(), 1U) << "the large one went back to the heap";
}

TEST_F(ArenaTest, every_size_around_a_blocks_fits) {
  for (std::size_t size = BlockPool::block_size - 64; size <= BlockPool::block_size + 8; ++size) {
    auto* piece = static_cast<char*>(arena.allocate(size, 16));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(piece) % 16, 0U) << size;
    std::memset(piece, 'x', size);  // lets a sanitizer detect overruns
  }
}

TEST_F(ArenaTest, texts_are_copied_and_joined) {
  std::string text = "abc";
  const std::string_view copy = arena.copy(text);
  const std::string_view joined = arena.concat(copy, "-", "def");
  text = "xyz";
  EXPECT_EQ(copy, "abc");
  EXPECT_EQ(joined, "abc-def");
  EXPECT_EQ(arena.concat("", "b"), "b");
  EXPECT_EQ(arena.concat("", "", ""), "");
  EXPECT_EQ(arena.copy(""), "");
}

TEST_F(ArenaTest, its_death_is_a_reset) {
  {
    Arena other(pool);
    other.allocate(10);
    EXPECT_EQ(pool.in_use(), 1U);
  }
  EXPECT_EQ(pool.in_use(), 0U);
}

TEST(BlockPoolTest, keeps_only_so_many) {
  BlockPool pool(2);
  std::vector<char*> blocks;
  for (int i = 0; i < 5; ++i) blocks.push_back(pool.take());
  for (char* block : blocks) pool.give(block);
  EXPECT_EQ(pool.kept(), 2U);
  EXPECT_EQ(pool.in_use(), 0U);
}

}  // namespace
}  // namespace outrigger
