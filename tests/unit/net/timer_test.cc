#include "net/timer.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <vector>

#include "base/random.h"

namespace outrigger::net {
namespace {

const TimePoint start(hours(5));

struct Probe {
  explicit Probe(TimerWheel& w) : wheel(w), timer(Timer::to<&Probe::fire>(*this)) {}
  void fire() {
    ++fired;
    if (again > Duration(0)) wheel.arm(timer, again);
  }
  TimerWheel& wheel;
  Timer timer;
  int fired = 0;
  Duration again{0};
};

TEST(TimerWheel, fires_in_the_first_turn_after_the_deadline_and_never_before) {
  TimerWheel wheel(start);
  Probe p(wheel);
  wheel.arm(p.timer, milliseconds(10));
  wheel.advance(start + milliseconds(9));
  EXPECT_EQ(p.fired, 0);
  EXPECT_LE(*wheel.next(), start + milliseconds(12));
  wheel.advance(start + milliseconds(12));
  EXPECT_EQ(p.fired, 1);
  EXPECT_FALSE(wheel.next().has_value());
}

TEST(TimerWheel, cancelled_and_destroyed_timers_do_not_fire) {
  TimerWheel wheel(start);
  Probe a(wheel);
  auto b = std::make_unique<Probe>(wheel);
  wheel.arm(a.timer, milliseconds(20));
  wheel.arm(b->timer, milliseconds(20));
  a.timer.cancel();
  b.reset();
  EXPECT_EQ(wheel.advance(start + seconds(1)), 0);
}

TEST(TimerWheel, a_timer_may_cancel_another_of_the_same_tick) {
  TimerWheel wheel(start);
  Probe second(wheel);
  struct Canceller {
    Timer timer;
    Timer* victim;
    void fire() { victim->cancel(); }
    explicit Canceller(Timer* v) : timer(Timer::to<&Canceller::fire>(*this)), victim(v) {}
  } first(&second.timer);
  wheel.arm(first.timer, milliseconds(8));
  wheel.arm(second.timer, milliseconds(8));
  wheel.advance(start + milliseconds(8));
  EXPECT_EQ(second.fired, 0);
}

TEST(TimerWheel, rearming_from_the_callback_makes_a_period) {
  TimerWheel wheel(start);
  Probe p(wheel);
  p.again = milliseconds(100);
  wheel.arm(p.timer, milliseconds(100));
  for (int i = 1; i <= 1000; ++i) wheel.advance(start + milliseconds(10 * i));
  EXPECT_GE(p.fired, 90);
  EXPECT_LE(p.fired, 100);
}

TEST(TimerWheel, rearming_moves_the_deadline) {
  TimerWheel wheel(start);
  Probe p(wheel);
  wheel.arm(p.timer, seconds(1));
  wheel.arm(p.timer, seconds(10));
  wheel.advance(start + seconds(9));
  EXPECT_EQ(p.fired, 0);
  wheel.advance(start + seconds(10));
  EXPECT_EQ(p.fired, 1);
}

TEST(TimerWheel, tells_when_an_earlier_deadline_came) {
  TimerWheel wheel(start);
  Probe late(wheel);
  Probe early(wheel);
  wheel.arm(late.timer, seconds(10));
  EXPECT_TRUE(wheel.take_rearmed());
  EXPECT_FALSE(wheel.take_rearmed());
  wheel.arm(early.timer, seconds(1));
  EXPECT_TRUE(wheel.take_rearmed());
}

// Against a plain map of deadlines: thousands of timers over hours, with jumps of any size.
TEST(TimerWheel, agrees_with_a_sorted_map) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    TimerWheel wheel(start);
    TimePoint now = start;
    std::vector<std::unique_ptr<Probe>> probes;
    std::vector<int> expected;
    std::multimap<TimePoint, std::size_t> model;
    for (int step = 0; step < 400; ++step) {
      for (int i = 0; i < 5; ++i) {
        constexpr std::array spans = {milliseconds(3), milliseconds(900), milliseconds(70'000),
                                      milliseconds(20'000'000)};
        const Duration after = Duration(static_cast<std::int64_t>(
            random.unit() * static_cast<double>(Duration(spans[random.below(4)]).count())));
        probes.push_back(std::make_unique<Probe>(wheel));
        expected.push_back(0);
        wheel.arm(probes.back()->timer, after);
        model.emplace(now + after, probes.size() - 1);
      }
      now +=
          Duration(static_cast<std::int64_t>(random.unit() * (random.below(50) == 0 ? 3e13 : 2e9)));
      if (const auto next = wheel.next(); next && !model.empty()) {
        ASSERT_LE(*next, model.begin()->first + TimerWheel::tick) << "seed " << seed;
      }
      wheel.advance(now);
      // One tick of tolerance: a deadline inside the current tick fires with the next.
      while (!model.empty() && model.begin()->first <= now - TimerWheel::tick) {
        expected[model.begin()->second] = 1;
        model.erase(model.begin());
      }
      for (auto it = model.begin(); it != model.end() && it->first <= now;) {
        if (probes[it->second]->fired == 1) {
          expected[it->second] = 1;
          it = model.erase(it);
        } else {
          ++it;
        }
      }
      for (std::size_t i = 0; i < probes.size(); ++i)
        ASSERT_EQ(probes[i]->fired, expected[i]) << "seed " << seed << " timer " << i;
    }
  }
}

}  // namespace
}  // namespace outrigger::net
