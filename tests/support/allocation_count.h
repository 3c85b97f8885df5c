#pragma once

// Counts what the program asks of operator new, where sanitizers leave that to us.

#include <cstdint>

namespace outrigger::test {

// False under a sanitizer: nothing is counted then.
bool allocations_are_counted();
std::uint64_t allocation_count();

}  // namespace outrigger::test
