#pragma once

// The subcommands that need no running process: validate, explain, schema. Each prints and returns
// the exit code: 0 done, 1 the configuration is wrong, 64 wrong usage.

#include <string>
#include <vector>

namespace outrigger::cli {

// Loads each file by itself. Errors go to stderr as text, or to stdout as one JSON document.
int validate_command(const std::vector<std::string>& files, bool format_json);

// What the language has at a path; without one, its top level.
int explain_command(const std::string& path);

// The JSON Schema.
int schema_command();

}  // namespace outrigger::cli
