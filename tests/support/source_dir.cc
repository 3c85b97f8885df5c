#include "support/source_dir.h"

namespace outrigger::test {

std::filesystem::path source_dir() {
  return OUTRIGGER_SOURCE_DIR;
}

}  // namespace outrigger::test
