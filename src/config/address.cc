#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>

#include "base/utf8.h"
#include "config/diagnostic.h"
#include "config/scalars.h"

namespace outrigger::config {
namespace {

// sockaddr_un holds 108 bytes with the final NUL.
constexpr std::size_t unix_path_max = 107;
constexpr std::size_t host_max = 253;

bool is_ipv4(const std::string& host) {
  in_addr out{};
  return inet_pton(AF_INET, host.c_str(), &out) == 1;
}

bool is_ipv6(const std::string& host) {
  in6_addr out{};
  return inet_pton(AF_INET6, host.c_str(), &out) == 1;
}

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

// A host name: labels of letters, digits, '-' and '_', the last one not a number, which would be a
// broken IPv4 address.
bool is_host_name(std::string_view host) {
  if (host.empty() || host.size() > host_max) return false;
  if (host.back() == '.') host.remove_suffix(1);
  std::size_t label = 0;
  bool numeric = true;
  for (const char c : host) {
    if (c == '.') {
      if (label == 0) return false;
      label = 0;
      numeric = true;
      continue;
    }
    if (!is_name_character(c) || ++label > 63) return false;
    numeric = numeric && c >= '0' && c <= '9';
  }
  return label > 0 && !numeric;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  std::uint32_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port > 65'535)
    return std::nullopt;
  return static_cast<std::uint16_t>(port);
}

Result<Address> parse_unix(std::string_view path) {
  if (path.empty() || path[0] != '/') {
    return Error{"a Unix socket needs an absolute path; write unix:/run/app.sock"};
  }
  if (path.size() > unix_path_max) {
    return Error{"the path of a Unix socket is limited to " + std::to_string(unix_path_max) +
                 " bytes"};
  }
  if (has_control(path))
    return Error{"the path of a Unix socket cannot contain control characters"};
  return Address{std::string(path), 0, true};
}

// Whether `text` reads like an address that lacks something, with the advice to give.
std::optional<std::string> complaint(std::string_view text) {
  if (text.empty()) return "an address is missing; write for example 127.0.0.1:8080";
  if (text.find("://") != std::string_view::npos) {
    return quoted(text) + " is a URL; write host:port";
  }
  if (parse_port(text)) {
    const std::string port(text);
    return quoted(text) + " is only a port; write 127.0.0.1:" + port + " or 0.0.0.0:" + port;
  }
  const std::size_t colon = text.rfind(':');
  if (text[0] != '[' && text.find(':') != colon) {
    if (is_ipv6(std::string(text))) {
      return "an IPv6 address needs brackets and a port: [" + std::string(text) + "]:PORT";
    }
    return quoted(text) + " is not an address; IPv6 is written [::1]:8080";
  }
  if (colon == std::string_view::npos || (text[0] == '[' && text.back() == ']')) {
    return quoted(text) + " has no port; write " + std::string(text) + ":PORT";
  }
  if (colon == 0) {
    const std::string port(text);
    return quoted(text) + " has no host; write 127.0.0.1" + port + " or 0.0.0.0" + port;
  }
  return std::nullopt;
}

}  // namespace

std::string Address::to_string() const {
  if (is_unix) return "unix:" + host;
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<Address> parse_address(std::string_view text, AddressUse use) {
  if (text.starts_with("unix:")) return parse_unix(text.substr(5));
  if (auto wrong = complaint(text)) return Error{*wrong};
  const std::size_t colon = text.rfind(':');
  const auto port = parse_port(text.substr(colon + 1));
  if (!port || (*port == 0 && use == AddressUse::dial)) {
    return Error{quoted(text.substr(colon + 1)) +
                 " is not a port; expected a number from 1 to 65535"};
  }
  std::string host(text.substr(0, colon));
  if (host[0] == '[') {
    host = host.back() == ']' ? host.substr(1, host.size() - 2) : "";
    if (!is_ipv6(host)) return Error{quoted(text) + " has no IPv6 address between its brackets"};
    return Address{std::move(host), *port, false};
  }
  if (is_ipv4(host)) return Address{std::move(host), *port, false};
  if (use == AddressUse::listen) {
    if (host == "localhost") {
      return Error{"listen needs an IP address; write 127.0.0.1:" + std::to_string(*port)};
    }
    if (host == "*") return Error{"write 0.0.0.0:" + std::to_string(*port) + " for every address"};
    return Error{quoted(host) + " is not an IP address; listen cannot be a name"};
  }
  if (!is_host_name(host)) return Error{quoted(host) + " is neither an IP address nor a host name"};
  return Address{std::move(host), *port, false};
}

Result<std::string> parse_cidr(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string host(text.substr(0, slash));
  const bool v4 = is_ipv4(host);
  const bool known = v4 || is_ipv6(host);
  if (known && slash != std::string_view::npos) {
    const auto bits = parse_integer(text.substr(slash + 1), 0, v4 ? 32 : 128);
    if (!bits) return Error{quoted(text) + " has a wrong prefix length"};
  }
  if (!known) {
    return Error{quoted(text) + " is not an address or network; write for example 10.0.0.0/8"};
  }
  return std::string(text);
}

bool is_loopback(const Address& address) {
  return address.is_unix || address.host.starts_with("127.") || address.host == "::1";
}

}  // namespace outrigger::config
