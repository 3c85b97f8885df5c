#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace outrigger {

void check_failed(const char* what, const std::source_location& where) {
  std::fprintf(stderr, "outrigger: bug: %s (%s:%u, %s)\n", what, where.file_name(), where.line(),
               where.function_name());
  std::fflush(stderr);
  std::abort();
}

}  // namespace outrigger
