#include "policy/retry_budget.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace outrigger::policy {

bool RetryFloor::try_take() {
  std::uint32_t taken = taken_.load(std::memory_order_relaxed);
  while (taken < max_) {
    if (taken_.compare_exchange_weak(taken, taken + 1, std::memory_order_relaxed)) return true;
  }
  return false;
}

RetryBudget::Permit::Permit(Permit&& other) noexcept
    : floor_(std::exchange(other.floor_, nullptr)),
      granted_(std::exchange(other.granted_, false)) {}

RetryBudget::Permit& RetryBudget::Permit::operator=(Permit&& other) noexcept {
  if (this != &other) {
    release();
    floor_ = std::exchange(other.floor_, nullptr);
    granted_ = std::exchange(other.granted_, false);
  }
  return *this;
}

void RetryBudget::Permit::release() {
  granted_ = false;
  if (floor_ != nullptr) std::exchange(floor_, nullptr)->give();
}

RetryBudget::Permit RetryBudget::try_take(TimePoint now) {
  RetryFloor* floor = nullptr;
  if (!within_share(now)) {
    if (!floor_.try_take()) return {};
    floor = &floor_;
  }
  slot(now).retries += 1;
  return Permit(true, floor);
}

bool RetryBudget::within_share(TimePoint now) {
  return static_cast<double>(retries(now) + 1) <= share_ * static_cast<double>(requests(now));
}

std::uint64_t RetryBudget::requests(TimePoint now) {
  slot(now);
  return std::accumulate(slots_.begin(), slots_.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const Slot& s) { return sum + s.requests; });
}

std::uint64_t RetryBudget::retries(TimePoint now) {
  slot(now);
  return std::accumulate(slots_.begin(), slots_.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const Slot& s) { return sum + s.retries; });
}

// Empties the slots of the seconds that have begun since the last call.
void RetryBudget::advance(std::int64_t second) {
  constexpr auto window = static_cast<std::int64_t>(window_seconds);
  const std::int64_t first = std::max(second_ + 1, second - window + 1);
  for (std::int64_t s = first; s <= second; ++s) slots_[static_cast<std::size_t>(s % window)] = {};
  second_ = second;
}

}  // namespace outrigger::policy
