#pragma once

// Assertions that stay on in release builds. They mark bugs, never input: what traffic or the
// environment can provoke is handled and counted instead.

namespace outrigger {

// Where a check stands; filled in by the compiler. (std::source_location wants a newer clang than
// the one the fuzzers are built with.)
struct CodePlace {
  const char* file;
  int line;
  const char* function;

  static constexpr CodePlace here(const char* f = __builtin_FILE(), int l = __builtin_LINE(),
                                  const char* n = __builtin_FUNCTION()) {
    return {f, l, n};
  }
};

[[noreturn]] void check_failed(const char* what, const CodePlace& where);

// Ends the process with a line that says where, when `ok` is false. Any thread.
constexpr void check(bool ok, const char* what, const CodePlace& where = CodePlace::here()) {
  if (!ok) [[unlikely]] {
    check_failed(what, where);
  }
}

}  // namespace outrigger
