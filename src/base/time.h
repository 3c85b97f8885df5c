#pragma once

// Time as the data plane sees it. TimePoint is monotonic and comes from Loop::now() only (read once
// a turn, driven by hand in tests); WallTime is for people and files. Neither clock can be asked
// here: raw clocks stay out of every room but net and server.

#include <chrono>
#include <cstdint>

namespace outrigger {

using Duration = std::chrono::nanoseconds;

struct MonotonicClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicClock, Duration>;
  static constexpr bool is_steady = true;
};
using TimePoint = MonotonicClock::time_point;
using WallTime = std::chrono::sys_time<std::chrono::microseconds>;

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;

}  // namespace outrigger
