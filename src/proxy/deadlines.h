#pragma once

// The deadlines of one exchange as a value: which are running, which comes next, which has passed.
// What happens to the exchange is told by name, and starts and stops all deadlines it concerns, so
// that none survives what it was set for and none is forgotten when the timer is set. Knows neither
// loop nor timer.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/time.h"

namespace outrigger::proxy {

// In the order in which they are told when several have passed.
enum class Deadline : std::uint8_t {
  whole,    // of the exchange, its answer's end included
  answer,   // until the answer's head, all tries included
  attempt,  // for one try's head
  pause,    // not a failure: the next try is due
  idle,     // nothing moved for too long
};

class Deadlines {
 public:
  static constexpr TimePoint never = TimePoint::max();

  Deadlines() { at_.fill(never); }

  // The request's head is here. `idle` runs while a body, either one, is coming.
  void request_began(TimePoint now, std::optional<Duration> whole, Duration idle) {
    idle_ = idle;
    if (whole) at(Deadline::whole) = now + *whole;
    at(Deadline::idle) = now + idle;
  }
  void request_ended() {
    if (!answering_) at(Deadline::idle) = never;
  }
  void answer_expected(TimePoint now, std::optional<Duration> answer) {
    if (answer && !answering_) at(Deadline::answer) = now + *answer;
  }
  void attempt_began(TimePoint now, std::optional<Duration> allowed) {
    at(Deadline::pause) = never;
    at(Deadline::attempt) = allowed ? now + *allowed : never;
  }
  // One try is over, and none is under way until `until`.
  void paused(TimePoint until) {
    at(Deadline::attempt) = never;
    at(Deadline::pause) = until;
  }
  // The answer's head goes down: from here on only the end and idleness count.
  void answer_began(TimePoint now) {
    answering_ = true;
    at(Deadline::answer) = at(Deadline::attempt) = at(Deadline::pause) = never;
    at(Deadline::idle) = now + idle_;
  }
  // A piece of a body has come.
  void moved(TimePoint now) {
    if (at(Deadline::idle) != never) at(Deadline::idle) = now + idle_;
  }

  TimePoint operator[](Deadline which) const { return at_[static_cast<std::size_t>(which)]; }
  // The earliest; `never` when none is running.
  TimePoint next() const {
    TimePoint first = at_[0];
    for (std::size_t i = 1; i < at_.size(); ++i) first = at_[i] < first ? at_[i] : first;
    return first;
  }
  // The gravest of those that have passed.
  std::optional<Deadline> due(TimePoint now) const {
    for (std::size_t i = 0; i < at_.size(); ++i) {
      if (at_[i] <= now) return static_cast<Deadline>(i);
    }
    return std::nullopt;
  }

 private:
  TimePoint& at(Deadline which) { return at_[static_cast<std::size_t>(which)]; }

  std::array<TimePoint, 5> at_;
  Duration idle_{};
  bool answering_ = false;
};

}  // namespace outrigger::proxy
