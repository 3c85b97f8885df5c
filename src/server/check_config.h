#pragma once

// Checks of a configuration that only the rooms using it can make, before anything runs: patterns
// that do not compile, a key that does not belong to its certificate, a token file without a token.
// Part of `outrigger validate`.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "config/diagnostic.h"
#include "config/model.h"

namespace outrigger::server {

// Errors as other rooms write them, a line each: "FILE:LINE:COLUMN: error: MESSAGE", with the line
// of the file that they point to. One without a place stands for `file` as a whole.
std::vector<config::Diagnostic> diagnostics_of(std::string_view text, const std::string& file);

std::vector<config::Diagnostic> check_config(const std::shared_ptr<const config::Config>& config,
                                             WallTime now);

}  // namespace outrigger::server
