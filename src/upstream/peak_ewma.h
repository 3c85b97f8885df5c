#pragma once

// `peak_ewma`, the default: the endpoint with the lower cost, of two drawn by weight, or of all
// when there are four or fewer.
//
//   cost = expected latency x (requests in flight / relative weight + 1)
//
// The relative weight is the weight divided by the set's mean, so it is 1 if no weights are given.
// The expected latency is a moving average that rises at once and falls slowly, as in Finagle's and
// Linkerd's peak EWMA:
//
//   - A sample above the average replaces it. A lower one moves the average towards itself with a
//     time constant of 10 s, whatever the request rate.
//   - When read, the average has decayed with the same constant since its last sample: an endpoint
//     that has had no request for long gets one again, and with it a new sample.
//   - A new endpoint starts with the median of the set, so that it is neither flooded nor starved.
//   - A failure counts as max(latency, timeout, 2 x average); otherwise an endpoint that fails fast
//     would look the cheapest.
//   - A retry-after is a lower bound of the expected latency for as long as it lasts.
//   - A cancelled request is not held against the endpoint: callers have reasons of their own, and
//     a watch may wait for hours. But while one waits without a response, the endpoint must not
//     look better because of it: the decay since the last sample is undone, up to the time waited.
//
// Averages belong to endpoint identities and outlive updates; each worker has its own, while load
// counts the requests of all workers. An endpoint's slot lives until it has left the set and its
// last ticket is finished.

#include <cstdint>
#include <vector>

#include "base/random.h"
#include "outrigger/load_balancer.h"
#include "upstream/weighted_sampler.h"

namespace outrigger::upstream {

class PeakEwmaBalancer final : public LoadBalancer {
 public:
  using Nanos = std::chrono::nanoseconds;

  explicit PeakEwmaBalancer(const BalancerOptions& options) : random_(options.seed) {}

  void update(std::span<const BalancedEndpoint> endpoints, Nanos now) override;
  std::optional<std::uint32_t> pick(const PickContext& context) override;
  Ticket started(std::uint32_t index, Nanos now) override;
  void finished(Ticket ticket, const Outcome& outcome, Nanos now) override;
  Nanos expected_latency(std::uint32_t index, Nanos now) const override;

  static constexpr Nanos decay = std::chrono::seconds(10);
  // An endpoint's Retry-After cannot exclude it for longer than this.
  static constexpr Nanos retry_after_max = std::chrono::minutes(5);

  // Slots in use, for tests: those of the set, and of departed endpoints with unfinished tickets.
  std::size_t slots_in_use() const { return slots_.size() - free_.size(); }

 private:
  // What is known about one endpoint. Latencies are in nanoseconds.
  struct Slot {
    double average = 0;
    Nanos sampled_at{};
    Nanos hold_until{};  // retry-after
    double hold = 0;
    std::uint32_t tickets = 0;
    bool sampled = false;  // otherwise the set's starting latency applies
    bool in_set = false;
  };
  struct Member {
    std::uint64_t identity;
    std::uint32_t slot;
  };

  double latency(const Slot& slot, Nanos now) const;
  void learn(Slot& slot, const Outcome& outcome, Nanos now);
  void first_sample(Nanos now);
  void set_starting_latency(Nanos now);
  std::uint32_t take_slot();
  void free_slot(std::uint32_t slot);

  std::span<const BalancedEndpoint> endpoints_;
  std::vector<std::uint32_t> slot_of_;  // by index
  std::vector<float> relative_weight_;  // by index; empty when all are 1
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::vector<Member> members_;   // by identity
  std::vector<double> averages_;  // scratch space for the median
  // The expected latency of members without a sample. Before the very first sample, it only matters
  // that it is the same for all.
  double starting_latency_ = 1e6;
  Nanos starting_at_{};
  std::size_t sampled_ = 0;  // members with a sample
  WeightedSampler sampler_;
  Random random_;
};

}  // namespace outrigger::upstream
