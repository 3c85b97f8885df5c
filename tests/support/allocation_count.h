#pragma once

// Counts what the program asks of operator new, where sanitizers leave that to us.

#include <cstdint>

namespace outrigger::test {

// Calls so far; under a sanitizer always 0.
std::uint64_t allocation_count();

}  // namespace outrigger::test
