#pragma once

// `outrigger run`: loads the configuration and runs the daemon in the foreground.

#include <string>

namespace outrigger::cli {

// 0 after a drain, 1 when it could not start, 2 when a second signal forced it to quit.
int run_command(const std::string& config_file);

}  // namespace outrigger::cli
