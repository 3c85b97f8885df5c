#pragma once

// What to implement for a load balancing policy of your own.
//
// A LoadBalancer chooses, for each attempt at a request, one of a service's endpoints, and hears
// how the attempts went. Outrigger makes one instance per worker thread and service; all calls of
// one instance come from that one thread, so an implementation needs no locks and no atomics. It
// must not block, must not throw, and must not allocate in pick(), started() and finished().
//
// Call order:
//
//   update(endpoints)                        // once at the beginning, and for every new set
//   for each attempt:
//     pick(context)       -> an index, or none
//     started(index)      -> a ticket          // at once after the pick, if it is followed
//     finished(ticket, outcome)                // exactly once for each ticket
//
// so that a session may look like this:
//
//   b.update({a, b, c});
//   auto i = b.pick({.now = 0ms, ...});              // 1: endpoint b
//   Ticket t = b.started(*i, 0ms);
//   b.update({c, b});                                // b has a new index, the ticket stays good
//   b.finished(t, {.latency = 3ms, .status = 200}, 3ms);
//
// An update may fall between a pick's ticket and its end: tickets belong to endpoints, not to
// indexes, and those of an endpoint that has left are finished like any other.
//
// Not every pick is followed: a breaker may refuse it, and then there is neither a ticket nor an
// outcome. Traffic that bypasses the balancer (health checks) is not reported.
//
// Units: durations are std::chrono; `now` is the time since an arbitrary, fixed moment and never
// goes back. Weights are relative and at least 1.
//
// The built-in policies, to be read as examples (src/upstream):
//   round_robin    smooth weighted round robin from a schedule made by update()
//   random         weighted, by Walker's alias table (Walker 1977, Vose 1991)
//   least_request  the better of two random choices (Mitzenmacher 2001)
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

// Requests in flight to one endpoint from this process: one cell per worker, so that counting costs
// no locked instruction, and summed by whoever wants the total. A cell is written by its worker
// only; any thread may read. The cells are allocated when the first request is counted.
class EndpointLoad {
 public:
  // REQUIRES: workers > 0
  explicit EndpointLoad(std::uint32_t workers) : workers_(workers) {}
  EndpointLoad(const EndpointLoad&) = delete;
  EndpointLoad& operator=(const EndpointLoad&) = delete;
  ~EndpointLoad() { delete[] cells_.load(std::memory_order_relaxed); }

  // On worker `worker`'s thread. REQUIRES: worker < workers()
  void add(std::uint32_t worker) { change(worker, 1); }
  void sub(std::uint32_t worker) { change(worker, -1); }
  // All workers' requests in flight, those of other workers as of a moment ago.
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
  // A cache line each, so that workers do not take it from one another.
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
  // Names the endpoint across sets: averages and tickets of an identity survive an update.
  std::uint64_t identity = 0;
  std::uint32_t weight = 1;
  // 0 is asked first; others when it has lost too much of its capacity. Everything is 0 today.
  std::uint32_t priority = 0;
  std::string_view host{};  // an address, a name, or a Unix socket's path (port 0)
  std::uint16_t port = 0;
  std::string_view cloud{};
  std::string_view region{};
  std::string_view zone{};
  const Labels* labels = nullptr;      // never null in a set
  const EndpointLoad* load = nullptr;  // null: nobody counts, take it for idle
};

// Which endpoints may be chosen: one bit each, bit i%64 of word i/64. Draining and ejected
// endpoints have no bit. Bits beyond the last endpoint are 0.
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

// What a pick may know about the request.
struct PickContext {
  std::chrono::nanoseconds now{};
  EligibleSet eligible{};
  // Indexes that earlier attempts of this request have tried: to be avoided while any other
  // endpoint is eligible, used again when none is. A handful at most.
  std::span<const std::uint32_t> tried{};
  // Of what the route hashes by (a header, a cookie, the source); none when it is absent.
  std::optional<std::uint64_t> hash{};
};

// How an attempt ended.
struct Outcome {
  enum class Kind : std::uint8_t {
    answered,   // the endpoint answered; `status` and perhaps `grpc_status` say what
    failed,     // it did not: connect failure, reset, protocol error
    timed_out,  // it did not within the time allowed
    cancelled,  // the caller went away, or the request was not sent: nothing against the endpoint
  };
  Kind kind = Kind::answered;
  // From the attempt's start to the answer's headers, however the answer ended and whatever its
  // trailers said, since a stream may last for hours; without headers, to the end of the attempt.
  std::chrono::nanoseconds latency{};
  // What the attempt could have taken at most; 0 is unknown.
  std::chrono::nanoseconds timeout{};
  int status = 0;                    // HTTP; 0 unless answered
  std::optional<int> grpc_status{};  // from headers or trailers
  // What the endpoint asked for by Retry-After or grpc-retry-pushback-ms; 0 is nothing.
  std::chrono::nanoseconds retry_after{};

  // The endpoint could not do its work: no answer, a 5xx, or a gRPC status that says the same of
  // the server; and 429 and RESOURCE_EXHAUSTED, since an endpoint that turns requests away quickly
  // must not look like a quick one.
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
  // Given back by started(); meaningful to the balancer that made it only.
  struct Ticket {
    std::uint32_t value = 0;
  };

  virtual ~LoadBalancer() = default;

  // A new set. What is known about endpoints whose identity is in both sets is kept. The span and
  // all it refers to stay valid until the next update() has returned or the balancer is destroyed.
  // No identity comes twice. May allocate; linear or n log n, since it runs on the worker.
  virtual void update(std::span<const BalancedEndpoint> endpoints,
                      std::chrono::nanoseconds now) = 0;

  // The index of an eligible endpoint of the newest set, or none when nothing is eligible. Constant
  // time, or nearly, while most endpoints are eligible.
  virtual std::optional<std::uint32_t> pick(const PickContext& context) = 0;

  // An attempt goes to endpoint `index` of the newest set.
  virtual Ticket started(std::uint32_t index, std::chrono::nanoseconds now) {
    (void)index, (void)now;
    return {};
  }
  // That attempt is over.
  virtual void finished(Ticket ticket, const Outcome& outcome, std::chrono::nanoseconds now) {
    (void)ticket, (void)outcome, (void)now;
  }

  // What the balancer expects of endpoint `index` now, for the admin page; 0 is no expectation.
  virtual std::chrono::nanoseconds expected_latency(std::uint32_t index,
                                                    std::chrono::nanoseconds now) const {
    (void)index, (void)now;
    return {};
  }
};

// What a balancer is made from.
struct BalancerOptions {
  std::uint64_t seed = 0;  // for its random choices; differs between workers
  std::string hash{};      // the configuration's `hash`, empty when not given
};
// Makes one instance; called on the worker that will use it.
using BalancerFactory = std::function<std::unique_ptr<LoadBalancer>(const BalancerOptions&)>;

}  // namespace outrigger
