#pragma once

// Assertions that stay on in release builds. They mark bugs, never input: what traffic or the
// environment can provoke is handled and counted instead.

namespace outrigger {

[[noreturn]] void check_failed(const char* what, const char* file, unsigned line,
                               const char* function);

// Ends the process with a line that says where, when `ok` is false. Any thread. The place is the
// caller's; std::source_location would say the same, but clang 14 has none.
constexpr void check(bool ok, const char* what, const char* file = __builtin_FILE(),
                     unsigned line = __builtin_LINE(),
                     const char* function = __builtin_FUNCTION()) {
  if (!ok) [[unlikely]] {
    check_failed(what, file, line, function);
  }
}

}  // namespace outrigger
