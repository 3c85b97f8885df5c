// Reports of whole files, as users see them: tests/golden/config/NAME.yaml gives NAME.txt.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "config/load.h"
#include "support/config_world.h"
#include "support/golden_file.h"
#include "support/source_dir.h"

namespace outrigger::config {
namespace {

namespace fs = std::filesystem;

TEST(Golden, ErrorReports) {
  const std::string folder = "tests/golden/config/";
  World world;
  world.every_file_readable = false;
  world.files = {{"/run/certs/tls.crt", ""}, {"/run/certs/tls.key", ""}};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(test::source_dir() / folder)) {
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  }
  ASSERT_GE(files.size(), 4U);
  for (const fs::path& file : files) {
    const std::string name = file.filename().string();
    const LoadResult result =
        load_text(test::read_source_file(folder + name), name, world.environment());
    EXPECT_FALSE(result.ok()) << file;
    test::expect_golden(folder + file.stem().string() + ".txt", render(result.errors, false));
  }
}

}  // namespace
}  // namespace outrigger::config
