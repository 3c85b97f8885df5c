// Headers that policies read numbers from: grpc-timeout, x-outrigger-deadline-ms, Retry-After and
// grpc-retry-pushback-ms. Whatever they say, what comes out is within bounds, and a timeout that is
// passed on never grows.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "policy/backoff.h"
#include "policy/timeout.h"

namespace {

using namespace outrigger;

void require(bool ok) {
  if (!ok) std::abort();
}

bool within(std::optional<Duration> d, Duration most) {
  return !d || (*d >= Duration::zero() && *d <= most);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  policy::TimeoutText room;
  const auto timeout = policy::parse_grpc_timeout(text);
  require(within(timeout, policy::timeout_max));
  if (timeout && timeout->count() > 0) {
    const auto again = policy::parse_grpc_timeout(policy::format_grpc_timeout(*timeout, room));
    require(again && *again <= *timeout);
  }
  const auto deadline = policy::parse_deadline_ms(text);
  require(within(deadline, policy::timeout_max));
  if (deadline && deadline->count() > 0) {
    require(policy::parse_deadline_ms(policy::format_deadline_ms(*deadline, room)) == deadline);
  }
  const WallTime now = std::chrono::sys_days(std::chrono::year(2026) / 11 / 22);
  require(within(policy::parse_retry_after(text, now), hours(24)));
  require(within(policy::parse_pushback(text).delay, hours(24)));
  return 0;
}
