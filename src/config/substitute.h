#pragma once

// ${VAR}, ${VAR:-default} and ${file:/path} in the scalars of a parsed tree; $${ stands for ${.
// Done after parsing, so that a value cannot inject structure. Keys are taken as they are.

#include "config/environment.h"
#include "config/yaml.h"

namespace outrigger::config {

void substitute(YamlNode& root, const Environment& environment, Report& report);

}  // namespace outrigger::config
