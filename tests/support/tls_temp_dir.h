#pragma once

// A directory that lives as long as the test.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace outrigger::test {

class TlsTempDir {
 public:
  TlsTempDir() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "outrigger-tls-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  TlsTempDir(const TlsTempDir&) = delete;
  TlsTempDir& operator=(const TlsTempDir&) = delete;
  ~TlsTempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string operator/(std::string_view name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }
  // Writes a new file and renames it into place, as a rotation should.
  std::string write(std::string_view name, std::string_view text) const {
    const std::string path = *this / name;
    {
      std::ofstream file(path + ".new", std::ios::binary);
      file << text;
    }
    std::filesystem::rename(path + ".new", path);
    return path;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace outrigger::test
