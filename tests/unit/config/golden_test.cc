// Reports of whole files, as a person sees them: tests/golden/config/NAME.yaml gives NAME.txt. With
// OUTRIGGER_UPDATE=1 in the environment the reports are written instead.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "config/load.h"
#include "support/config_world.h"

namespace outrigger::config {
namespace {

namespace fs = std::filesystem;

std::string content_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

TEST(Golden, ErrorReports) {
  const fs::path folder = fs::path(OUTRIGGER_SOURCE_DIR) / "tests/golden/config";
  World world;
  world.every_file_readable = false;
  world.files = {{"/run/certs/tls.crt", ""}, {"/run/certs/tls.key", ""}};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  }
  ASSERT_GE(files.size(), 4U);
  for (const fs::path& file : files) {
    const LoadResult result =
        load_text(content_of(file), file.filename().string(), world.environment());
    EXPECT_FALSE(result.ok()) << file;
    const std::string report = render(result.errors, false);
    fs::path golden = file;
    golden.replace_extension(".txt");
    if (std::getenv("OUTRIGGER_UPDATE") != nullptr)
      std::ofstream(golden, std::ios::binary) << report;
    EXPECT_EQ(content_of(golden), report) << golden;
  }
}

}  // namespace
}  // namespace outrigger::config
