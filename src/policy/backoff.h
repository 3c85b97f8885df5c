#pragma once

// How long to wait before trying again. Pure functions.

#include <optional>
#include <string_view>

#include "base/random.h"
#include "base/time.h"
#include "config/model.h"

namespace outrigger::policy {

// Full jitter ("Exponential Backoff And Jitter", Brooker 2015): uniform between nothing and
// base x 2^(retry - 1), at most the configured maximum. `retry` counts from 1.
Duration backoff(const config::Retry& config, int retry, Random& random);

// Retry-After (RFC 9110 section 10.2.3): seconds, or a date in the preferred format. At most a day,
// not less than nothing; nullopt when malformed.
std::optional<Duration> parse_retry_after(std::string_view text, WallTime now);

// grpc-retry-pushback-ms (gRFC A6). A value that is negative or not a number says: do not retry.
struct Pushback {
  bool stop = false;
  Duration delay{};
};
Pushback parse_pushback(std::string_view text);

}  // namespace outrigger::policy
