#pragma once

// Contiguous bytes waiting to be parsed or written. An empty buffer holds no memory: blocks come
// from the worker's BufferPool (size classes 4 KiB to 64 KiB, larger ones from the heap) and go
// back as soon as the last byte is consumed. One thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace outrigger::net {

// Recycles buffer blocks, most recently used first, and counts the bytes that are out against the
// worker's budget. Owned by the loop; outlives all its buffers.
class BufferPool {
 public:
  static constexpr std::size_t smallest = 4096;
  static constexpr int class_count = 5;  // 4, 8, 16, 32, 64 KiB
  static constexpr std::size_t largest = smallest << (class_count - 1);

  // `kept_max`: bytes of free blocks kept for reuse.
  explicit BufferPool(std::size_t kept_max = 8U << 20) : kept_max_(kept_max) {}
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  ~BufferPool();

  struct Block {
    char* data;
    std::size_t size;
  };
  // At least `size` bytes.
  Block take(std::size_t size);
  void give(Block block);
  // Gives the free blocks back to the heap.
  void trim();

  std::size_t bytes_in_use() const { return in_use_; }
  std::size_t bytes_kept() const { return kept_; }

 private:
  std::array<std::vector<char*>, class_count> free_;
  std::size_t kept_max_;
  std::size_t kept_ = 0;
  std::size_t in_use_ = 0;
};

// A buffer begins as large as it had to be the last time, so that what comes again and again is not
// copied while it grows.
class Buffer {
 public:
  explicit Buffer(BufferPool& pool) : pool_(&pool) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { clear(); }

  BufferPool& pool() const { return *pool_; }
  bool empty() const { return begin_ == end_; }
  std::size_t size() const { return end_ - begin_; }
  std::string_view view() const { return {block_.data + begin_, end_ - begin_}; }
  // Bytes held from the pool.
  std::size_t capacity() const { return block_.size; }

  void append(std::string_view bytes) {
    if (bytes.empty()) return;
    std::memcpy(prepare(bytes.size()), bytes.data(), bytes.size());
    end_ += bytes.size();
  }
  void append(char c) {
    *prepare(1) = c;
    ++end_;
  }
  // Room for `size` bytes at the end; write there, then commit() what was written. The pointer is
  // good until the next call on this buffer.
  char* prepare(std::size_t size) {
    if (block_.size - end_ < size) [[unlikely]] {
      make_room(size);
    }
    return block_.data + end_;
  }
  // All the room there is without moving anything, after prepare().
  std::span<char> writable() { return {block_.data + end_, block_.size - end_}; }
  // REQUIRES: prepare() gave at least `size` bytes.
  void commit(std::size_t size) { end_ += size; }
  // Drops bytes from the front; gives the block back when none are left.
  // REQUIRES: count <= size()
  void consume(std::size_t count) {
    begin_ += static_cast<std::uint32_t>(count);
    if (begin_ == end_) clear();
  }
  // The same from the end.
  void drop_back(std::size_t count) {
    end_ -= count;
    if (begin_ == end_) clear();
  }
  void clear();
  // Takes over the other buffer's bytes. REQUIRES: empty(), same pool.
  void take_over(Buffer& other);

 private:
  void make_room(std::size_t size);

  BufferPool* pool_;
  BufferPool::Block block_{nullptr, 0};
  std::size_t end_ = 0;
  std::uint32_t begin_ = 0;
  std::uint32_t begins_with_ = 0;  // how large the next block is at the least
};

}  // namespace outrigger::net
