#pragma once

// Shared by the built-in balancers: which endpoints may be picked, a draw among those, and the
// cheaper of two. Nothing here allocates.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>

#include "base/random.h"
#include "outrigger/load_balancer.h"
#include "upstream/weighted_sampler.h"

namespace outrigger::upstream {

// The endpoints one pick may choose from: the eligible ones that this request has not tried yet,
// or, when there are none, the eligible ones. Lives on the stack of one pick.
class Candidates {
 public:
  // `count` endpoints are in the set; context.eligible covers them.
  Candidates(const PickContext& context, std::uint32_t count);

  // No endpoint may be picked.
  bool none() const { return none_; }
  bool has(std::uint32_t index) const {
    return eligible_(index) && std::find(tried_.begin(), tried_.end(), index) == tried_.end();
  }

  // One of them by weight, but not `except`; none when `except` is the only one.
  std::optional<std::uint32_t> draw(const WeightedSampler& sampler,
                                    std::span<const BalancedEndpoint> endpoints, Random& random,
                                    std::uint32_t except = nobody) const;

  static constexpr std::uint32_t nobody = ~0U;

 private:
  std::optional<std::uint32_t> draw_by_scan(std::span<const BalancedEndpoint> endpoints,
                                            Random& random, std::uint32_t except) const;

  EligibleSet eligible_;
  std::span<const std::uint32_t> tried_;
  bool none_ = false;
};

// Up to this many endpoints are all compared; of more, two are drawn.
inline constexpr std::size_t full_scan_max = 4;

// The cheapest of all when there are few, or else the cheaper of two distinct ones drawn by weight
// (Mitzenmacher 2001). With two endpoints, drawing with replacement would pick the more expensive
// one a quarter of the time.
//
// `cost(i)` is what one more request costs at endpoint i; ties are broken at random. `race(i, x)`
// is used instead where few endpoints of different weights are all compared: the same cost, but
// with the waiting request itself counted as `x`, an exponential variate of mean 1, and divided by
// the weight. The smallest of such variates belongs to i with a probability in proportion to its
// weight, so that weights hold even while all endpoints are idle. Without it the heaviest idle
// endpoint would be picked every time, or a light idle one ahead of every heavy busy one.
template <typename Cost, typename Race>
std::optional<std::uint32_t> pick_cheapest(const PickContext& context,
                                           std::span<const BalancedEndpoint> endpoints,
                                           const WeightedSampler& sampler, Random& random,
                                           Cost&& cost, Race&& race) {
  const auto count = static_cast<std::uint32_t>(endpoints.size());
  const Candidates candidates(context, count);
  if (candidates.none()) return std::nullopt;

  if (count > full_scan_max) {
    const std::optional<std::uint32_t> first = candidates.draw(sampler, endpoints, random);
    const std::optional<std::uint32_t> second =
        candidates.draw(sampler, endpoints, random, first.value_or(Candidates::nobody));
    if (!first || !second) return first;
    return cost(*second) < cost(*first) ? second : first;
  }

  std::optional<std::uint32_t> best;
  double best_cost = 0;
  std::uint32_t ties = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!candidates.has(i)) continue;
    const double c = sampler.equal_weights() ? cost(i) : race(i, -std::log1p(-random.unit()));
    if (!best || c < best_cost) {
      best = i;
      best_cost = c;
      ties = 1;
    } else if (c == best_cost && random.below(++ties) == 0) {
      best = i;
    }
  }
  return best;
}

}  // namespace outrigger::upstream
