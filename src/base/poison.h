#pragma once

// Tells the address sanitizer that memory which a pool keeps for reuse belongs to nobody, so that a
// use after its release is found as if it had gone back to the heap. Costs nothing in other builds.

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace outrigger {

inline void poison([[maybe_unused]] const void* memory, [[maybe_unused]] std::size_t size) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(memory, size);
#endif
}

inline void unpoison([[maybe_unused]] const void* memory, [[maybe_unused]] std::size_t size) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(memory, size);
#endif
}

}  // namespace outrigger
