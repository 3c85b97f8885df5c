#pragma once

// A hierarchical timer wheel (Varghese and Lauck, 1987): arming and cancelling are a few list
// operations, whatever the number of timers. Ticks are 4 ms; a timer fires in the first turn after
// its deadline, never before it. One thread.
//
//   Timer timer = Timer::to<&Session::on_idle>(*this);   // a member of Session
//   loop.timers().arm(timer, 60s);                        // again and again; re-arming moves it
//   timer.cancel();                                       // or just destroy it

#include <array>
#include <cstdint>
#include <optional>

#include "base/intrusive_list.h"
#include "base/time.h"

namespace outrigger::net {

class TimerWheel;

// One deadline. Its owner embeds it; destroying or cancelling it guarantees that the callback does
// not run afterwards.
class Timer : private ListLink<Timer> {
 public:
  using Callback = void (*)(void*);
  Timer(Callback callback, void* argument) : callback_(callback), argument_(argument) {}

  // A timer that calls a member function of its owner.
  template <auto method, typename T>
  static Timer to(T& owner) {
    return Timer([](void* p) { (static_cast<T*>(p)->*method)(); }, &owner);
  }

  bool armed() const { return linked(); }
  void cancel() { unlink(); }
  TimePoint deadline() const { return deadline_; }

 private:
  friend class TimerWheel;
  friend class IntrusiveList<Timer>;
  Callback callback_;
  void* argument_;
  TimePoint deadline_{};
};

class TimerWheel {
 public:
  static constexpr Duration tick = milliseconds(4);

  explicit TimerWheel(TimePoint now) : base_(now), now_(now) {}
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Fires once, `after` from now; replaces an earlier deadline. Longer than 3 days is 3 days.
  void arm(Timer& timer, Duration after) { arm_at(timer, now_ + after); }
  void arm_at(Timer& timer, TimePoint deadline);

  // Time has moved on: deadlines armed from here on count from `now`. Runs nothing.
  void set_now(TimePoint now) {
    if (now > now_) now_ = now;
  }
  // Runs what is due at `now`; callbacks may arm and cancel any timer. Returns how many ran.
  int advance(TimePoint now);
  // No timer fires before this; nullopt when none is armed. May be early (a cascade), never late.
  std::optional<TimePoint> next() const;
  // True once since the last call, when arm() moved next() to an earlier time.
  bool take_rearmed() {
    const bool r = rearmed_;
    rearmed_ = false;
    return r;
  }

 private:
  static constexpr int level_bits = 8;
  static constexpr int slots = 1 << level_bits;
  static constexpr int levels = 4;
  using List = IntrusiveList<Timer>;

  std::uint64_t tick_of(TimePoint t) const;
  void place(Timer& timer, std::uint64_t at);
  void cascade(int level, std::uint64_t position);
  std::uint64_t next_occupied(int level, std::uint64_t from) const;
  std::uint64_t find_earliest() const;

  TimePoint base_;
  TimePoint now_;
  std::uint64_t current_ = 0;  // ticks since base_ that have been run
  std::uint64_t earliest_ = ~0ULL;
  bool rearmed_ = false;
  std::array<std::array<List, slots>, levels> wheel_;
  // Slots that may hold timers: a bit stays set when its last timer is cancelled, until its turn.
  std::array<std::array<std::uint64_t, slots / 64>, levels> occupied_{};
};

}  // namespace outrigger::net
