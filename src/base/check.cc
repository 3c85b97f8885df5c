#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace outrigger {

void check_failed(const char* what, const char* file, unsigned line, const char* function) {
  std::fprintf(stderr, "outrigger: bug: %s (%s:%u, %s)\n", what, file, line, function);
  std::fflush(stderr);
  std::abort();
}

}  // namespace outrigger
