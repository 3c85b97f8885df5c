#pragma once

// The interface of load balancing policies.
//
// For each attempt at a request, a LoadBalancer chooses one of a service's endpoints; it is then
// told how the attempt ended. Outrigger creates one instance per worker thread and service, and
// makes all calls to an instance from that thread, so an implementation needs no locks or atomics.
// It must not block, must not throw, and must not allocate in pick(), started() and finished().
//
// Call order:
//
//   update(endpoints)                        // once at the start, and for every new set
//   for each attempt:
//     pick(context)       -> an index, or none
//     started(index)      -> a ticket          // right after the pick, if the pick is used
//     finished(ticket, outcome)                // exactly once for each ticket
//
// For example:
//
//   b.update({a, b, c});
//   auto i = b.pick({.now = 0ms, ...});              // 1: endpoint b
//   Ticket t = b.started(*i, 0ms);
//   b.update({c, b});                                // b has a new index; the ticket stays valid
//   b.finished(t, {.latency = 3ms, .status = 200}, 3ms);
//
// update() may be called between started() and finished(): tickets belong to endpoints, not to
// indexes, and those of an endpoint that has been removed are finished like any other.
//
// Not every pick is used: a breaker may refuse the attempt, and then there is neither a ticket nor
// an outcome. Traffic that bypasses the balancer is not reported.
//
// Units: durations are std::chrono; `now` is the time since an arbitrary fixed point and never
// decreases. Weights are relative and at least 1.
//
// The built-in policies are examples (src/upstream):
//   round_robin    smooth weighted round robin from a schedule made by update()
//   random         weighted, by Walker's alias table (Walker 1977, Vose 1991)
//   least_request  the less loaded of two random choices (Mitzenmacher 2001)
//   peak_ewma      two choices by expected latency; the peak-sensitive average is Finagle's

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "outrigger/values.h"

namespace outrigger {

// This process's requests in flight to one endpoint. There is one cell per worker, so that counting
// needs no locked instruction; readers sum the cells. Only its worker writes a cell; any thread may
// read it. The cells are allocated when the first request is counted.
class EndpointLoad {
 public:
  // REQUIRES: workers > 0
  explicit EndpointLoad(std::uint32_t workers) : workers_(workers) {}
  EndpointLoad(const EndpointLoad&) = delete;
  EndpointLoad& operator=(const EndpointLoad&) = delete;
  ~EndpointLoad() { delete[] cells_.load(std::memory_order_relaxed); }

  // Called on the thread of worker `worker`. REQUIRES: worker < workers()
  void add(std::uint32_t worker) { change(worker, 1); }
  void sub(std::uint32_t worker) { change(worker, -1); }
  // The requests in flight of all workers; those of other workers may be slightly out of date.
  std::uint32_t active() const {
    const Cell* cells = cells_.load(std::memory_order_acquire);
    if (cells == nullptr) return 0;
    std::int64_t sum = 0;
    for (std::uint32_t i = 0; i < workers_; ++i) {
      sum += cells[i].count.load(std::memory_order_relaxed);
    }
    return sum > 0 ? static_cast<std::uint32_t>(sum) : 0;
  }
  std::uint32_t workers() const { return workers_; }

