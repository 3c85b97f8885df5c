#include "policy/breaker.h"

#include <algorithm>

#include "base/check.h"

namespace outrigger::policy {

std::uint32_t SharedLimit::take(std::uint32_t wanted) {
  std::uint32_t taken = taken_.load(std::memory_order_relaxed);
  for (;;) {
    const std::uint32_t most = limit();
    if (taken >= most) return 0;
    const std::uint32_t got = std::min(wanted, most - taken);
    if (taken_.compare_exchange_weak(taken, taken + got, std::memory_order_relaxed)) return got;
  }
}

LocalLimit::~LocalLimit() {
  check(used_ == 0, "a breaker's permit outlives its worker");
  shared_.give(held_);
}

bool LocalLimit::take_more() {
  const std::uint32_t got = shared_.take(shared_.near_edge() ? 1 : shared_.batch());
  held_ += got;
  if (got > 0) return true;
  refused_.add();
  open_ = true;
  return false;
}

// Near the edge all that is unused. Otherwise one batch, so that a load which goes up and down by
// less than that never comes here.
void LocalLimit::return_credits() {
  const std::uint32_t spare = held_ - used_;
  const std::uint32_t back = shared_.near_edge() ? spare : std::min(spare, shared_.batch());
  held_ -= back;
  if (back > 0) shared_.give(back);
}

}  // namespace outrigger::policy
