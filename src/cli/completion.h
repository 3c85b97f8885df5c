#pragma once

// Scripts that complete subcommands and options in a shell, made from the command line's own
// description, so what it offers is what is parsed.

#include <CLI/App.hpp>
#include <string>

#include "base/result.h"

namespace outrigger::cli {

// `shell` is bash, zsh or fish.
Result<std::string> completion(const CLI::App& app, const std::string& shell);

}  // namespace outrigger::cli
