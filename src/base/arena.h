#pragma once

// Bump allocation for what lives as long as one exchange. Blocks come from a BlockPool owned by the
// worker and go back to it on reset(), so that the steady state allocates nothing.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace outrigger {

// Recycles blocks of one size. One thread; owned by the worker, outlives every arena that uses it.
class BlockPool {
 public:
  static constexpr std::size_t block_size = 4096;

  // At most `kept_max` free blocks are kept; more go back to the heap.
  explicit BlockPool(std::size_t kept_max = 1024) : kept_max_(kept_max) {}
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;
  ~BlockPool();

  char* take();
  void give(char* block);
  // Gives the free blocks back to the heap.
  void trim();

  std::size_t kept() const { return free_.size(); }
  // Blocks handed out and not yet given back.
  std::size_t in_use() const { return in_use_; }

 private:
  std::vector<char*> free_;
  std::size_t kept_max_;
  std::size_t in_use_ = 0;
};

// One thread. Destructors of what is placed here are not run: trivially destructible values only.
class Arena {
 public:
  explicit Arena(BlockPool& pool) : pool_(&pool) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { reset(); }

  // Memory for `size` bytes at `alignment` (a power of two, at most 16). Never null.
  void* allocate(std::size_t size, std::size_t alignment = 8) {
    const std::size_t at = (used_ + alignment - 1) & ~(alignment - 1);
    // With nothing yet, also a request for no bytes gets a place.
    if (at + size > capacity_ || current_ == nullptr) [[unlikely]] {
      return allocate_slow(size);
    }
    used_ = at + size;
    total_ += size;
    return current_ + at;
  }
  template <typename T>
  T* allocate_array(std::size_t count) {
    static_assert(std::is_trivially_destructible_v<T>);
    return static_cast<T*>(allocate(count * sizeof(T), alignof(T)));
  }
  std::string_view copy(std::string_view text) {
    if (text.empty()) return {};
    char* to = static_cast<char*>(allocate(text.size(), 1));
    std::memcpy(to, text.data(), text.size());
    return {to, text.size()};
  }
  // Concatenates; for edited header values.
  std::string_view concat(std::string_view a, std::string_view b, std::string_view c = {});

  // Gives every block back; all that was allocated is gone.
  void reset();
  // Bytes asked for since the last reset.
  std::size_t total() const { return total_; }

 private:
  struct Block {
    Block* next;
    std::size_t size;  // 0: from the pool
  };
  void* allocate_slow(std::size_t size);

  BlockPool* pool_;
  Block* blocks_ = nullptr;
  char* current_ = nullptr;
  std::size_t used_ = 0;
  std::size_t capacity_ = 0;
  std::size_t total_ = 0;
};

}  // namespace outrigger
