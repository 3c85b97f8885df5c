#include "upstream/round_robin.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "upstream/choice.h"

namespace outrigger::upstream {
namespace {

std::vector<std::uint32_t> places_of(std::span<const BalancedEndpoint> endpoints) {
  std::uint32_t divisor = 0;
  for (const BalancedEndpoint& e : endpoints) divisor = std::gcd(divisor, e.weight);
  std::uint64_t total = 0;
  for (const BalancedEndpoint& e : endpoints) total += e.weight / divisor;

  const std::size_t room =
      std::max<std::size_t>(1024, endpoints.size() * RoundRobinBalancer::places_max);
  const double scale = total <= room ? 1.0 : static_cast<double>(room) / static_cast<double>(total);
  std::vector<std::uint32_t> places;
  places.reserve(endpoints.size());
  for (const BalancedEndpoint& e : endpoints) {
    const auto weight = e.weight / divisor;
    const double share = static_cast<double>(weight) * scale;
    places.push_back(std::max(1U, static_cast<std::uint32_t>(std::lround(share))));
  }
  return places;
}

std::vector<std::uint32_t> make_schedule(const std::vector<std::uint32_t>& places) {
  struct Place {
    double at;
    std::uint32_t index;
  };
  std::vector<Place> order;
  order.reserve(std::accumulate(places.begin(), places.end(), std::size_t{0}));
  for (std::uint32_t i = 0; i < places.size(); ++i) {
    // Multiples of the golden ratio, modulo 1, spread evenly however many there are.
    double whole = 0;
    const double shift = std::modf(i * 0.6180339887498949, &whole);
    for (std::uint32_t k = 0; k < places[i]; ++k) order.push_back({(k + shift) / places[i], i});
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const Place& a, const Place& b) { return a.at < b.at; });
  std::vector<std::uint32_t> schedule(order.size());
  std::transform(order.begin(), order.end(), schedule.begin(),
                 [](const Place& p) { return p.index; });
  return schedule;
}

}  // namespace

void RoundRobinBalancer::update(std::span<const BalancedEndpoint> endpoints,
                                std::chrono::nanoseconds /*now*/) {
  count_ = static_cast<std::uint32_t>(endpoints.size());
  const bool equal = std::all_of(endpoints.begin(), endpoints.end(), [&](const auto& e) {
    return e.weight == endpoints.front().weight;
  });
  schedule_ = equal ? std::vector<std::uint32_t>{} : make_schedule(places_of(endpoints));
  length_ = equal ? count_ : schedule_.size();
  if (length_ == 0) return;
  next_ = random_.below(static_cast<std::uint32_t>(length_));
}

std::optional<std::uint32_t> RoundRobinBalancer::pick(const PickContext& context) {
  const Candidates candidates(context, count_);
  if (candidates.none()) return std::nullopt;
  // Ineligible endpoints are skipped, as if the schedule had been made without them. The loop ends
  // because every endpoint has a place in the schedule, and at least one is eligible.
  for (;;) {
    const std::uint32_t index = advance();
    if (candidates.has(index)) return index;
  }
}

}  // namespace outrigger::upstream
