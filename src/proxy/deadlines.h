#pragma once

// The deadlines of one exchange as a value: which are running, which comes next, which has passed.
// Each event of an exchange has a method, which starts and stops all deadlines it concerns, so that
// no deadline outlives its purpose and none is forgotten when the timer is set. Knows neither loop
// nor timer.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/time.h"

namespace outrigger::proxy {

// In the order in which they are reported when several have passed.
enum class Deadline : std::uint8_t {
  whole,    // of the exchange, including the end of the response
  answer,   // for the response's head, including all tries
  attempt,  // for the response's head of one try
  pause,    // not a failure: the next try is due
  body,     // the request body is too slow
  idle,     // nothing moved for too long
};

class Deadlines {
 public:
  static constexpr TimePoint never = TimePoint::max();

  // A body may arrive at any rate for this long.
  static constexpr Duration body_grace = seconds(30);
  static constexpr Duration body_credit_max = hours(1);

  Deadlines() { at_.fill(never); }

  // The request's head has arrived. `idle` runs while either body is being transferred.
  void request_began(TimePoint now, std::optional<Duration> whole, Duration idle) {
    idle_ = idle;
    if (whole) set(Deadline::whole, now + *whole);
    set(Deadline::idle, now + idle);
  }
  // Its body has begun and must arrive at this average rate; pauses that we caused do not count.
  void body_began(TimePoint now, std::uint64_t bytes_per_second) {
    if (phase_ == Phase::answering) return;
    per_byte_ = Duration(seconds(1)) / static_cast<std::int64_t>(bytes_per_second);
    set(Deadline::body, now + body_grace);
  }
  // What arrives faster earns credit for slower times, at most an hour's worth.
  void body_came(TimePoint now, std::size_t bytes) {
    const Duration earned = per_byte_ * static_cast<std::int64_t>(bytes);
    TimePoint& by = at(Deadline::body);
    if (by != never) by = std::min(by + earned, now + body_credit_max);
    if (body_left_) body_left_ = std::min(*body_left_ + earned, body_credit_max);
  }
  // The caller is paused: the time that passes is the endpoint's, and that of the current try.
  void body_paused(TimePoint now) {
    paused_ = true;
    run_attempt(now);
    if (at(Deadline::body) == never) return;
    body_left_ = std::max(at(Deadline::body) - now, Duration::zero());
    at(Deadline::body) = never;
  }
  void body_resumed(TimePoint now) {
    paused_ = false;
    if (phase_ == Phase::uploading) stop_attempt(now);
    if (const auto left = std::exchange(body_left_, std::nullopt)) set(Deadline::body, now + *left);
  }
  void request_ended() {
    body_is_over();
    if (phase_ != Phase::answering) at(Deadline::idle) = never;
  }
  // The request is complete, or is a tunnel's: the time for its response runs from now on, and so
  // does that of the current try. Only the first call counts: a tunnel's body is not part of the
  // request.
  void answer_expected(TimePoint now, std::optional<Duration> answer) {
    if (phase_ != Phase::uploading) return;
    phase_ = Phase::answer_due;
    if (answer) set(Deadline::answer, now + *answer);
    run_attempt(now);
  }
  // A slow upload is not the endpoint's fault, so the try's time begins at the end of the request.
  void attempt_began(TimePoint now, std::optional<Duration> allowed) {
    at(Deadline::pause) = never;
    at(Deadline::attempt) = never;
    attempt_left_ = allowed;
    if (phase_ == Phase::answer_due || paused_) run_attempt(now);
  }
  // One try has ended, and the next begins at `until`.
  void paused(TimePoint until) {
    attempt_left_.reset();
    at(Deadline::attempt) = never;
    set(Deadline::pause, until);
  }
  // The response's head is sent: from here on only `whole` and `idle` count.
  void answer_began(TimePoint now) {
    phase_ = Phase::answering;
    attempt_left_.reset();
    at(Deadline::answer) = at(Deadline::attempt) = at(Deadline::pause) = never;
    set(Deadline::idle, now + idle_);
    body_is_over();
  }
  // A piece of a body has arrived.
  void moved(TimePoint now) {
    if (at(Deadline::idle) != never) at(Deadline::idle) = now + idle_;
  }

  TimePoint operator[](Deadline which) const { return at_[static_cast<std::size_t>(which)]; }
  // No deadline comes before this; `never` when none has been set. Deadlines postponed or stopped
  // since the last look_again() still count.
  TimePoint soonest() const { return soonest_; }
  // The earliest; `never` when none is running.
  TimePoint look_again() { return soonest_ = *std::min_element(at_.begin(), at_.end()); }
  // Of those that have passed, the first in the order of Deadline.
  std::optional<Deadline> due(TimePoint now) const {
    for (std::size_t i = 0; i < at_.size(); ++i) {
      if (at_[i] <= now) return static_cast<Deadline>(i);
    }
    return std::nullopt;
  }

 private:
  void body_is_over() {
    at(Deadline::body) = never;
    body_left_.reset();
  }
  void set(Deadline which, TimePoint when) {
    at(which) = when;
    soonest_ = std::min(soonest_, when);
  }
  void run_attempt(TimePoint now) {
    if (attempt_left_ && at(Deadline::attempt) == never)
      set(Deadline::attempt, now + *attempt_left_);
  }
  void stop_attempt(TimePoint now) {
    if (at(Deadline::attempt) == never) return;
    attempt_left_ = std::max(at(Deadline::attempt) - now, Duration::zero());
    at(Deadline::attempt) = never;
  }
  TimePoint& at(Deadline which) { return at_[static_cast<std::size_t>(which)]; }

  std::array<TimePoint, 6> at_;
  TimePoint soonest_ = never;
  Duration idle_{};
  Duration per_byte_{};
  std::optional<Duration> body_left_;     // while the caller is paused
  std::optional<Duration> attempt_left_;  // of the current try's time, when it last stood still
  bool paused_ = false;                   // the caller
  enum class Phase : std::uint8_t { uploading, answer_due, answering } phase_ = Phase::uploading;
};

}  // namespace outrigger::proxy
