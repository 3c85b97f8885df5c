#pragma once

// `least_request`: the endpoint with the fewest requests in flight relative to its weight, of two
// drawn by weight, or of all when there are four or fewer. Load counts the requests of all workers.

#include "base/random.h"
#include "outrigger/load_balancer.h"
#include "upstream/weighted_sampler.h"

namespace outrigger::upstream {

class LeastRequestBalancer final : public LoadBalancer {
 public:
  explicit LeastRequestBalancer(const BalancerOptions& options) : random_(options.seed) {}

  void update(std::span<const BalancedEndpoint> endpoints, std::chrono::nanoseconds now) override;
  std::optional<std::uint32_t> pick(const PickContext& context) override;

 private:
  std::span<const BalancedEndpoint> endpoints_;
  WeightedSampler sampler_;
  Random random_;
};

}  // namespace outrigger::upstream
