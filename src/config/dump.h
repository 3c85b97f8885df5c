#pragma once

// The configuration as it was read, included files merged: as JSON for the admin page, and as the
// hash that names it. Pure.

#include <string>

#include "config/yaml.h"

namespace outrigger::config {

// Variables stand as they are written, because what they hold may be a secret; of the values of
// headers and query parameters nothing else is shown, see without_literals().
std::string to_json(const YamlNode& root);

// Sixteen hexadecimal digits that name what is in force: FNV-1a of the same JSON with its variables
// filled in. As they are written stay those of `node`, which tell instances of one configuration
// apart, and those in values of headers and query parameters, the only place for a secret in the
// language: the hash is public, and a short secret could be guessed by it.
std::string hash_of(const YamlNode& root);

}  // namespace outrigger::config
