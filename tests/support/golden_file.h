#pragma once

// Golden files: text that people and tools read is pinned under tests/golden. With
// OUTRIGGER_UPDATE_GOLDEN set the file is written instead of compared; look at the diff then.

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "support/source_dir.h"

namespace outrigger::test {

inline std::string read_source_file(std::string_view path) {
  std::ifstream in(source_dir() / path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// `path` is relative to the source directory.
inline void expect_golden(std::string_view path, const std::string& actual) {
  if (std::getenv("OUTRIGGER_UPDATE_GOLDEN") != nullptr) {
    std::ofstream out(source_dir() / path, std::ios::binary);
    out << actual;
    ASSERT_TRUE(out.good()) << path;
    return;
  }
  EXPECT_EQ(read_source_file(path), actual) << "golden file " << path;
}

}  // namespace outrigger::test
