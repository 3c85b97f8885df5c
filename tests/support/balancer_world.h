#pragma once

// A service in a test tube: an endpoint set with loads and eligibility, and a simulated clock under
// which a balancer's picks turn into requests that take their time. Seeded: a run repeats itself.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "outrigger/load_balancer.h"
#include "upstream/endpoint_set.h"

namespace outrigger::test {

// Owns what BalancedEndpoint points to.
class BalancerWorld {
 public:
  using Nanos = std::chrono::nanoseconds;

  // One endpoint per weight; identities are 100, 101, …
  explicit BalancerWorld(const std::vector<std::uint32_t>& weights) {
    for (const std::uint32_t w : weights) add(w);
  }
  BalancerWorld(std::size_t count, std::uint32_t weight) {
    for (std::size_t i = 0; i < count; ++i) add(weight);
  }

  void add(std::uint32_t weight) {
    loads_.push_back(std::make_unique<EndpointLoad>(1));
    endpoints_.push_back({.identity = 100 + next_++,
                          .weight = weight,
                          .labels = &labels_,
                          .load = loads_.back().get()});
    eligibility_.reset(endpoints_.size());
  }
  void remove(std::size_t index) {
    endpoints_.erase(endpoints_.begin() + static_cast<std::ptrdiff_t>(index));
    eligibility_.reset(endpoints_.size());
  }

  std::span<const BalancedEndpoint> endpoints() const { return endpoints_; }
  upstream::Eligibility& eligibility() { return eligibility_; }
  EndpointLoad& load(std::size_t index) {
    return const_cast<EndpointLoad&>(*endpoints_[index].load);
  }
  PickContext context(Nanos now = {}, std::span<const std::uint32_t> tried = {}) const {
    return {.now = now, .eligible = eligibility_.view(), .tried = tried};
  }

  // Picks `count` times without starting anything.
  std::vector<int> tally(LoadBalancer& balancer, int count, Nanos now = {},
                         std::span<const std::uint32_t> tried = {}) {
    std::vector<int> out(endpoints_.size());
    for (int i = 0; i < count; ++i) {
      const auto index = balancer.pick(context(now, tried));
      if (index) ++out.at(*index);
    }
    return out;
  }

  // How endpoint `index` answers a request that begins at `now`.
  using Answer = std::function<Outcome(std::size_t index, Nanos now)>;

  // Requests arrive evenly, `rate` a second, for `duration`; each goes where the balancer says and
  // ends after its latency. Returns requests by endpoint.
  std::vector<int> run(LoadBalancer& balancer, double rate, Nanos duration, const Answer& answer) {
    std::vector<int> out(endpoints_.size());
    const Nanos gap(static_cast<Nanos::rep>(1e9 / rate));
    const Nanos end = now_ + duration;
    for (; now_ < end; now_ += gap) {
      finish_until(balancer, now_);
      const auto index = balancer.pick(context(now_));
      if (!index) continue;
      ++out.at(*index);
      const Outcome outcome = answer(*index, now_);
      load(*index).add(0);
      flights_.push(
          {now_ + outcome.latency, balancer.started(*index, now_), outcome, &load(*index)});
    }
    return out;
  }
  void finish_until(LoadBalancer& balancer, Nanos now) {
    while (!flights_.empty() && flights_.top().end <= now) {
      const Flight f = flights_.top();
      flights_.pop();
      f.load->sub(0);
      balancer.finished(f.ticket, f.outcome, f.end);
    }
  }
  // Everything in flight ends.
  void settle(LoadBalancer& balancer) {
    while (!flights_.empty()) {
      now_ = std::max(now_, flights_.top().end);
      finish_until(balancer, now_);
    }
  }
  Nanos now() const { return now_; }
  void pass(Nanos time) { now_ += time; }

 private:
  struct Flight {
    Nanos end;
    LoadBalancer::Ticket ticket;
    Outcome outcome;
    EndpointLoad* load;
    bool operator<(const Flight& other) const { return end > other.end; }
  };

  Labels labels_;
  std::vector<std::unique_ptr<EndpointLoad>> loads_;  // kept when their endpoint is removed
  std::vector<BalancedEndpoint> endpoints_;
  upstream::Eligibility eligibility_;
  std::priority_queue<Flight> flights_;
  std::uint64_t next_ = 0;
  Nanos now_{std::chrono::hours(1)};
};

}  // namespace outrigger::test
