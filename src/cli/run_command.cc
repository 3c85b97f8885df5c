#include "cli/run_command.h"

#include <unistd.h>

#include <cstdio>

#include "base/log.h"
#include "config/diagnostic.h"
#include "config/environment.h"
#include "config/load.h"
#include "server/check_config.h"
#include "server/server.h"

namespace outrigger::cli {
namespace {

void show(const std::vector<config::Diagnostic>& found) {
  std::fputs(config::render(found, log::wants_color(STDERR_FILENO)).c_str(), stderr);
}

int refuse(const std::vector<config::Diagnostic>& errors) {
  show(errors);
  return 1;
}

}  // namespace

int run_command(const std::string& config_file) {
  const config::LoadResult loaded = config::load_file(config_file, config::process_environment());
  if (!loaded.ok()) {
    return refuse(loaded.errors);
  }
  show(loaded.warnings);
  auto server = server::Server::prepare(loaded.config);
  if (!server) {
    return refuse(server::diagnostics_of(server.error().message, config_file));
  }
  return (*server)->run();
}

}  // namespace outrigger::cli
