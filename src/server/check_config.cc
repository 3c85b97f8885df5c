#include "server/check_config.h"

#include <charconv>
#include <string_view>

#include "proxy/route_table.h"
#include "tls/context.h"

namespace outrigger::server {
namespace {

int number(std::string_view text) {
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// "FILE:LINE:COLUMN: error: MESSAGE", as the route table writes its errors.
config::Diagnostic from_line(std::string_view line) {
  config::Diagnostic diagnostic;
  constexpr std::string_view mark = ": error: ";
  const std::size_t at = line.find(mark);
  diagnostic.message = line.substr(at == std::string_view::npos ? 0 : at + mark.size());
  if (at == std::string_view::npos) return diagnostic;
  const std::string_view place = line.substr(0, at);
  const std::size_t column = place.rfind(':');
  const std::size_t row = column == std::string_view::npos ? column : place.rfind(':', column - 1);
  if (row == std::string_view::npos) return diagnostic;
  diagnostic.file = place.substr(0, row);
  diagnostic.line = number(place.substr(row + 1, column - row - 1));
  diagnostic.column = number(place.substr(column + 1));
  return diagnostic;
}

}  // namespace

std::vector<config::Diagnostic> check_config(const std::shared_ptr<const config::Config>& config, WallTime now) {
  std::vector<config::Diagnostic> found;
  const auto routes = proxy::RouteTable::compile(config);
  if (!routes) {
    std::string_view rest = routes.error().message;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      if (end > 0) found.push_back(from_line(rest.substr(0, end)));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  if (config->identity && config->identity->provider == config::Identity::Provider::file) {
    const config::Identity& identity = *config->identity;
    const auto loaded =
        tls::TlsContext::load({identity.cert, identity.key, identity.ca, identity.crl, identity.trust_domain}, now);
    if (!loaded) {
      config::Diagnostic diagnostic;
      diagnostic.file = identity.at.file;
      diagnostic.line = identity.at.line;
      diagnostic.column = identity.at.column;
      diagnostic.message = loaded.error().message;
      found.push_back(std::move(diagnostic));
    }
  }
  return found;
}

}  // namespace outrigger::server
