#pragma once

// The points that the well-known HTTP/2 conformance suite (h2spec) tests, by its names for them,
// and the case of h2_cases.h that covers each: towards our server, and its mirror image towards our
// client. Where a point makes no sense for a client, its mirror is the nearest rule for answers.

#include <vector>

namespace outrigger::http::h2 {

struct Point {
  const char* id;  // group/section/number; sections of "http2" and "generic" are RFC 7540's
  const char* server_case;
  const char* client_case;
};
// All 147, the strict one too.
const std::vector<Point>& points_of_servers();

// The suite for clients, whose sections are numbered on their own.
struct ClientPoint {
  const char* id;
  const char* client_case;
};
const std::vector<ClientPoint>& points_of_clients();

}  // namespace outrigger::http::h2
