#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "support/temp_directory.h"

namespace outrigger {
namespace {

struct FileTest : testing::Test {
  std::string error(std::size_t bytes_max = 1024) const {
    const auto read = read_regular_file(path, bytes_max);
    return read ? "none" : read.error().message;
  }
  test::TempDirectory directory;
  const std::string path = directory.path("f");
};

TEST_F(FileTest, ReadsItWhole) {
  const std::string text(200'000, 'x');
  directory.write("f", text);
  EXPECT_EQ(*read_regular_file(path, text.size()), text);
  directory.write("f", "");
  EXPECT_EQ(*read_regular_file(path, 0), "");
}

TEST_F(FileTest, SaysWhy) {
  EXPECT_EQ(error(), "No such file or directory");
  std::filesystem::create_directory(path);
  EXPECT_EQ(error(), "Is a directory");
}

TEST_F(FileTest, HasALimit) {
  directory.write("f", std::string(4097, 'x'));
  EXPECT_EQ(error(4097), "none");
  EXPECT_EQ(error(4096), "it is larger than 4 KiB");
  EXPECT_EQ(error(4095), "it is larger than 4095 bytes");
  directory.write("f", std::string((1 << 20) + 1, 'x'));
  EXPECT_EQ(error(1 << 20), "it is larger than 1 MiB");
}

TEST_F(FileTest, APipeHoldsNobody) {
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(error(), "it is not a regular file");
}

TEST_F(FileTest, ALinkLeadsToTheFile) {
  directory.write("g", "text");
  std::filesystem::create_symlink("g", path);
  EXPECT_EQ(*read_regular_file(path, 4), "text");
}

}  // namespace
}  // namespace outrigger
