#include "support/allocation_count.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace outrigger::test {
namespace {
std::atomic<std::uint64_t> count{0};
}

std::uint64_t allocation_count() {
  return count.load(std::memory_order_relaxed);
}

}  // namespace outrigger::test

#ifndef OUTRIGGER_SANITIZED

void* operator new(std::size_t size) {
  outrigger::test::count.fetch_add(1, std::memory_order_relaxed);
  if (void* pointer = std::malloc(size == 0 ? 1 : size)) return pointer;
  throw std::bad_alloc();
}
void* operator new[](std::size_t size) {
  return ::operator new(size);
}
void operator delete(void* pointer) noexcept {
  std::free(pointer);
}
void operator delete[](void* pointer) noexcept {
  std::free(pointer);
}
void operator delete(void* pointer, std::size_t) noexcept {
  std::free(pointer);
}
void operator delete[](void* pointer, std::size_t) noexcept {
  std::free(pointer);
}

#endif
