#pragma once

// Which protocols the requests of a listener may switch to. An Upgrade to anything else is ignored,
// as RFC 9110 section 7.8 lets a server do: the request goes on as plain HTTP. Const once made; any
// thread.

#include <string>
#include <string_view>
#include <vector>

#include "http/head.h"

namespace outrigger::http {

class Upgrades {
 public:
  // WebSocket and nothing else.
  Upgrades();
  // Names as in the Upgrade field, in any case; "CONNECT" stands for the method.
  explicit Upgrades(std::vector<std::string> names);

  // The protocol as this list spells it, or empty when it is not in the list. The text lives as
  // long as the list.
  std::string_view find(std::string_view protocol) const;
  bool allows_connect() const { return connect_; }
  // No protocol at all; CONNECT aside.
  bool empty() const { return names_.empty(); }

  // What applies where nothing is configured.
  static const Upgrades& standard();

 private:
  std::vector<std::string> names_;
  bool connect_ = false;
};

// How an answer that HTTP/2 cannot say passes between two sidecars. To extended CONNECT a 2xx means
// "switched": an answer of the app that does not switch leaves as 502 with its own status in the
// first of these fields. The second one is a 426's Upgrade, which no HTTP/2 message may have.
inline constexpr std::string_view declined_name = "x-outrigger-declined";
inline constexpr std::string_view demanded_name = "x-outrigger-upgrade";

// HTTP/2 is negotiated by ALPN or known beforehand, never by an upgrade through us: the switch in
// clear text would carry requests past the routes. "h2c", "h2" and "HTTP/…" are in no list.
bool is_http_token(std::string_view protocol);
// token ["/" token]
bool is_protocol(std::string_view protocol);

// Whether the request becomes a tunnel if the server agrees.
inline bool asks_for_tunnel(const Head& request) {
  return request.method == Method::connect || !request.protocol.empty();
}

// Whether an upgrade can go over HTTP/2 as an extended CONNECT (RFC 8441) and come out the same at
// the other end: a protocol that is defined for it, asked for by GET and, for a WebSocket, with the
// key that its HTTP/1 handshake has. All others need an HTTP/1 connection of their own.
bool has_extended_connect(const Head& request);

}  // namespace outrigger::http
