#include "http/h2_allocator.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <vector>

#include "base/random.h"
#include "http/h2_library.h"
#include "support/h2_world.h"

namespace outrigger::http {
namespace {

TEST(H2Memory, EverySizeIsHeldAndAligned) {
  H2Memory memory;
  std::vector<void*> blocks;
  for (std::size_t size = 0; size < 20000; size += size < 300 ? 1 : 37) {
    void* block = memory.allocate(size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % 16, 0U);
    std::memset(block, static_cast<int>(size), size);
    blocks.push_back(block);
  }
  for (void* block : blocks) memory.release(block);
  EXPECT_EQ(memory.bytes_in_use(), 0U);
}

TEST(H2Memory, WhatIsGivenBackIsHandedOutAgain) {
  H2Memory memory;
  void* one = memory.allocate(100);
  memory.release(one);
  const std::uint64_t heap = memory.heap_allocations();
  EXPECT_EQ(memory.allocate(97), one);
  EXPECT_EQ(memory.heap_allocations(), heap);
  memory.release(one);
  memory.release(nullptr);
}

// Shared blocks are recognised by size: only with a version and build whose allocations are known.
TEST(H2Memory, OnlyAKnownLibrarySharesMemory) {
  constexpr int known = 0x013400;
  EXPECT_TRUE(may_share(known, {2, 1}));
  for (const int other : {0x013100, 0x013401, 0x013500, 0x014100, 0}) {
    EXPECT_FALSE(may_share(other, {2, 1})) << other;
  }
  for (const H2Allocations& other :
       {H2Allocations{3, 1}, H2Allocations{1, 1}, H2Allocations{2, 2}, H2Allocations{2, 0}}) {
    EXPECT_FALSE(may_share(known, other));
  }
  EXPECT_EQ(library_shares(), nghttp2_version(0)->version_num == known);
}

TEST(H2Memory, SessionsOfALibraryThatIsNotKnownShareNothingAndWork) {
  using namespace fakes;
  std::size_t used[2] = {};
  const std::string long_value(5000, 'a');
  for (const H2Memory::Sharing sharing :
       {H2Memory::Sharing::where_known, H2Memory::Sharing::never}) {
    H2World world(sharing);
    TestHead head(world.blocks);
    H2Pair one(world);
    const std::size_t before = world.memory.bytes_in_use();
    H2Pair two(world);
    used[static_cast<int>(sharing)] = world.memory.bytes_in_use() - before;
    for (H2Pair* pair : {&one, &two, &one}) {
      RecordingSink sink;
      Stream& stream = pair->client.codec.open(sink);
      stream.send_head(head.request("POST").add("x-a", long_value), false);
      stream.send_data(std::string(20000, 'x'), true);
      pair->run();
      RecordingSink& request = pair->server.events.last();
      EXPECT_EQ(request.body.size(), 20000U);
      TestHead answer(world.blocks);
      request.stream->send_head(answer.response(200), false);
      request.stream->send_data("ok", true);
      pair->run();
      EXPECT_EQ(sink.body, "ok");
      pair->client.codec.rest();
      pair->server.codec.rest();
    }
  }
  if (library_shares()) {
    EXPECT_GT(used[1], used[0] + 2 * 16 * 1024U);
  }
}

TEST(H2Memory, KeepsOnlySoMuch) {
  H2Memory memory(10000);
  std::vector<void*> blocks;
  for (int i = 0; i < 100; ++i) blocks.push_back(memory.allocate(1000));
  for (void* block : blocks) memory.release(block);
  EXPECT_GT(memory.bytes_kept(), 5000U);
  EXPECT_LE(memory.bytes_kept(), 10000U);
  memory.trim();
  EXPECT_EQ(memory.bytes_kept(), 0U);
  // Large blocks are not kept at all.
  memory.release(memory.allocate(9000));
  EXPECT_EQ(memory.bytes_kept(), 0U);
}

TEST(H2Memory, Reallocates) {
  H2Memory memory;
  auto* text = static_cast<char*>(memory.reallocate(nullptr, 10));
  std::strcpy(text, "123456789");
  text = static_cast<char*>(memory.reallocate(text, 5000));
  EXPECT_STREQ(text, "123456789");
  text = static_cast<char*>(memory.reallocate(text, 50000));
  EXPECT_STREQ(text, "123456789");
  EXPECT_EQ(memory.reallocate(text, 20), text);
  memory.release(text);
}

TEST(H2Memory, SessionsShareTheirFrameBuffer) {
  H2Memory memory;
  const auto create = [&memory] {
    void* table = nullptr;
    const H2Memory::CreatingSession creating(memory, table);
    return memory.allocate(16394);
  };
  void* first = create();
  EXPECT_EQ(create(), first);
  EXPECT_EQ(memory.bytes_in_use(), 0U);
  memory.release(first);
  memory.release(first);
  // Except while a session is created, the size means nothing.
  void* other = memory.allocate(16394);
  EXPECT_NE(other, first);
  memory.release(other);
}

TEST(H2Memory, SessionsShareWhatTheyNeverTouch) {
  H2Memory memory;
  void* table = nullptr;
  void* first = nullptr;
  {
    const H2Memory::CreatingSession creating(memory, table);
    first = memory.allocate(1024);
    EXPECT_EQ(memory.allocate(1024), first);
  }
  EXPECT_EQ(memory.bytes_in_use(), 0U);
  EXPECT_DEATH(*static_cast<volatile char*>(first) = 1, "");
  void* other = memory.allocate(1024);
  EXPECT_NE(other, first);
  memory.release(other);
  memory.release(first);
  memory.release(first);
}

std::size_t resident_pages() {
  std::ifstream statm("/proc/self/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  statm >> total >> resident;
  return resident;
}

TEST(H2Memory, EmptyTablesOfStreamsRestWithoutMemory) {
  H2Memory memory;
  constexpr std::size_t sessions = 2048;
  std::vector<void*> tables(sessions);
  for (void*& table : tables) {
    const H2Memory::CreatingSession creating(memory, table);
    void* made = memory.allocate(4096);
    ASSERT_EQ(made, table);
    std::memset(made, 0, 4096);
  }
  // A table that is not all zero stays as it is.
  auto* bytes = static_cast<char*>(tables[0]);
  bytes[1000] = 7;
  const std::size_t before = resident_pages();
  for (void* table : tables) memory.rest(table);
  EXPECT_LT(resident_pages() + sessions / 2, before);
  EXPECT_EQ(bytes[1000], 7);
  // The others are still all zero, and can be used again.
  auto* other = static_cast<char*>(tables[1]);
  EXPECT_EQ(other[1000], 0);
  other[1000] = 8;
  EXPECT_EQ(other[1000], 8);
  // Like any other block, a table may grow and be released.
  tables[0] = memory.reallocate(tables[0], 8000);
  EXPECT_EQ(static_cast<char*>(tables[0])[1000], 7);
  for (void* table : tables) memory.release(table);
  EXPECT_EQ(memory.bytes_in_use(), 0U);
  memory.rest(nullptr);
}

TEST(H2Memory, Randomly) {
  H2Memory memory(50000);
  Random random(7);
  std::vector<std::pair<unsigned char*, std::size_t>> blocks;
  for (int i = 0; i < 20000; ++i) {
    if (blocks.size() < 100 || random.below(2) == 0) {
      const std::size_t size = 1 + random.below(random.below(10) == 0 ? 20000 : 300);
      auto* block = static_cast<unsigned char*>(memory.allocate(size));
      std::memset(block, static_cast<int>(size % 251), size);
      blocks.emplace_back(block, size);
    } else {
      std::swap(blocks[random.below(static_cast<std::uint32_t>(blocks.size()))], blocks.back());
      const auto [block, size] = blocks.back();
      ASSERT_EQ(block[0], size % 251);
      ASSERT_EQ(block[size - 1], size % 251);
      memory.release(block);
      blocks.pop_back();
    }
  }
  for (const auto& [block, size] : blocks) memory.release(block);
  EXPECT_EQ(memory.bytes_in_use(), 0U);
}

}  // namespace
}  // namespace outrigger::http
