#pragma once

// Assertions that stay on in release builds. They mark bugs, never input: what traffic or the
// environment can provoke is handled and counted instead.

#include <source_location>

namespace outrigger {

[[noreturn]] void check_failed(const char* what, const std::source_location& where);

// Ends the process with a line that says where, when `ok` is false. Any thread.
constexpr void check(bool ok, const char* what,
                     const std::source_location& where = std::source_location::current()) {
  if (!ok) [[unlikely]] {
    check_failed(what, where);
  }
}

}  // namespace outrigger
