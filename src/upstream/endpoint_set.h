#pragma once

// A service's endpoints: the immutable set that a snapshot holds, and the state of each endpoint
// that outlives sets.
//
// An EndpointSet is made on the main thread from what the configuration and the registries say,
// shared as `shared_ptr<const EndpointSet>` and adopted by workers one by one. EndpointStates hands
// out one EndpointState per identity; a state lives as long as any set (or anything else) holds it,
// so that load is not forgotten when a list is delivered again.
//
//   EndpointStates states(workers);
//   auto set = EndpointSet::make("orders", endpoints, {.expect_ids = ...}, states);
//   balancer.update(set->balanced(), now);      // keep `set` until the next update

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/metric_cells.h"
#include "base/time.h"
#include "config/model.h"
#include "outrigger/load_balancer.h"

namespace outrigger::upstream {

// What one worker has counted of an endpoint; that worker's thread only.
struct alignas(64) EndpointCells {
  Counter requests;
  Counter failures;
  Gauge connections;  // of its pools
  Gauge latency;      // nanoseconds that the balancer expects, as it last said
};

// What is known about one endpoint across snapshots and workers: the only mutable object that const
// sets point to. Any thread.
class EndpointState {
 public:
  EndpointState(std::uint64_t identity, std::uint32_t workers)
      : identity_(identity), load_(workers) {}
  EndpointState(const EndpointState&) = delete;
  EndpointState& operator=(const EndpointState&) = delete;
  ~EndpointState() { delete[] cells_.load(std::memory_order_relaxed); }

  std::uint64_t identity() const { return identity_; }
  EndpointLoad& load() { return load_; }
  const EndpointLoad& load() const { return load_; }
  // Allocated for all workers when the first asks: with its Host, at the first request to it.
  EndpointCells& cells(std::uint32_t worker);
  // The workers' cells together; what they say meanwhile may be in it or not.
  struct Totals {
    std::uint64_t requests = 0;
    std::uint64_t failures = 0;
    std::int64_t active = 0;
    std::int64_t connections = 0;
    Duration latency{};  // the highest
  };
  Totals totals() const;

 private:
  const std::uint64_t identity_;
  EndpointLoad load_;
  std::atomic<EndpointCells*> cells_{nullptr};
};

// Interns states by identity. Any thread, behind a lock: for code that builds sets, never on the
// request path. Need not outlive anything: states live on by themselves.
class EndpointStates {
 public:
  explicit EndpointStates(std::uint32_t workers) : workers_(workers) {}

  // The state of that identity, created if there is none.
  std::shared_ptr<EndpointState> get(std::uint64_t identity);
  // Without creating one; null when nothing holds it.
  std::shared_ptr<EndpointState> find(std::uint64_t identity) const;
  // The number of states in use. Linear.
  std::size_t alive() const;

 private:
  void sweep();

  const std::uint32_t workers_;
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::weak_ptr<EndpointState>> states_;
  std::size_t sweep_at_ = 1024;
};

// The identity of an endpoint: a 64-bit hash of service, address and the identities its peer may
// present. The same in every worker, process and release. An endpoint whose expected identities
// change is a new one: what was learnt belongs to the old one.
std::uint64_t identity_of(std::string_view service, const config::Address& address,
                          std::span<const std::string> expect_ids);

struct EndpointInfo {
  config::Endpoint value;
  std::uint64_t identity = 0;
  std::shared_ptr<EndpointState> state;  // never null
};

class EndpointSet {
 public:
  // Of endpoints with the same address (two registries may list it), the first is kept. Those of
  // weight 0 are left out: they exist but receive no traffic.
  static std::shared_ptr<const EndpointSet> make(std::string_view service,
                                                 std::vector<config::Endpoint> endpoints,
                                                 std::span<const std::string> expect_ids,
                                                 EndpointStates& states);
  EndpointSet(const EndpointSet&) = delete;
  EndpointSet& operator=(const EndpointSet&) = delete;

  std::size_t size() const { return endpoints_.size(); }
  bool empty() const { return endpoints_.empty(); }
  const EndpointInfo& operator[](std::size_t i) const { return endpoints_[i]; }
  std::span<const EndpointInfo> endpoints() const { return endpoints_; }
  auto begin() const { return endpoints_.begin(); }
  auto end() const { return endpoints_.end(); }
  // The same, in the same order, in the form that balancers take. Lives as long as the set.
  std::span<const BalancedEndpoint> balanced() const { return balanced_; }
  // The index of an identity. Linear: for admin actions.
  std::optional<std::uint32_t> find(std::uint64_t identity) const;

 private:
  EndpointSet() = default;

  std::vector<EndpointInfo> endpoints_;
  std::vector<BalancedEndpoint> balanced_;
};

// Which endpoints of a set may be picked, kept by a worker beside its balancer: the words that
// EligibleSet reads. Nothing takes an endpoint out yet: there is neither outlier detection nor a
// health check.
class Eligibility {
 public:
  // `count` endpoints, all eligible.
  void reset(std::size_t count);
  void set(std::uint32_t index, bool eligible);
  bool get(std::uint32_t index) const { return view()(index); }
  std::size_t eligible() const { return eligible_; }
  std::size_t size() const { return count_; }
  EligibleSet view() const { return EligibleSet(words_); }

 private:
  std::vector<std::uint64_t> words_;
  std::size_t count_ = 0;
  std::size_t eligible_ = 0;
};

}  // namespace outrigger::upstream
