#pragma once

// What the lines of an HTTP/1 head mean: the normal form of http/head.h, and how the body is framed
// (RFC 9112 sections 3, 6 and 9). A message has one framing or none; whatever two readers could
// take in two ways is malformed. Pure functions over a parsed head.

#include <cstdint>
#include <string>
#include <string_view>

#include "http/h1_parser.h"
#include "http/head.h"

namespace outrigger::http {

enum class H1Body : std::uint8_t {
  none,
  length,
  chunked,
  until_close,  // answers only
  tunnel,       // after 101, or 2xx to CONNECT: bytes until the end, in both directions
};

struct H1Framing {
  H1Body body = H1Body::none;
  std::uint64_t length = 0;
  bool keep_alive = false;         // as far as this message is concerned
  bool upgrade = false;            // request: a tunnel may follow the body
  std::string_view websocket_key;  // request
  std::uint32_t twins = 0;         // fields that were dropped: see is_twin()
};

// Fills `head` from a complete request. `text` is the head's bytes, where its slices shall point.
// `scheme`: of the connection; an absolute target overrides it. An Upgrade to what is not among
// `upgrades` leaves no trace. Returns complete or a fault.
H1Verdict read_request(const H1Parser& parser, std::string_view text, std::string_view scheme,
                       const Upgrades& upgrades, Head& head, H1Framing& framing);

// What an answer's meaning depends on.
struct H1Asked {
  bool head = false;
  bool connect = false;
  std::string protocol{};  // of an upgrade
};
H1Verdict read_answer(const H1Parser& parser, std::string_view text, const H1Asked& asked,
                      Head& head, H1Framing& framing);

// Adds the trailers that may pass; returns how many were twins (is_twin()). `text` is the trailer
// section's bytes.
std::uint32_t read_trailers(const H1Parser& parser, std::string_view text, Fields& trailers);

// Fields that belong to one connection or are written anew by every encoder.
bool is_framing(Known known);
// Answers that never have a body, whatever their fields say.
inline bool is_bodyless(int status) {
  return status < 200 || status == 204 || status == 304;
}

}  // namespace outrigger::http
