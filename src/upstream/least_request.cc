#include "upstream/least_request.h"

#include "upstream/choice.h"

namespace outrigger::upstream {

void LeastRequestBalancer::update(std::span<const BalancedEndpoint> endpoints,
                                  std::chrono::nanoseconds /*now*/) {
  endpoints_ = endpoints;
  sampler_.build(endpoints);
}

std::optional<std::uint32_t> LeastRequestBalancer::pick(const PickContext& context) {
  const auto load = [this](std::uint32_t i, double waiting) {
    const BalancedEndpoint& e = endpoints_[i];
    const std::uint32_t active = e.load != nullptr ? e.load->active() : 0;
    return (active + waiting) / e.weight;
  };
  return pick_cheapest(
      context, endpoints_, sampler_, random_, [&](std::uint32_t i) { return load(i, 0); }, load);
}

}  // namespace outrigger::upstream
