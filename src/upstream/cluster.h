#pragma once

// A service as one worker calls it: its endpoints, the balancer that chooses among them, their
// pools and the breaker's permits. Owned by the worker; its thread. Updated from newer snapshots
// while requests run; hosts that have left are kept until their last stream is done.
//
//   breaker().requests.try_take()       -> a permit, or the breaker is open
//   choose(tried, hash)                 -> an endpoint
//   pool(host, offer).acquire(ticket)   -> a connection to it
//   finished(chosen, outcome)           exactly once for each endpoint that was chosen

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/model.h"
#include "outrigger/load_balancer.h"
#include "policy/breaker.h"
#include "policy/retry_budget.h"
#include "upstream/counters.h"
#include "upstream/endpoint_set.h"
#include "upstream/host.h"
#include "upstream/spoken.h"

namespace outrigger::upstream {

// Shared by a service's clusters on all workers. Outlives them.
struct ServiceLimits {
  ServiceLimits(const config::Breaker& config, std::uint32_t workers) : breaker(config, workers) {}
  policy::SharedBreaker breaker;
  policy::RetryFloor retry_floor;
};

class Cluster final : private net::TurnHook {
 public:
  Cluster(ClientContext& context, std::shared_ptr<const config::Service> service,
          std::unique_ptr<LoadBalancer> balancer, Connector connector,
          std::shared_ptr<ServiceLimits> limits, const PoolCounters& counters,
          std::uint32_t worker);
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  const config::Service& service() const { return *service_; }
  bool secure() const { return connector_.secure(); }
  const Connector& connector() const { return connector_; }
  const PoolCounters& counters() const { return counters_; }
  // Whether the HTTP version is detected from responses (spoken.h).
  bool finds_out() const { return finds_out_; }
  bool finding_out() const {
    return finds_out_ && (spoken_.is(Spoken::unknown) || spoken_.is(Spoken::perhaps_http2));
  }
  bool speaks_http2() const {
    return spoken_.is(Spoken::http2) || spoken_.is(Spoken::http2_doubtful) ||
           spoken_.is(Spoken::perhaps_http2);
  }
  void answered(bool http2) {
    if (!finds_out_ || spoken_.is(http2 ? Spoken::http2 : Spoken::http1)) return;
    spoken_.on(http2 ? SpokenEvent::http2_answer : SpokenEvent::http1_answer);
  }
  // Learns from the end of an attempt that had no response; returns how that end is to be
  // interpreted.
  http::StreamEnd attempt_ended(http::StreamEnd end, bool http2, bool reused);
  policy::Breaker& breaker() { return breaker_; }
  policy::RetryBudget& retry_budget() { return retry_budget_; }

  // A newer set of endpoints. Hosts that are in both keep their pools and averages.
  void update(std::shared_ptr<const EndpointSet> endpoints);
  const EndpointSet& endpoints() const { return *endpoints_; }
  const std::shared_ptr<const EndpointSet>& endpoint_set() const { return endpoints_; }
  // The worker's view of endpoint `index` of the newest set; null when it has never been called.
  const Host* host_at(std::size_t index) const { return hosts_[index]; }
  std::size_t connections() const;
  // The latency that the balancer expects of endpoint `index`; 0: no expectation.
  Duration expected_latency(std::size_t index) const;
  // Puts what it expects into the cells, for the metrics: of the next `most` endpoints, in turn.
  // Returns how many those were.
  std::size_t tell_latencies(std::size_t most);
  // No new requests will come: idle connections close, busy ones finish.
  void drain();

  struct Chosen {
    Host* host = nullptr;
    std::uint64_t identity = 0;
    LoadBalancer::Ticket ticket;
    explicit operator bool() const { return host != nullptr; }
  };
  // An endpoint; one of those tried only if no other is eligible; none when none is eligible.
  Chosen choose(std::span<const std::uint64_t> tried, std::optional<std::uint64_t> hash = {});
  // `now - started` is the latency that counts.
  void finished(const Chosen& chosen, const Outcome& outcome);
  Pool& pool(Host& host, Offer offer) {
    return host.pool(offer, context_, connector_, breaker_, counters_);
  }

 private:
  Host* host_of(std::uint32_t index);
  void on_turn_end() override { drop_departed(); }
  void drop_departed();

  ClientContext& context_;
  std::shared_ptr<const config::Service> service_;
  Connector connector_;
  std::shared_ptr<ServiceLimits> limits_;
  policy::Breaker breaker_;
  policy::RetryBudget retry_budget_;
  const PoolCounters counters_;
  const std::uint32_t worker_;
  const bool finds_out_;
  Machine<spoken_table> spoken_{Spoken::unknown};
  std::unique_ptr<LoadBalancer> balancer_;
  std::shared_ptr<const EndpointSet> endpoints_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Host>> by_identity_;
  std::vector<Host*> hosts_;  // by index in the set
  std::size_t told_ = 0;      // of them, up to here
  Eligibility eligible_;
  std::vector<std::unique_ptr<Host>> departed_;  // withdrawn, with streams still open
};

}  // namespace outrigger::upstream
