#pragma once

// What only the rooms that use it can tell of a configuration, found before anything runs: patterns that
// do not compile, a key that does not belong to its certificate. Part of `outrigger validate`.

#include <memory>
#include <vector>

#include "base/time.h"
#include "config/diagnostic.h"
#include "config/model.h"

namespace outrigger::server {

std::vector<config::Diagnostic> check_config(const std::shared_ptr<const config::Config>& config, WallTime now);

}  // namespace outrigger::server
