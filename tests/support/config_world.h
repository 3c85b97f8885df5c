#pragma once

// An Environment of given files and variables, for tests of the configuration.

#include <fnmatch.h>

#include <map>
#include <string>
#include <utility>

#include "config/environment.h"

namespace outrigger::config {

struct World {
  std::map<std::string, std::string> files;
  std::map<std::string, std::string> variables;
  bool every_file_readable = true;  // certificates and the like need not be listed

  // Refers to this World, which outlives it.
  Environment environment() const {
    Environment out;
    out.variable = [this](const std::string& name) -> std::optional<std::string> {
      const auto found = variables.find(name);
      if (found == variables.end()) return std::nullopt;
      return found->second;
    };
    out.read_file = [this](const std::string& path, std::size_t bytes_max) -> Result<std::string> {
      const auto found = files.find(path);
      if (found == files.end()) return Error{"cannot read " + path + ": No such file or directory"};
      if (found->second.size() > bytes_max) return Error{"cannot read " + path + ": too large"};
      return found->second;
    };
    out.can_read = [this](const std::string& path) -> Result<void> {
      if (every_file_readable || files.contains(path)) return {};
      return Error{"cannot read " + path + ": No such file or directory"};
    };
    out.glob = [this](const std::string& pattern) {
      std::vector<std::string> found;
      for (const auto& [path, text] : files) {
        if (fnmatch(pattern.c_str(), path.c_str(), FNM_PATHNAME) == 0) found.push_back(path);
      }
      return found;
    };
    return out;
  }
};

}  // namespace outrigger::config
