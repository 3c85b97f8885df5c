#include "net/buffer.h"

#include <algorithm>
#include <bit>
#include <new>

#include "base/check.h"
#include "base/poison.h"

namespace outrigger::net {
namespace {

// The class whose blocks hold `size` bytes; class_count when only the heap does.
int class_of(std::size_t size) {
  if (size <= BufferPool::smallest) return 0;
  return static_cast<int>(std::bit_width((size - 1) / BufferPool::smallest));
}

}  // namespace

BufferPool::~BufferPool() {
  trim();
}

BufferPool::Block BufferPool::take(std::size_t size) {
  const int c = class_of(size);
  if (c >= class_count) {
    const std::size_t rounded = std::bit_ceil(size);
    in_use_ += rounded;
    return {static_cast<char*>(::operator new(rounded)), rounded};
  }
  const std::size_t block_size = smallest << c;
  in_use_ += block_size;
  auto& list = free_[static_cast<std::size_t>(c)];
  if (list.empty()) return {static_cast<char*>(::operator new(block_size)), block_size};
  char* data = list.back();
  list.pop_back();
  kept_ -= block_size;
  unpoison(data, block_size);
  return {data, block_size};
}

void BufferPool::give(Block block) {
  check(in_use_ >= block.size, "a buffer block came back twice");
  in_use_ -= block.size;
  if (block.size <= largest && kept_ + block.size <= kept_max_) {
    free_[static_cast<std::size_t>(class_of(block.size))].push_back(block.data);
    kept_ += block.size;
    poison(block.data, block.size);
  } else {
    ::operator delete(block.data);
  }
}

void BufferPool::trim() {
  for (auto& list : free_) {
    for (char* data : list) ::operator delete(data);
    list = {};
  }
  kept_ = 0;
}

void Buffer::clear() {
  if (block_.data != nullptr) {
    // Half as large is enough when no more than that was used.
    const std::size_t enough = end_ > block_.size / 2 ? block_.size : block_.size / 2;
    begins_with_ = static_cast<std::uint32_t>(std::min(enough, BufferPool::largest));
    pool_->give(block_);
  }
  block_ = {nullptr, 0};
  begin_ = 0;
  end_ = 0;
}

void Buffer::take_over(Buffer& other) {
  check(empty() && pool_ == other.pool_, "take_over() into a buffer in use");
  clear();
  block_ = other.block_;
  begin_ = other.begin_;
  end_ = other.end_;
  other.block_ = {nullptr, 0};
  other.begin_ = 0;
  other.end_ = 0;
}

void Buffer::make_room(std::size_t size) {
  const std::size_t used = end_ - begin_;
  // Moving down is worth it when it frees half of the block; otherwise grow.
  if (block_.data != nullptr && used + size <= block_.size && begin_ >= block_.size / 2) {
    std::memmove(block_.data, block_.data + begin_, used);
  } else {
    const BufferPool::Block grown =
        pool_->take(std::max(used + size, block_.data == nullptr ? std::size_t{begins_with_} : 0));
    if (used > 0) std::memcpy(grown.data, block_.data + begin_, used);
    if (block_.data != nullptr) pool_->give(block_);
    block_ = grown;
  }
  begin_ = 0;
  end_ = used;
}

}  // namespace outrigger::net
