// Any bytes as a configuration: no crash, no throw, bounded time and report, and every error stands
// within the file. The first byte chooses the loader.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "config/load.h"

using namespace outrigger;
using namespace outrigger::config;

namespace {

// Variables have a value of every kind; files hold the text itself, so that includes meet it again.
Environment world(const std::string& text) {
  Environment out = empty_environment();
  out.variable = [](const std::string& name) -> std::optional<std::string> {
    if (name.size() % 3 == 0) return std::nullopt;
    return name.size() % 3 == 1 ? "" : "10.0.0.1:80";
  };
  out.read_file = [&text](const std::string& path, std::size_t) -> Result<std::string> {
    if (path.size() % 2 == 0) return Error{"no such file"};
    return text.substr(0, 4096);
  };
  out.glob = [](const std::string& pattern) {
    return std::vector<std::string>{pattern + "1", pattern + "22"};
  };
  return out;
}

void require(bool ok) {
  if (!ok) std::abort();
}

void check_errors(const std::vector<Diagnostic>& errors) {
  require(errors.size() <= Report::errors_max + 1);
  for (const Diagnostic& d : errors) {
    require(!d.message.empty());
    require(d.line >= 0 && d.column >= 0 && d.length >= 0);
    require(d.line == 0 || d.column >= 1);
  }
  require(errors.empty() == render(errors, false).empty());
  require(!render_json(errors).empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 'e') {
    check_errors(load_endpoints(text, "endpoints.yaml").errors);
    return 0;
  }
  const LoadResult result = load_text(text, "fuzz.yaml", world(text));
  require(result.ok() == result.errors.empty());
  check_errors(result.errors);
  return 0;
}
