#include "upstream/random_balancer.h"

#include "upstream/choice.h"

namespace outrigger::upstream {

void RandomBalancer::update(std::span<const BalancedEndpoint> endpoints,
                            std::chrono::nanoseconds /*now*/) {
  endpoints_ = endpoints;
  sampler_.build(endpoints);
}

std::optional<std::uint32_t> RandomBalancer::pick(const PickContext& context) {
  const Candidates candidates(context, static_cast<std::uint32_t>(endpoints_.size()));
  if (candidates.none()) return std::nullopt;
  return candidates.draw(sampler_, endpoints_, random_);
}

}  // namespace outrigger::upstream
