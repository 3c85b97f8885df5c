// Every input of the committed corpus through its fuzz target, so that what fuzzing found once
// stays found without a fuzzer. A target ends the process when it is not content; the last input
// named is the one.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <ostream>
#include <string>
#include <vector>

#include "support/source_dir.h"

using FuzzTarget = int(const std::uint8_t* data, std::size_t size);

// OUTRIGGER_FUZZ_TARGETS is TARGET(name) for each file of tests/fuzz.
#define TARGET(name) extern "C" FuzzTarget name##_fuzz;
OUTRIGGER_FUZZ_TARGETS
#undef TARGET

namespace {

struct Target {
  const char* name;
  FuzzTarget* run;
};

void PrintTo(const Target& target, std::ostream* out) {
  *out << target.name;
}

constexpr Target targets[] = {
#define TARGET(name) {#name, name##_fuzz},
    OUTRIGGER_FUZZ_TARGETS
#undef TARGET
};

std::vector<std::uint8_t> read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class Corpus : public testing::TestWithParam<Target> {};

TEST_P(Corpus, Passes) {
  const std::filesystem::path folder =
      outrigger::test::source_dir() / "tests/fuzz/corpus" / GetParam().name;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  ASSERT_GE(files.size(), 5U) << "seeds are missing in " << folder;
  for (const auto& path : files) {
    std::cout << path.filename().string() << std::endl;
    const std::vector<std::uint8_t> input = read(path);
    GetParam().run(input.data(), input.size());
  }
}

INSTANTIATE_TEST_SUITE_P(, Corpus, testing::ValuesIn(targets),
                         [](const auto& given) { return std::string(given.param.name); });

}  // namespace
