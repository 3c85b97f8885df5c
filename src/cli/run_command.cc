#include "cli/run_command.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "config/diagnostic.h"
#include "config/environment.h"
#include "config/load.h"
#include "server/server.h"

namespace outrigger::cli {

int run_command(const std::string& config_file) {
  const config::LoadResult loaded = config::load_file(config_file, config::process_environment());
  if (!loaded.ok()) {
    std::fputs(config::render(loaded.errors, isatty(STDERR_FILENO) != 0 && getenv("NO_COLOR") == nullptr).c_str(), stderr);
    return 1;
  }
  auto server = server::Server::prepare(loaded.config);
  if (!server) {
    std::fprintf(stderr, "%s\n", server.error().message.c_str());
    return 1;
  }
  return (*server)->run();
}

}  // namespace outrigger::cli
