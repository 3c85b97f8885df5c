#include "server/check_config.h"

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "config/yaml.h"
#include "proxy/route_table.h"
#include "server/token_file.h"
#include "tls/context.h"

namespace outrigger::server {
namespace {

int number(std::string_view text) {
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

config::Diagnostic at_line(const std::string& file, int line, int column, std::string message) {
  config::Diagnostic plain;
  plain.file = file;
  plain.message = std::move(message);
  if (line == 0) return plain;
  auto text = read_regular_file(file, config::YamlLimits{}.bytes_max);
  const config::Source source(file, text ? *std::move(text) : std::string());
  return config::make_diagnostic({&source, line, column}, std::move(plain.message));
}

config::Diagnostic from_line(std::string_view line, const std::string& file) {
  constexpr std::string_view mark = ": error: ";
  const std::size_t at = line.find(mark);
  if (at == std::string_view::npos) {
    const std::size_t begin = line.starts_with(mark.substr(2)) ? mark.size() - 2 : 0;
    return at_line(file, 0, 0, std::string(line.substr(begin)));
  }
  std::string message(line.substr(at + mark.size()));
  const std::string_view place = line.substr(0, at);
  const std::size_t column = place.rfind(':');
  const std::size_t row = column == std::string_view::npos ? column : place.rfind(':', column - 1);
  if (row == std::string_view::npos) return at_line(file, 0, 0, std::move(message));
  return at_line(std::string(place.substr(0, row)), number(place.substr(row + 1, column - row - 1)),
                 number(place.substr(column + 1)), std::move(message));
}

}  // namespace

std::vector<config::Diagnostic> diagnostics_of(std::string_view text, const std::string& file) {
  std::vector<config::Diagnostic> found;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) found.push_back(from_line(text.substr(0, end), file));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return found;
}

std::vector<config::Diagnostic> check_config(const std::shared_ptr<const config::Config>& config,
                                             WallTime now) {
  std::vector<config::Diagnostic> found;
  const auto routes = proxy::RouteTable::compile(config);
  if (!routes) found = diagnostics_of(routes.error().message, "");
  if (config->identity && config->identity->provider == config::Identity::Provider::file) {
    const config::Identity& identity = *config->identity;
    const auto loaded = tls::TlsContext::load(
        {identity.cert, identity.key, identity.ca, identity.crl, identity.trust_domain}, now);
    if (!loaded) {
      found.push_back(
          at_line(identity.at.file, identity.at.line, identity.at.column, loaded.error().message));
    }
  }
  const config::Admin& admin = config->admin;
  if (!admin.token_file.empty()) {
    if (const auto token = read_token(admin.token_file); !token) {
      found.push_back(at_line(admin.at.file, admin.at.line, admin.at.column,
                              "admin.token_file: " + token.error().message));
    }
  }
  return found;
}

}  // namespace outrigger::server
