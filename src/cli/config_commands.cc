#include "cli/config_commands.h"

#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "config/load.h"
#include "config/reference.h"
#include "server/check_config.h"

namespace outrigger::cli {
namespace {

constexpr int done = 0;
constexpr int config_failure = 1;
constexpr int usage = 64;

void print(std::FILE* to, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), to);
}

}  // namespace

int validate_command(const std::vector<std::string>& files, bool format_json) {
  if (files.empty()) {
    print(stderr, "outrigger validate: name at least one file\n");
    return usage;
  }
  const config::Environment environment = config::process_environment();
  const WallTime now = std::chrono::floor<microseconds>(std::chrono::system_clock::now());
  const bool color = log::wants_color(STDERR_FILENO);
  std::vector<config::Diagnostic> errors;
  std::vector<config::Diagnostic> warnings;
  for (const std::string& file : files) {
    config::LoadResult loaded = config::load_file(file, environment);
    if (loaded.ok()) loaded.errors = server::check_config(loaded.config, now);
    if (!format_json) {
      print(stderr, config::render(loaded.warnings, color));
      if (loaded.errors.empty()) {
        print(stderr, file + ": valid\n");
      } else {
        print(stderr, config::render(loaded.errors, color));
      }
    }
    errors.insert(errors.end(), loaded.errors.begin(), loaded.errors.end());
    warnings.insert(warnings.end(), loaded.warnings.begin(), loaded.warnings.end());
  }
  if (format_json) {
    nlohmann::ordered_json out{{"valid", errors.empty()},
                               {"errors", nlohmann::ordered_json::parse(render_json(errors))},
                               {"warnings", nlohmann::ordered_json::parse(render_json(warnings))}};
    print(stdout, out.dump(2) + "\n");
  }
  return errors.empty() ? done : config_failure;
}

int explain_command(const std::string& path) {
  const auto text = config::explain(path);
  if (!text) {
    print(stderr, "outrigger explain: " + text.error().message + "\n");
    return usage;
  }
  print(stdout, *text);
  return done;
}

int schema_command() {
  print(stdout, config::json_schema());
  return done;
}

}  // namespace outrigger::cli
