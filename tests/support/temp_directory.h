#pragma once

// A directory of one test's own, removed with all it holds.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace outrigger::test {

class TempDirectory {
 public:
  TempDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "outrigger-XXXXXX").string();
    path_ = ::mkdtemp(name.data()) != nullptr ? name : "";
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string path(std::string_view name) const { return path_ + "/" + std::string(name); }
  // In place: truncates, then writes.
  void write(std::string_view name, std::string_view text) const {
    std::ofstream(path(name), std::ios::binary) << text;
  }
  void append(std::string_view name, std::string_view text) const {
    std::ofstream(path(name), std::ios::binary | std::ios::app) << text;
  }
  // Atomically, as careful writers do.
  void replace(std::string_view name, std::string_view text) const {
    write(std::string(name) + ".new", text);
    std::filesystem::rename(path(std::string(name) + ".new"), path(name));
  }
  void remove(std::string_view name) const { std::filesystem::remove_all(path(name)); }

 private:
  std::string path_;
};

}  // namespace outrigger::test
