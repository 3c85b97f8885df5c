#pragma once

// The configuration as it was read, as JSON for the admin page: included files are merged, but
// variables stand as they are written, because what they hold may be a secret. Pure.

#include <string>

#include "config/yaml.h"

namespace outrigger::config {

std::string to_json(const YamlNode& root);
// Sixteen hexadecimal digits that name a configuration: FNV-1a of its JSON.
std::string hash_of(const std::string& json);

}  // namespace outrigger::config
