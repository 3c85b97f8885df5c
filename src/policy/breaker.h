#pragma once

// A service's circuit breaker: at most so many connections, waiting requests, running requests and
// retries at a time, over all workers.
//
// A limit is shared, but asking it is not: each worker holds credits, taken from the shared count
// in batches of an eighth of its part of the limit (limit / 8N for N workers), and grants permits
// from those without touching anything shared. Near the edge, when less than one batch for each
// worker is left, credits are taken one by one and given back at once.
//
// Accuracy. The limit is never exceeded (but for a limit lowered by a reload, which lets running
// requests finish). It may refuse early: other workers may be holding unused credits, fewer than
// two batches each, so less than a quarter of the limit in all. A worker returns them with the next
// permit that is given back near the edge. With one worker there is no error.
//
//   SharedBreaker shared(config.breaker, workers);        // one per service, outlives the workers'
//   Breaker breaker(shared);                              // one per service and worker
//   if (Permit permit = breaker.requests.try_take()) ...  // dropped when the request is over

#include <atomic>
#include <cstdint>
#include <utility>

#include "base/intrusive_list.h"
#include "base/metric_cells.h"
#include "config/model.h"

namespace outrigger::policy {

// One count that workers share. Any thread.
class SharedLimit {
 public:
  SharedLimit(std::uint32_t limit, std::uint32_t workers) : workers_(workers) { set_limit(limit); }

  // Takes as many as `wanted`, or fewer when fewer are left; returns how many, 0 when none.
  std::uint32_t take(std::uint32_t wanted);
  void give(std::uint32_t count) { taken_.fetch_sub(count, std::memory_order_relaxed); }
  // Applies to what is taken from now on.
  void set_limit(std::uint32_t limit) {
    limit_.store(limit, std::memory_order_relaxed);
    const std::uint32_t batch = limit / (8 * workers_);
    batch_.store(batch > 0 ? batch : 1, std::memory_order_relaxed);
  }

  std::uint32_t limit() const { return limit_.load(std::memory_order_relaxed); }
  // Credits that workers hold, used or not.
  std::uint32_t taken() const { return taken_.load(std::memory_order_relaxed); }
  // How many a worker takes at a time.
  std::uint32_t batch() const { return batch_.load(std::memory_order_relaxed); }
  // Fewer than a batch for each worker are left.
  bool near_edge() const { return taken() + batch() * workers_ > limit(); }

 private:
  std::atomic<std::uint32_t> taken_{0};
  std::atomic<std::uint32_t> limit_{0};
  std::atomic<std::uint32_t> batch_{1};
  const std::uint32_t workers_;
};

class LocalLimit;

// Somebody whom the limit has refused and who would try again: LocalLimit::wait() puts it in a
// queue, which it leaves when it is told, destroyed, or stops waiting. The worker's thread.
class LimitWaiter : private ListLink<LimitWaiter> {
 public:
  // A permit of this worker has come back. Whoever leaves permits untaken calls wake_next(), so that
  // the next in the queue is told.
  virtual void on_permit_returned() = 0;

 protected:
  ~LimitWaiter() = default;
  void stop_waiting() { unlink(); }
  // The limit has refused it, and it has not been told of a permit since.
  bool refused() const { return linked(); }

 private:
  friend class LocalLimit;
  friend class IntrusiveList<LimitWaiter>;
};

// The right to one of what is limited; false when there was none. Dropping it gives it back, on the
// worker's thread and before its LocalLimit dies.
class [[nodiscard]] Permit {
 public:
  Permit() = default;
  Permit(Permit&& other) noexcept : limit_(std::exchange(other.limit_, nullptr)) {}
  Permit& operator=(Permit&& other) noexcept {
    if (this != &other) {
      release();
      limit_ = std::exchange(other.limit_, nullptr);
    }
    return *this;
  }
  ~Permit() { release(); }
  explicit operator bool() const { return limit_ != nullptr; }
  inline void release();

 private:
  friend class LocalLimit;
  explicit Permit(LocalLimit& limit) : limit_(&limit) {}
  LocalLimit* limit_ = nullptr;
};

// A worker's part of a SharedLimit. One thread.
class LocalLimit {
 public:
  explicit LocalLimit(SharedLimit& shared) : shared_(shared) {}
  LocalLimit(const LocalLimit&) = delete;
  LocalLimit& operator=(const LocalLimit&) = delete;
  // REQUIRES: no permit is out.
  ~LocalLimit();

  Permit try_take() {
    if (used_ == held_ && !take_more()) return {};
    open_ = false;
    ++used_;
    return Permit(*this);
  }
  // Is told of a permit that comes back to this worker. Those of other workers tell nobody here.
  void wait(LimitWaiter& waiter) {
    if (!waiter.linked()) waiters_.push_back(waiter);
  }
  void wake_next() {
    if (!waiters_.empty()) waiters_.pop_front().on_permit_returned();
  }
  // This worker's permits out; read by the scraping thread too.
  std::uint32_t used() const { return used_; }
  // The limit refuses: set by a refusal, cleared by the next permit granted. The change either way
  // is an event to be told.
  bool open() const { return open_; }
  Counter& refused() { return refused_; }

 private:
  friend class Permit;
  bool take_more();
  void give_back() {
    --used_;
    const std::uint32_t spare = held_ - used_;
    if (spare >= 2 * shared_.batch() || shared_.near_edge()) return_credits();
    wake_next();
  }
  void return_credits();

  SharedLimit& shared_;
  std::uint32_t used_ = 0;
  std::uint32_t held_ = 0;
  bool open_ = false;
  Counter refused_;
  IntrusiveList<LimitWaiter> waiters_;
};

inline void Permit::release() {
  if (limit_ != nullptr) std::exchange(limit_, nullptr)->give_back();
}

struct SharedBreaker {
  SharedBreaker(const config::Breaker& config, std::uint32_t workers)
      : connections(config.connections, workers),
        pending(config.pending, workers),
        requests(config.requests, workers),
        retries(config.retries, workers) {}
  void configure(const config::Breaker& config) {
    connections.set_limit(config.connections);
    pending.set_limit(config.pending);
    requests.set_limit(config.requests);
    retries.set_limit(config.retries);
  }
  SharedLimit connections;
  SharedLimit pending;
  SharedLimit requests;
  SharedLimit retries;
};

struct Breaker {
  explicit Breaker(SharedBreaker& shared)
      : connections(shared.connections),
        pending(shared.pending),
        requests(shared.requests),
        retries(shared.retries) {}
  LocalLimit connections;
  LocalLimit pending;
  LocalLimit requests;
  LocalLimit retries;
};

}  // namespace outrigger::policy
