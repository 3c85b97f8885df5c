#include "upstream/choice.h"

#include <bit>

namespace outrigger::upstream {
namespace {

// A draw that meets an ineligible endpoint is repeated this often before the whole set is scanned:
// with half of the endpoints eligible, that happens once in 256 picks.
constexpr int draws_max = 8;

}  // namespace

Candidates::Candidates(const PickContext& context, std::uint32_t count)
    : eligible_(context.eligible), tried_(context.tried) {
  if (count == 0 || eligible_.words().empty()) {
    none_ = true;
    return;
  }
  // Eligible endpoints are counted only until there are more than could have been tried.
  std::size_t eligible = 0;
  for (const std::uint64_t word : eligible_.words()) {
    eligible += static_cast<std::size_t>(std::popcount(word));
    if (eligible > tried_.size()) return;
  }
  none_ = eligible == 0;
  for (std::uint32_t i = 0; i < count && !none_; ++i) {
    if (has(i)) return;
  }
  tried_ = {};  // all have been tried, so all are candidates again
}

std::optional<std::uint32_t> Candidates::draw(const WeightedSampler& sampler,
                                              std::span<const BalancedEndpoint> endpoints,
                                              Random& random, std::uint32_t except) const {
  for (int i = 0; i < draws_max; ++i) {
    const std::uint32_t index = sampler.draw(random);
    if (index != except && has(index)) return index;
  }
  return draw_by_scan(endpoints, random, except);
}

std::optional<std::uint32_t> Candidates::draw_by_scan(std::span<const BalancedEndpoint> endpoints,
                                                      Random& random, std::uint32_t except) const {
  // One pass with a reservoir of one: each endpoint replaces the choice with a probability equal to
  // its share of the weight so far.
  std::optional<std::uint32_t> chosen;
  double total = 0;
  for (std::uint32_t i = 0; i < endpoints.size(); ++i) {
    if (i == except || !has(i)) continue;
    total += endpoints[i].weight;
    if (!chosen || random.unit() * total < endpoints[i].weight) chosen = i;
  }
  return chosen;
}

}  // namespace outrigger::upstream
