#include "net/event_memory.h"

#include <event2/event.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>

namespace outrigger::net {
namespace {

// The word in front of each block is its size. Small blocks share slabs, which are never given
// back: there are as many as the process has had descriptors at once. Slabs lie outside the heap,
// where each would keep a page or two, and what they are part of, from going back to the system.
constexpr std::size_t word = sizeof(std::size_t);
constexpr std::size_t small_max = 16;
constexpr std::size_t slot_size = word + small_max;
constexpr std::size_t slab_size = 64 * 1024;
constexpr std::size_t large_header = 16;

struct Slots {
  std::mutex mutex;
  char* free = nullptr;   // each begins with a pointer to the next
  char* fresh = nullptr;  // never used so far, up to fresh_end; a page nobody touched costs nothing
  char* fresh_end = nullptr;

  char* take() {
    const std::lock_guard lock(mutex);
    if (free == nullptr) return take_fresh();
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
  char* take_fresh() {
    if (fresh_end - fresh < static_cast<std::ptrdiff_t>(slot_size)) {
      void* slab =
          ::mmap(nullptr, slab_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (slab == MAP_FAILED) return nullptr;
      fresh = static_cast<char*>(slab);
      fresh_end = fresh + slab_size;
    }
    return std::exchange(fresh, fresh + slot_size);
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
  if (size <= small_max) {
    char* slot = slots().take();
    return slot == nullptr ? nullptr : with_size(slot + word, size);
  }
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