 private:
  // One cache line each, to avoid false sharing between workers.
  struct alignas(64) Cell {
    std::atomic<std::int32_t> count{0};
  };
  void change(std::uint32_t worker, std::int32_t by) {
    Cell* cells = cells_.load(std::memory_order_acquire);
    if (cells == nullptr) cells = make_cells();
    std::atomic<std::int32_t>& count = cells[worker].count;
    count.store(count.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  Cell* make_cells() {
    Cell* fresh = new Cell[workers_];
    Cell* expected = nullptr;
    if (cells_.compare_exchange_strong(expected, fresh, std::memory_order_acq_rel)) return fresh;
    delete[] fresh;  // another worker was first
    return expected;
  }

  std::atomic<Cell*> cells_{nullptr};
  const std::uint32_t workers_;
};

// One endpoint as a balancer sees it. The text and the pointers belong to the endpoint set.
struct BalancedEndpoint {
  // Identifies the endpoint across sets: averages and tickets of an identity survive an update.
  std::uint64_t identity = 0;
  std::uint32_t weight = 1;
  // Reserved for priority levels; always 0 in this version.
  std::uint32_t priority = 0;
  std::string_view host{};  // an address, a name, or a Unix socket's path (port 0)
  std::uint16_t port = 0;
  std::string_view cloud{};
  std::string_view region{};
  std::string_view zone{};
  const Labels* labels = nullptr;      // never null in a set
  const EndpointLoad* load = nullptr;  // null: not counted, treat as idle
};

// Which endpoints may be chosen: one bit each, bit i%64 of word i/64. The bits of endpoints that
// must not get new requests, and those beyond the last endpoint, are 0.
class EligibleSet {
 public:
  EligibleSet() = default;
  explicit EligibleSet(std::span<const std::uint64_t> words) : words_(words) {}

  bool operator()(std::uint32_t index) const {
    return (words_[index / 64] >> (index % 64) & 1) != 0;
  }
  std::span<const std::uint64_t> words() const { return words_; }

 private:
  std::span<const std::uint64_t> words_;
};

// What a pick knows about the request.
struct PickContext {
  std::chrono::nanoseconds now{};
  EligibleSet eligible{};
  // Indexes that earlier attempts of this request have tried: to be avoided if any other endpoint
  // is eligible, and to be used again if none is. Never more than a few.
  std::span<const std::uint32_t> tried{};
  // The hash of what the service hashes by; always empty in this version.
  std::optional<std::uint64_t> hash{};
};

// How an attempt ended.
struct Outcome {
  enum class Kind : std::uint8_t {
    answered,   // the endpoint responded; `status` and `grpc_status` tell how
    failed,     // it did not: connect failure, reset, protocol error
    timed_out,  // it did not respond within the time allowed
    cancelled,  // the caller went away or the request was not sent: not the endpoint's fault
  };
  Kind kind = Kind::answered;
  // From the start of the attempt to the response's headers, however the response ended and
  // whatever its trailers say, since a stream may last for hours; without headers, to the end of
  // the attempt.
  std::chrono::nanoseconds latency{};
  // The attempt's timeout; 0 if unknown.
  std::chrono::nanoseconds timeout{};
  int status = 0;                    // HTTP; 0 unless answered
  std::optional<int> grpc_status{};  // from headers or trailers
  // The delay the endpoint requested with Retry-After or grpc-retry-pushback-ms; 0 if none.
  std::chrono::nanoseconds retry_after{};

  // The endpoint did not do its work: no response, a 5xx, or a gRPC status that means a server
  // error. 429 and RESOURCE_EXHAUSTED count too, so that an endpoint that rejects requests quickly
  // does not look like a fast one.
  bool is_failure() const {
    if (kind == Kind::cancelled) return false;
    if (kind != Kind::answered || status >= 500 || status == 429) return true;
    if (!grpc_status) return false;
    switch (*grpc_status) {
      case 2:   // UNKNOWN
      case 4:   // DEADLINE_EXCEEDED
      case 8:   // RESOURCE_EXHAUSTED
      case 13:  // INTERNAL
      case 14:  // UNAVAILABLE
      case 15:  // DATA_LOSS
        return true;
      default:
        return false;
    }
  }
};

class LoadBalancer {
 public:
  // Returned by started(); meaningful only to the balancer that created it.
  struct Ticket {
    std::uint32_t value = 0;
  };

  virtual ~LoadBalancer() = default;

  // A new set. What is known about endpoints whose identity is in both sets is kept. The span and
  // everything it refers to stay valid until the next update() has returned or the balancer is
  // destroyed. Identities are unique. May allocate; must take linear or n log n time, since it runs
  // on the worker.
  virtual void update(std::span<const BalancedEndpoint> endpoints,
                      std::chrono::nanoseconds now) = 0;

  // The index of an eligible endpoint of the current set, or none if no endpoint is eligible. Takes
  // (nearly) constant time while most endpoints are eligible.
  virtual std::optional<std::uint32_t> pick(const PickContext& context) = 0;

  // An attempt starts at endpoint `index` of the current set.
  virtual Ticket started(std::uint32_t index, std::chrono::nanoseconds now) {
    (void)index, (void)now;
    return {};
  }
  // That attempt is over.
  virtual void finished(Ticket ticket, const Outcome& outcome, std::chrono::nanoseconds now) {
    (void)ticket, (void)outcome, (void)now;
  }

  // The latency the balancer expects of endpoint `index` now, for the admin page; 0 if it has no
  // expectation.
  virtual std::chrono::nanoseconds expected_latency(std::uint32_t index,
                                                    std::chrono::nanoseconds now) const {
    (void)index, (void)now;
    return {};
  }
};

// What a balancer is created from.
struct BalancerOptions {
  std::uint64_t seed = 0;  // for its random choices; differs between workers
  std::string hash{};      // the configuration's `hash`; always empty in this version
};
// Creates one instance; called on the worker that will use it.
using BalancerFactory = std::function<std::unique_ptr<LoadBalancer>(const BalancerOptions&)>;

}  // namespace outrigger
