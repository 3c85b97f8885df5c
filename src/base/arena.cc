#include "base/arena.h"

#include <new>

#include "base/check.h"
#include "base/poison.h"

namespace outrigger {

BlockPool::~BlockPool() {
  trim();
}

void BlockPool::trim() {
  for (char* block : free_) ::operator delete(block);
  free_ = {};
}

char* BlockPool::take() {
  ++in_use_;
  if (free_.empty()) return static_cast<char*>(::operator new(block_size));
  char* block = free_.back();
  free_.pop_back();
  unpoison(block, block_size);
  return block;
}

void BlockPool::give(char* block) {
  check(in_use_ > 0, "a block was released twice");
  --in_use_;
  if (free_.size() < kept_max_) {
    free_.push_back(block);
    poison(block, block_size);
  } else {
    ::operator delete(block);
  }
}

void* Arena::allocate_slow(std::size_t size) {
  constexpr std::size_t header = sizeof(Block);
  total_ += size;
  if (size > BlockPool::block_size - header) {
    // Large values get a block of their own; the current block stays in use.
    auto* own = static_cast<Block*>(::operator new(header + size));
    own->next = blocks_;
    own->size = size;
    blocks_ = own;
    return reinterpret_cast<char*>(own) + header;
  }
  auto* block = reinterpret_cast<Block*>(pool_->take());
  block->next = blocks_;
  block->size = 0;
  blocks_ = block;
  current_ = reinterpret_cast<char*>(block);
  capacity_ = BlockPool::block_size;
  used_ = header + size;
  return current_ + header;
}

std::string_view Arena::concat(std::string_view a, std::string_view b, std::string_view c) {
  char* to = static_cast<char*>(allocate(a.size() + b.size() + c.size(), 1));
  char* at = to;
  for (std::string_view part : {a, b, c}) {
    if (part.empty()) continue;
    std::memcpy(at, part.data(), part.size());
    at += part.size();
  }
  return {to, static_cast<std::size_t>(at - to)};
}

void Arena::reset() {
  while (blocks_ != nullptr) {
    Block* next = blocks_->next;
    if (blocks_->size == 0) {
      pool_->give(reinterpret_cast<char*>(blocks_));
    } else {
      ::operator delete(blocks_);
    }
    blocks_ = next;
  }
  current_ = nullptr;
  used_ = capacity_ = total_ = 0;
}

}  // namespace outrigger
