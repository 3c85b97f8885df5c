#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace outrigger {

void check_failed(const char* what, const CodePlace& where) {
  std::fprintf(stderr, "outrigger: bug: %s (%s:%d, %s)\n", what, where.file, where.line,
               where.function);
  std::fflush(stderr);
  std::abort();
}

}  // namespace outrigger
