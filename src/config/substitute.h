#pragma once

// ${VAR}, ${VAR:-default} and ${file:/path} in the scalars of a parsed tree; $${ stands for ${.
// Done after parsing, so that a value cannot inject structure. Keys are taken as they are.

#include <string>
#include <string_view>

#include "config/environment.h"
#include "config/yaml.h"

namespace outrigger::config {

void substitute(YamlNode& root, const Environment& environment, Report& report);

// What a file has for a scalar, with its variables as they are written and "***" for all else:
// "Bearer ${TOKEN:-x}" becomes "***${TOKEN:-***}".
std::string without_literals(std::string_view written);

}  // namespace outrigger::config
