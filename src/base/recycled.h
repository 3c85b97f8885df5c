#pragma once

// Storage of short-lived objects, recycled on the thread that freed them: the steady state
// allocates nothing. Derive T from Recycled<T>; T must be final. What a thread keeps is freed when
// it ends.

#include <cstddef>
#include <new>
#include <vector>

#include "base/poison.h"

namespace outrigger {

template <typename T>
class Recycled {
 public:
  static constexpr std::size_t kept_max = 4096;

  static void* operator new(std::size_t size) {
    auto& kept = store().kept;
    if (kept.empty()) return ::operator new(size);
    void* memory = kept.back();
    kept.pop_back();
    unpoison(memory, size);
    return memory;
  }
  static void operator delete(void* memory, std::size_t size) {
    auto& kept = store().kept;
    if (kept.size() < kept_max) {
      kept.push_back(memory);
      poison(memory, size);
    } else {
      ::operator delete(memory);
    }
  }
  // Gives back what this thread keeps.
  static void trim() {
    auto& kept = store().kept;
    for (void* memory : kept) ::operator delete(memory);
    kept = {};
  }

 private:
  struct Store {
    std::vector<void*> kept;
    Store() { kept.reserve(64); }
    ~Store() {
      for (void* memory : kept) ::operator delete(memory);
    }
  };
  static Store& store() {
    thread_local Store s;
    return s;
  }
};

}  // namespace outrigger
