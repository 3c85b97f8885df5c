#pragma once

// How long a request may take, from the route and from what its caller has left. Pure functions.
//
// Two headers carry a caller's remaining time: grpc-timeout bounds a whole gRPC call, and
// x-outrigger-deadline-ms the time until the answer's headers, as a route's timeout does. Both are
// relative, since clocks differ; anybody may send them, for all they can do is shorten.

#include <array>
#include <optional>
#include <string_view>

#include "base/time.h"
#include "config/model.h"
#include "http/head.h"

namespace outrigger::policy {

// No timeout is longer: beyond three days it is a mistake.
inline constexpr Duration timeout_max = hours(72);

// "100m" and the like: one to eight digits and a unit of H M S m u n (the gRPC specification's
// PROTOCOL-HTTP2). Longer ones are timeout_max, zero is zero; nullopt when malformed.
std::optional<Duration> parse_grpc_timeout(std::string_view text);
// One to nine digits, milliseconds; nullopt when malformed.
std::optional<Duration> parse_deadline_ms(std::string_view text);

// Text of the above, in `room`. Rounded down, so that the callee gives up no later than the caller,
// but never to zero.
using TimeoutText = std::array<char, 12>;
std::string_view format_grpc_timeout(Duration left, TimeoutText& room);
std::string_view format_deadline_ms(Duration left, TimeoutText& room);

// What one exchange may take; none is without end.
struct TimeAllowed {
  std::optional<Duration> answer;  // until the answer's headers, retries included
  std::optional<Duration> whole;   // until its end; gRPC callers that say so
};

// The shorter of the route's timeout (0: none) and what the caller has left. A malformed header is
// taken for absent.
TimeAllowed time_allowed(config::Millis route_timeout, const http::Head& request);

// Tells the callee what is left: sets x-outrigger-deadline-ms, and rewrites grpc-timeout if the
// caller sent one (a route's timeout must not end a stream that nobody else bounds). The text goes
// to the head's arena.
void pass_on_deadline(const TimeAllowed& left, http::Head& request);

}  // namespace outrigger::policy
