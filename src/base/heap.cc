#include "base/heap.h"

#include <malloc.h>

namespace outrigger {

void release_free_heap() {
  malloc_trim(0);
}

}  // namespace outrigger
