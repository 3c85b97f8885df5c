#pragma once

// `round_robin`: endpoints in turn, each as often as its weight says and evenly spaced.
//
// update() makes a schedule that pick() cycles through. In it an endpoint of weight w has w equally
// spaced places, shifted by a fraction of its own so that endpoints of equal weight do not bunch
// up: in any stretch of the schedule an endpoint appears as often as its share requires, give or
// take one or two. Each worker starts at a random place; otherwise all would send their first
// request to the same endpoint.

#include <vector>

#include "base/random.h"
#include "outrigger/load_balancer.h"

namespace outrigger::upstream {

class RoundRobinBalancer final : public LoadBalancer {
 public:
  explicit RoundRobinBalancer(const BalancerOptions& options) : random_(options.seed) {}

  void update(std::span<const BalancedEndpoint> endpoints, std::chrono::nanoseconds now) override;
  std::optional<std::uint32_t> pick(const PickContext& context) override;

  // The schedule has at most this many places for each endpoint (or 1,024 in all, if that is more).
  // Weights that would need more are scaled down and rounded, never below one place.
  static constexpr std::size_t places_max = 8;

 private:
  std::uint32_t advance() {
    if (next_ >= length_) next_ = 0;
    const std::size_t at = next_++;
    return schedule_.empty() ? static_cast<std::uint32_t>(at) : schedule_[at];
  }

  std::uint32_t count_ = 0;
  std::vector<std::uint32_t> schedule_;  // empty when all weights are equal: then in order
  std::size_t length_ = 0;               // of the schedule
  std::size_t next_ = 0;
  Random random_;
};

}  // namespace outrigger::upstream
