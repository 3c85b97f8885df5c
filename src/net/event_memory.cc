#include "net/event_memory.h"

#include <event2/event.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
namespace outrigger::net {
namespace {

// The word in front of each block is its size. Small blocks share slabs, which are never given
// back: there are as many as the process has had descriptors at once.
constexpr std::size_t word = sizeof(std::size_t);
constexpr std::size_t small_max = 24;
constexpr std::size_t slot_size = word + small_max;
constexpr std::size_t slab_size = 4096;
constexpr std::size_t large_header = 16;

struct Slots {
  std::mutex mutex;
  char* free = nullptr;  // each begins with a pointer to the next
  char* slabs = nullptr;

  char* take() {
    const std::lock_guard lock(mutex);
    if (free == nullptr) grow();
    char* slot = free;
    std::memcpy(&free, slot, sizeof free);
    return slot;
  }
  void give(char* slot) {
    const std::lock_guard lock(mutex);
    std::memcpy(slot, &free, sizeof free);
    free = slot;
  }

 private:
  void grow() {
    auto* slab = static_cast<char*>(::operator new(slab_size));
    std::memcpy(slab, &slabs, sizeof slabs);
    slabs = slab;
    for (std::size_t at = slab_size - slot_size; at >= slot_size; at -= slot_size) {
      std::memcpy(slab + at, &free, sizeof free);
      free = slab + at;
    }
  }
};

// Never destroyed: libevent frees until the very end.
Slots& slots() {
  static auto* s = new Slots;
  return *s;
}

std::size_t size_of(const void* block) {
  std::size_t size = 0;
  std::memcpy(&size, static_cast<const char*>(block) - word, word);
  return size;
}

void* with_size(char* block, std::size_t size) {
  std::memcpy(block - word, &size, word);
  return block;
}

void* allocate(std::size_t size) {
  if (size <= small_max) return with_size(slots().take() + word, size);
  auto* raw = static_cast<char*>(std::malloc(large_header + size));
  return raw == nullptr ? nullptr : with_size(raw + large_header, size);
}

void release(void* block) {
  if (block == nullptr) return;
  auto* bytes = static_cast<char*>(block);
  if (size_of(block) <= small_max) {
    slots().give(bytes - word);
  } else {
    std::free(bytes - large_header);
  }
}

void* reallocate(void* block, std::size_t size) {
  if (block == nullptr) return allocate(size);
  void* grown = allocate(size);
  if (grown == nullptr) return nullptr;
  std::memcpy(grown, block, std::min(size, size_of(block)));
  release(block);
  return grown;
}

}  // namespace

void use_event_memory() {
  [[maybe_unused]] static const bool done = [] {
    event_set_mem_functions(allocate, reallocate, release);
    return true;
  }();
}

}  // namespace outrigger::net
