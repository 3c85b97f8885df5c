#include "upstream/weighted_sampler.h"

#include <algorithm>

namespace outrigger::upstream {

void WeightedSampler::build(std::span<const BalancedEndpoint> endpoints) {
  size_ = static_cast<std::uint32_t>(endpoints.size());
  columns_.clear();
  equal_ = std::all_of(endpoints.begin(), endpoints.end(), [&](const BalancedEndpoint& e) {
    return e.weight == endpoints.front().weight;
  });
  if (equal_) {
    columns_.shrink_to_fit();
    return;
  }

  double total = 0;
  for (const BalancedEndpoint& e : endpoints) total += e.weight;
  // Each column holds a share of 1. Columns with less are filled up from those with more.
  std::vector<double> share(size_);
  std::vector<std::uint32_t> poor, rich;
  for (std::uint32_t i = 0; i < size_; ++i) {
    share[i] = endpoints[i].weight * static_cast<double>(size_) / total;
    (share[i] < 1 ? poor : rich).push_back(i);
  }
  columns_.resize(size_);
  while (!poor.empty() && !rich.empty()) {
    const std::uint32_t low = poor.back();
    poor.pop_back();
    const std::uint32_t high = rich.back();
    columns_[low] = {static_cast<std::uint32_t>(share[low] * 0x1.0p32), high};
    share[high] -= 1 - share[low];
    if (share[high] < 1) {
      rich.pop_back();
      poor.push_back(high);
    }
  }
  // Whatever remains on either side holds exactly 1, except for rounding.
  for (const std::uint32_t i : rich) columns_[i] = {~0U, i};
  for (const std::uint32_t i : poor) columns_[i] = {~0U, i};
}

}  // namespace outrigger::upstream
