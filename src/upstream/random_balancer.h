#pragma once

// `random`: each pick is drawn by weight, independently of previous ones.

#include "base/random.h"
#include "outrigger/load_balancer.h"
#include "upstream/weighted_sampler.h"

namespace outrigger::upstream {

class RandomBalancer final : public LoadBalancer {
 public:
  explicit RandomBalancer(const BalancerOptions& options) : random_(options.seed) {}

  void update(std::span<const BalancedEndpoint> endpoints, std::chrono::nanoseconds now) override;
  std::optional<std::uint32_t> pick(const PickContext& context) override;

 private:
  std::span<const BalancedEndpoint> endpoints_;
  WeightedSampler sampler_;
  Random random_;
};

}  // namespace outrigger::upstream
