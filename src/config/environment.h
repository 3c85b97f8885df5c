#pragma once

// The environment in which a configuration is read: variables and files. A value that consists of
// functions, so that tests and the fuzzer can provide their own.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace outrigger::config {

struct Environment {
  std::function<std::optional<std::string>(const std::string& name)> variable;
  // The whole file; an error when it cannot be read or is larger than `bytes_max`.
  std::function<Result<std::string>(const std::string& path, std::size_t bytes_max)> read_file;
  // Whether a file could be read now.
  std::function<Result<void>(const std::string& path)> can_read;
  // Files that match a shell pattern, in name order.
  std::function<std::vector<std::string>(const std::string& pattern)> glob;
};

// This process's environment variables and file system.
Environment process_environment();
// No variables and no files.
Environment empty_environment();

}  // namespace outrigger::config
