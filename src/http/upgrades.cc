#include "http/upgrades.h"

#include <algorithm>
#include <utility>

#include "http/head.h"
#include "http/validation.h"

namespace outrigger::http {

Upgrades::Upgrades() : names_{"websocket"} {}

Upgrades::Upgrades(std::vector<std::string> names) : names_(std::move(names)) {
  const auto connect = std::find_if(names_.begin(), names_.end(), [](const std::string& name) {
    return equal_ignoring_case(name, "CONNECT");
  });
  connect_ = connect != names_.end();
  if (connect_) names_.erase(connect);
}

std::string_view Upgrades::find(std::string_view protocol) const {
  for (const std::string& name : names_) {
    if (equal_ignoring_case(name, protocol)) return name;
  }
  return {};
}

const Upgrades& Upgrades::standard() {
  static const Upgrades websocket;
  return websocket;
}

bool is_http_token(std::string_view protocol) {
  return equal_ignoring_case(protocol, "h2c") || equal_ignoring_case(protocol, "h2") ||
         (protocol.size() >= 5 && equal_ignoring_case(protocol.substr(0, 5), "http/"));
}

bool is_protocol(std::string_view protocol) {
  const std::size_t slash = protocol.find('/');
  return is_token(protocol.substr(0, slash)) &&
         (slash == protocol.npos || is_token(protocol.substr(slash + 1)));
}

bool has_extended_connect(const Head& request) {
  if (request.method != Method::get) return false;
  if (request.version == Version::http2) return true;
  if (equal_ignoring_case(request.protocol, "websocket"))
    return request.fields.has(Known::sec_websocket_key);
  // RFC 9298 and RFC 9484.
  return equal_ignoring_case(request.protocol, "connect-udp") ||
         equal_ignoring_case(request.protocol, "connect-ip");
}

}  // namespace outrigger::http
