#pragma once

#include <filesystem>

namespace outrigger::test {

// The root of the source tree that these tests were built from.
std::filesystem::path source_dir();

}  // namespace outrigger::test
