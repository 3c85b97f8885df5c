#pragma once

// Checks across fields: references, addresses that are used twice, combinations that make no sense,
// files that cannot be read.

#include "config/environment.h"
#include "config/schema.h"

namespace outrigger::config {

// `root` is the tree that `draft` was read from; it says where things stand.
void validate(const Draft& draft, const YamlNode& root, const Environment& environment,
              Report& report);

}  // namespace outrigger::config
