#pragma once

// A configuration from its file to the typed model: parse, fill in variables, put included files
// together, read by the tables, check what hangs together. All errors are collected; with any of
// them there is no configuration. Any thread; no state.

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/diagnostic.h"
#include "config/environment.h"
#include "config/model.h"

namespace outrigger::config {

struct LoadResult {
  std::shared_ptr<const Config> config;  // null when there are errors
  std::vector<Diagnostic> errors;
  std::vector<Diagnostic> warnings;
  std::vector<std::string> files;  // what was read: the main file, then what it includes

  bool ok() const { return config != nullptr; }
};

LoadResult load_file(const std::string& path, const Environment& environment);
// `name` stands for the file in messages, and its directory for relative paths.
LoadResult load_text(std::string text, const std::string& name, const Environment& environment);

// The endpoints file of a registry, without variables: under `services`, a map of services and the
// list of their endpoints, each written as in the configuration. Some 250,000 endpoints with zone
// and weight fit the limits.
inline constexpr std::size_t endpoints_file_bytes_max = 16 * 1024 * 1024;
inline constexpr std::size_t endpoints_file_values_max = 2'000'000;
struct EndpointsResult {
  std::map<std::string, std::vector<Endpoint>> services;
  std::vector<Diagnostic> errors;
};
// Gives up soon after `abandoned` has become true, with a result that is worth nothing.
EndpointsResult load_endpoints(std::string text, const std::string& name,
                               const std::atomic<bool>* abandoned = nullptr);

}  // namespace outrigger::config
