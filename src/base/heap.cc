#include "base/heap.h"

#include <malloc.h>

#include <cstdlib>

namespace outrigger {
namespace {

// glibc looks at the top of a thread's heap only when so large a block is freed.
constexpr std::size_t large = 96 * 1024;

}  // namespace

void release_top_of_heap() {
  void* volatile block = std::malloc(large);  // volatile: not to be optimised away
  std::free(block);
}

void release_free_heap() {
  malloc_trim(0);
}

}  // namespace outrigger
