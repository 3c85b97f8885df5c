#pragma once

// How many retries a service can bear: a share of the requests of the last 10 s, so that retries
// cannot amplify an outage, with a floor of a few at a time, so that requests to a quiet service
// are retried too.
//
// Each worker has a RetryBudget per service and counts its own requests, without atomics: if every
// worker keeps to the share of its own requests, so do all together. The floor is one for all
// workers, in RetryFloor, which is touched only by retries beyond the share.
//
//   budget.on_request(now);                     // every request, not its retries
//   if (auto permit = budget.try_take(now)) ... // held until the retry is over
//
// The window moves in steps of a second, so what is counted is 9 to 10 s old at most.

#include <array>
#include <atomic>
#include <cstdint>

#include "base/time.h"

namespace outrigger::policy {

// Retries in flight beyond the share. Shared by a service's workers; outlives their budgets.
class RetryFloor {
 public:
  static constexpr std::uint32_t default_max = 3;

  explicit RetryFloor(std::uint32_t concurrent_max = default_max) : max_(concurrent_max) {}
  bool try_take();
  void give() { taken_.fetch_sub(1, std::memory_order_relaxed); }
  bool full() const { return taken_.load(std::memory_order_relaxed) >= max_; }
  std::uint32_t taken() const { return taken_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint32_t> taken_{0};
  const std::uint32_t max_;
};

class RetryBudget {
 public:
  // The right to one retry; false when there was none. Dropping it ends the retry.
  class Permit {
   public:
    Permit() = default;
    Permit(Permit&& other) noexcept;
    Permit& operator=(Permit&& other) noexcept;
    ~Permit() { release(); }
    explicit operator bool() const { return granted_; }
    void release();

   private:
    friend class RetryBudget;
    Permit(bool granted, RetryFloor* floor) : floor_(floor), granted_(granted) {}
    RetryFloor* floor_ = nullptr;  // null: within the share
    bool granted_ = false;
  };

  static constexpr std::size_t window_seconds = 10;

  // `share`: retries per request, 0.2 for 20%.
  RetryBudget(double share, RetryFloor& floor) : share_(share), floor_(floor) {}
  void set_share(double share) { share_ = share; }

  void on_request(TimePoint now) { slot(now).requests += 1; }
  Permit try_take(TimePoint now);
  // Whether try_take() would grant one.
  bool has_left(TimePoint now) { return within_share(now) || !floor_.full(); }

  // In the window, for the admin page.
  std::uint64_t requests(TimePoint now);
  std::uint64_t retries(TimePoint now);

 private:
  struct Slot {
    std::uint32_t requests = 0;
    std::uint32_t retries = 0;
  };
  Slot& slot(TimePoint now) {
    const auto second = std::chrono::floor<seconds>(now.time_since_epoch()).count();
    if (second != second_) [[unlikely]] {
      advance(second);
    }
    return slots_[static_cast<std::size_t>(second % static_cast<std::int64_t>(window_seconds))];
  }
  void advance(std::int64_t second);
  bool within_share(TimePoint now);

  double share_;
  RetryFloor& floor_;
  std::array<Slot, window_seconds> slots_{};
  std::int64_t second_ = 0;  // the newest slot is of this second
};

}  // namespace outrigger::policy
