#include "admin/gate.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "net/socket.h"

namespace outrigger::admin {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  return out;
}

// "localhost:15000" -> "localhost", "[::1]:15000" -> "::1".
std::string without_port(std::string_view host) {
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    return lower(host.substr(1, end == std::string_view::npos ? end : end - 1));
  }
  return lower(host.substr(0, host.find(':')));
}

bool is_literal(const std::string& host) {
  return net::SocketAddress::ip(host, 0).valid();
}

// Takes as long for a wrong token as for the right one.
bool equal_in_constant_time(std::string_view a, std::string_view b) {
  std::uint8_t difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const char other = i < b.size() ? b[i] : '\0';
    difference = static_cast<std::uint8_t>(difference | (a[i] ^ other));
  }
  return difference == 0;
}

}  // namespace

std::optional<Response> Gate::refuse(const Request& request) const {
  // Without a Host (HTTP/1.0) there is no browser.
  if (!request.host.empty() && !host_allowed(without_port(request.host))) {
    return Response{.status = 403,
                    .body = "forbidden: the Host header does not name this process\n"};
  }
  if (!request.origin.empty()) {
    const std::string origin = lower(request.origin);
    const std::string host = lower(request.host);
    if (origin != "http://" + host && origin != "https://" + host) {
      return Response{.status = 403, .body = "forbidden: cross-origin request\n"};
    }
  }
  const std::string site = lower(request.sec_fetch_site);
  if (!site.empty() && site != "none" && site != "same-origin") {
    return Response{.status = 403, .body = "forbidden: cross-site request\n"};
  }
  if (access_.token && !token_matches(request.authorization)) {
    return Response{.status = 401,
                    .body = "unauthorized: send the admin token as a bearer token\n",
                    .headers = {{"www-authenticate", "Bearer"}}};
  }
  return std::nullopt;
}

bool Gate::host_allowed(const std::string& host) const {
  if (host == "localhost" || host == "::1") return true;
  const bool literal = is_literal(host);
  if (literal && host.starts_with("127.")) return true;
  return std::ranges::any_of(access_.hosts, [&](const std::string& ours) {
    if (ours == "0.0.0.0" || ours == "::") return literal;
    return lower(ours) == host;
  });
}

bool Gate::token_matches(const std::string& authorization) const {
  constexpr std::size_t scheme_size = 7;
  if (lower(std::string_view(authorization).substr(0, scheme_size)) != "bearer ") return false;
  return equal_in_constant_time(access_.token->get(),
                                std::string_view(authorization).substr(scheme_size));
}

}  // namespace outrigger::admin
