#include "upstream/peak_ewma.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "upstream/choice.h"

namespace outrigger::upstream {
namespace {

// No response is expected sooner: expectations that have decayed to almost nothing count as equal,
// and load decides.
constexpr double latency_min = 1e3;

// The limit to which failures, each doubling the average, can raise it: 60 s. An endpoint that
// failed for an hour is not worse than one that failed for a minute.
constexpr double doubled_max = 60e9;

double weight_of_past(std::chrono::nanoseconds since, std::chrono::nanoseconds decay) {
  if (since.count() <= 0) return 1;
  return std::exp(-static_cast<double>(since.count()) / static_cast<double>(decay.count()));
}

}  // namespace

void PeakEwmaBalancer::update(std::span<const BalancedEndpoint> endpoints, Nanos now) {
  std::vector<Member> fresh;
  fresh.reserve(endpoints.size());
  for (std::uint32_t i = 0; i < endpoints.size(); ++i) fresh.push_back({endpoints[i].identity, i});
  const auto by_identity = [](const Member& a, const Member& b) { return a.identity < b.identity; };
  std::sort(fresh.begin(), fresh.end(), by_identity);

  // Both lists are sorted by identity: walk them together.
  slot_of_.assign(endpoints.size(), 0);
  sampled_ = 0;
  auto old = members_.begin();
  const auto drop_old = [&] {
    slots_[old->slot].in_set = false;
    if (slots_[old->slot].tickets == 0) free_slot(old->slot);
    ++old;
  };
  for (Member& member : fresh) {
    while (old != members_.end() && old->identity < member.identity) drop_old();
    const std::uint32_t index = member.slot;
    const bool known = old != members_.end() && old->identity == member.identity;
    member.slot = known ? (old++)->slot : take_slot();
    slots_[member.slot].in_set = true;
    slot_of_[index] = member.slot;
    sampled_ += slots_[member.slot].sampled;
  }
  while (old != members_.end()) drop_old();
  members_ = std::move(fresh);

  endpoints_ = endpoints;
  sampler_.build(endpoints);
  relative_weight_.clear();
  if (!sampler_.equal_weights()) {
    double total = 0;
    for (const BalancedEndpoint& e : endpoints) total += e.weight;
    const double mean = total / static_cast<double>(endpoints.size());
    for (const BalancedEndpoint& e : endpoints) {
      relative_weight_.push_back(static_cast<float>(e.weight / mean));
    }
  }
  averages_.reserve(endpoints.size());
  set_starting_latency(now);
}

std::optional<std::uint32_t> PeakEwmaBalancer::pick(const PickContext& context) {
  const auto cost = [&](std::uint32_t i, double waiting) {
    const EndpointLoad* load = endpoints_[i].load;
    const double active = load != nullptr ? load->active() : 0;
    return latency(slots_[slot_of_[i]], context.now) * (active + waiting) /
           (relative_weight_.empty() ? 1.0 : relative_weight_[i]);
  };
  // (active + weight) / weight is active / weight + 1.
  const auto plain = [&](std::uint32_t i) {
    return cost(i, relative_weight_.empty() ? 1.0 : relative_weight_[i]);
  };
  return pick_cheapest(context, endpoints_, sampler_, random_, plain, cost);
}

LoadBalancer::Ticket PeakEwmaBalancer::started(std::uint32_t index, Nanos /*now*/) {
  const std::uint32_t slot = slot_of_[index];
  ++slots_[slot].tickets;
  return {slot};
}

void PeakEwmaBalancer::finished(Ticket ticket, const Outcome& outcome, Nanos now) {
  Slot& slot = slots_[ticket.value];
  check(slot.tickets > 0, "a ticket that was finished already");
  --slot.tickets;
  learn(slot, outcome, now);
  if (!slot.in_set && slot.tickets == 0) free_slot(ticket.value);
}

void PeakEwmaBalancer::learn(Slot& slot, const Outcome& outcome, Nanos now) {
  const double before = slot.sampled ? slot.average : starting_latency_;
  double sample = static_cast<double>(std::max(outcome.latency.count(), Nanos::rep{1}));
  if (outcome.is_failure()) {
    sample = std::max(
        {sample, static_cast<double>(outcome.timeout.count()), std::min(2 * before, doubled_max)});
  }
  if (outcome.retry_after.count() > 0) {
    const Nanos hold = std::min(outcome.retry_after, retry_after_max);
    slot.hold_until = std::max(slot.hold_until, now + hold);
    slot.hold = static_cast<double>(hold.count());
  }
  const bool cancelled = outcome.kind == Outcome::Kind::cancelled;
  if (cancelled) sample = std::min(sample, before);
  if (cancelled && sample <= latency(slot, now)) return;

  if (cancelled || !slot.sampled || sample >= slot.average) {
    slot.average = sample;
  } else {
    const double past = weight_of_past(now - slot.sampled_at, decay);
    slot.average = slot.average * past + sample * (1 - past);
  }
  slot.sampled_at = now;
  if (!slot.sampled) {
    slot.sampled = true;
    if (slot.in_set) first_sample(now);
  }
}

double PeakEwmaBalancer::latency(const Slot& slot, Nanos now) const {
  const double average = slot.sampled ? slot.average : starting_latency_;
  const Nanos since = now - (slot.sampled ? slot.sampled_at : starting_at_);
  const double decayed = std::max(average * weight_of_past(since, decay), latency_min);
  return now < slot.hold_until ? std::max(decayed, slot.hold) : decayed;
}

PeakEwmaBalancer::Nanos PeakEwmaBalancer::expected_latency(std::uint32_t index, Nanos now) const {
  return Nanos(std::llround(latency(slots_[slot_of_[index]], now)));
}

// While some have no sample yet, those that have one set the expectation for the rest. The median
// is recomputed whenever their number has doubled: often enough to be right, rarely enough to cost
// nothing.
void PeakEwmaBalancer::first_sample(Nanos now) {
  ++sampled_;
  if (sampled_ < members_.size() && std::has_single_bit(sampled_)) set_starting_latency(now);
}

void PeakEwmaBalancer::set_starting_latency(Nanos now) {
  averages_.clear();
  starting_at_ = now;
  for (const Member& member : members_) {
    const Slot& slot = slots_[member.slot];
    if (slot.sampled) averages_.push_back(latency(slot, now));
  }
  if (averages_.empty()) return;
  const auto middle = averages_.begin() + static_cast<std::ptrdiff_t>(averages_.size() / 2);
  std::nth_element(averages_.begin(), middle, averages_.end());
  starting_latency_ = *middle;
}

std::uint32_t PeakEwmaBalancer::take_slot() {
  if (free_.empty()) {
    slots_.emplace_back();
    free_.reserve(slots_.capacity());  // so that the end of a ticket does not allocate
    return static_cast<std::uint32_t>(slots_.size() - 1);
  }
  const std::uint32_t slot = free_.back();
  free_.pop_back();
  slots_[slot] = {};
  return slot;
}

void PeakEwmaBalancer::free_slot(std::uint32_t slot) {
  free_.push_back(slot);
}

}  // namespace outrigger::upstream
