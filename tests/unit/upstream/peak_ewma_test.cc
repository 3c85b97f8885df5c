#include "upstream/peak_ewma.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "support/balancer_world.h"

namespace outrigger::upstream {
namespace {

using test::BalancerWorld;
using namespace std::chrono_literals;
using Nanos = std::chrono::nanoseconds;

// One balancer over `count` endpoints, with requests reported one at a time.
struct Fixture {
  explicit Fixture(std::size_t count, std::uint64_t seed = 1)
      : world(count, 1), balancer({.seed = seed}) {
    balancer.update(world.endpoints(), world.now());
  }
  void report(std::uint32_t index, const Outcome& outcome) {
    balancer.finished(balancer.started(index, world.now()), outcome, world.now());
  }
  void sample(std::uint32_t index, Nanos latency) {
    report(index, {.latency = latency, .status = 200});
  }
  double expected_ms(std::uint32_t index) const {
    return static_cast<double>(balancer.expected_latency(index, world.now()).count()) / 1e6;
  }
  BalancerWorld world;
  PeakEwmaBalancer balancer;
};

TEST(PeakEwma, BelievesAPeakAtOnceAndForgetsItSlowly) {
  Fixture f(1);
  f.sample(0, 10ms);
  EXPECT_DOUBLE_EQ(f.expected_ms(0), 10);
  f.sample(0, 500ms);
  EXPECT_DOUBLE_EQ(f.expected_ms(0), 500);
  // A lower sample moves it with a time constant of 10 s.
  f.world.pass(1s);
  f.sample(0, 10ms);
  EXPECT_NEAR(f.expected_ms(0), 10 + 490 * std::exp(-0.1), 0.01);
  f.world.pass(10s);
  f.sample(0, 10ms);
  EXPECT_NEAR(f.expected_ms(0), 10 + 490 * std::exp(-1.1), 0.01);
}

TEST(PeakEwma, DecaysByTimeNotByTheNumberOfSamples) {
  Fixture few(1), many(1);
  few.sample(0, 100ms);
  many.sample(0, 100ms);
  for (int i = 0; i < 1000; ++i) {
    many.world.pass(5ms);
    many.sample(0, 1ms);
  }
  few.world.pass(5s);
  few.sample(0, 1ms);
  EXPECT_NEAR(few.expected_ms(0), many.expected_ms(0), 0.5);
}

TEST(PeakEwma, FailuresAreNeverCheap) {
  struct Case {
    const char* name;
    Outcome outcome;
    double expected_ms;
  };
  using Kind = Outcome::Kind;
  const Case cases[] = {
      {"fast 500 without timeout doubles", {.latency = 1ms, .status = 500}, 40},
      {"fast 503 with timeout", {.latency = 1ms, .timeout = 900ms, .status = 503}, 900},
      {"slow 503", {.latency = 950ms, .timeout = 900ms, .status = 503}, 950},
      {"connect failure", {.kind = Kind::failed, .latency = 1us, .timeout = 1s}, 1000},
      {"timeout", {.kind = Kind::timed_out, .latency = 800ms, .timeout = 800ms}, 800},
      {"429", {.latency = 1ms, .timeout = 300ms, .status = 429}, 300},
      {"grpc unavailable", {.latency = 1ms, .timeout = 2s, .status = 200, .grpc_status = 14}, 2000},
      {"grpc exhausted", {.latency = 1ms, .timeout = 2s, .status = 200, .grpc_status = 8}, 2000},
      {"grpc not found is an answer", {.latency = 30ms, .status = 200, .grpc_status = 5}, 30},
      {"404 is an answer", {.latency = 30ms, .timeout = 9s, .status = 404}, 30},
      {"cancelled early says nothing", {.kind = Kind::cancelled, .latency = 3ms}, 20},
      {"cancelled late says nothing either", {.kind = Kind::cancelled, .latency = 3s}, 20},
  };
  for (const Case& c : cases) {
    Fixture f(1);
    f.sample(0, 20ms);
    f.report(0, c.outcome);
    EXPECT_DOUBLE_EQ(f.expected_ms(0), c.expected_ms) << c.name;
  }
}

// Impatient callers of an endpoint that hangs leave no sample: by decay alone it would soon look
// like the best of all.
TEST(PeakEwma, WaitingInVainKeepsAnEndpointFromLookingBetter) {
  Fixture f(1);
  f.sample(0, 20ms);
  for (int i = 0; i < 60; ++i) {
    f.world.pass(1s);
    f.report(0, {.kind = Outcome::Kind::cancelled, .latency = 1s});
  }
  EXPECT_DOUBLE_EQ(f.expected_ms(0), 20);
  f.world.pass(30s);
  EXPECT_LT(f.expected_ms(0), 2);
  f.report(0, {.kind = Outcome::Kind::cancelled, .latency = 5ms});
  EXPECT_DOUBLE_EQ(f.expected_ms(0), 5) << "no more than was waited";
}

TEST(PeakEwma, DoublingHasAnEnd) {
  Fixture f(1);
  for (int i = 0; i < 2000; ++i) f.report(0, {.latency = 1ms, .status = 500});
  EXPECT_DOUBLE_EQ(f.expected_ms(0), 60'000);
}

TEST(PeakEwma, RetryAfterKeepsTrafficAwayForThatLong) {
  Fixture f(2);
  f.sample(0, 10ms);
  f.sample(1, 10ms);
  f.report(0, {.latency = 1ms, .status = 503, .retry_after = 5s});
  EXPECT_GE(f.expected_ms(0), 5000);
  f.world.pass(4900ms);
  EXPECT_GE(f.expected_ms(0), 5000);
  EXPECT_EQ(f.world.tally(f.balancer, 100, f.world.now())[0], 0);
  f.world.pass(200ms);
  EXPECT_LT(f.expected_ms(0), 20);

  f.report(1, {.latency = 1ms, .status = 503, .retry_after = std::chrono::hours(20'000)});
  f.world.pass(PeakEwmaBalancer::retry_after_max + 1s);
  EXPECT_LT(f.expected_ms(1), 1);
}

TEST(PeakEwma, NewEndpointsBeginAtTheMedian) {
  Fixture f(5);
  for (std::uint32_t i = 0; i < 5; ++i) f.sample(i, std::chrono::milliseconds(10 * (i + 1)));
  f.world.add(1);
  f.balancer.update(f.world.endpoints(), f.world.now());
  EXPECT_DOUBLE_EQ(f.expected_ms(5), 30);
  EXPECT_DOUBLE_EQ(f.expected_ms(4), 50);  // kept
}

TEST(PeakEwma, BeforeMeasuringTheUnknownAreWorthTheMedianOfTheKnown) {
  Fixture f(8);
  EXPECT_EQ(f.expected_ms(0), f.expected_ms(7));
  f.sample(3, 40ms);
  EXPECT_DOUBLE_EQ(f.expected_ms(0), 40);
  f.sample(4, 60ms);
  EXPECT_DOUBLE_EQ(f.expected_ms(0), 60);  // the upper of the two
  EXPECT_DOUBLE_EQ(f.expected_ms(3), 40);
}

TEST(PeakEwma, KeepsAveragesByIdentityAcrossUpdates) {
  Fixture f(3);
  f.sample(0, 10ms);
  f.sample(1, 20ms);
  f.sample(2, 30ms);
  f.world.remove(0);
  f.balancer.update(f.world.endpoints(), f.world.now());
  EXPECT_DOUBLE_EQ(f.expected_ms(0), 20);
  EXPECT_DOUBLE_EQ(f.expected_ms(1), 30);
}

TEST(PeakEwma, ASlotLivesUntilItsLastTicketIsFinished) {
  Fixture f(2);
  const auto ticket = f.balancer.started(0, f.world.now());
  const auto other = f.balancer.started(0, f.world.now());
  f.world.remove(0);
  f.balancer.update(f.world.endpoints(), f.world.now());
  f.world.add(1);
  f.balancer.update(f.world.endpoints(), f.world.now());
  EXPECT_EQ(f.balancer.slots_in_use(), 3U);
  f.balancer.finished(ticket, {.latency = 9s, .status = 200}, f.world.now());
  EXPECT_EQ(f.balancer.slots_in_use(), 3U);
  f.balancer.finished(other, {.latency = 9s, .status = 200}, f.world.now());
  EXPECT_EQ(f.balancer.slots_in_use(), 2U);
  EXPECT_LT(f.expected_ms(1), 100);  // the departed one's sample was not counted for another
}

TEST(PeakEwmaDeathTest, FinishingATicketTwiceIsABug) {
  Fixture f(1);
  const auto ticket = f.balancer.started(0, f.world.now());
  f.balancer.finished(ticket, {}, f.world.now());
  EXPECT_DEATH(f.balancer.finished(ticket, {}, f.world.now()), "finished already");
}

TEST(PeakEwma, CountsWhatIsInFlight) {
  Fixture f(2);
  f.sample(0, 10ms);
  f.sample(1, 25ms);
  EXPECT_EQ(f.world.tally(f.balancer, 100, f.world.now())[0], 100);  // 10 against 25
  f.world.load(0).add(0);
  EXPECT_EQ(f.world.tally(f.balancer, 100, f.world.now())[0], 100);  // 20 against 25
  f.world.load(0).add(0);
  EXPECT_EQ(f.world.tally(f.balancer, 100, f.world.now())[0], 0);  // 30 against 25
}

TEST(PeakEwma, AfterALongSilenceLoadStillDecides) {
  Fixture f(3);
  for (std::uint32_t i = 0; i < 3; ++i) f.sample(i, 10ms);
  f.world.pass(std::chrono::hours(1000));
  f.world.load(0).add(0);
  f.world.load(2).add(0);
  EXPECT_EQ(f.world.tally(f.balancer, 100, f.world.now())[1], 100);
}

// --- in motion ---

Outcome ok(Nanos latency) {
  return {.latency = latency, .timeout = 15s, .status = 200};
}

TEST(PeakEwmaInMotion, AvoidsAnEndpointThatFailsFast) {
  for (const std::size_t count : {3, 10}) {
    Fixture f(count, 5);
    const auto answer = [](std::size_t i, Nanos) {
      if (i == 0) return Outcome{.latency = 200us, .timeout = 1s, .status = 503};
      return ok(10ms);
    };
    const auto tally = f.world.run(f.balancer, 500, 20s, answer);
    EXPECT_LT(tally[0], 10'000 / 200) << count << " endpoints";
    EXPECT_GT(tally[0], 0);
  }
}

TEST(PeakEwmaInMotion, ComesBackToAnEndpointThatRecovered) {
  Fixture f(3, 5);
  bool broken = true;
  const auto answer = [&](std::size_t i, Nanos) {
    if (i == 0 && broken) return Outcome{.latency = 200us, .timeout = 1s, .status = 503};
    return ok(10ms);
  };
  f.world.run(f.balancer, 500, 10s, answer);
  broken = false;
  f.world.run(f.balancer, 500, 60s, answer);
  const auto tally = f.world.run(f.balancer, 500, 20s, answer);
  EXPECT_GT(tally[0], 10'000 / 6);
}

TEST(PeakEwmaInMotion, DoesNotFloodANewEndpoint) {
  // Nine warm endpoints; a tenth joins. In its first half second it gets no more than twice its
  // share, fast or slow, and more than nothing.
  for (const Nanos speed : {Nanos(1ms), Nanos(20ms), Nanos(200ms)}) {
    Fixture f(9, 3);
    Random random(1);
    const auto answer = [&](std::size_t i, Nanos) {
      if (i == 9) return ok(speed);
      return ok(std::chrono::microseconds(15'000 + random.below(10'000)));
    };
    f.world.run(f.balancer, 2000, 20s, answer);
    f.world.add(1);
    f.balancer.update(f.world.endpoints(), f.world.now());
    const auto tally = f.world.run(f.balancer, 2000, 500ms, answer);
    EXPECT_LE(tally[9], 200) << speed.count();
    EXPECT_GE(tally[9], 3) << speed.count();
  }
}

TEST(PeakEwmaInMotion, SendsLessToTheSlower) {
  Fixture f(10, 3);
  const auto answer = [&](std::size_t i, Nanos) { return ok(i < 2 ? 100ms : 10ms); };
  f.world.run(f.balancer, 1000, 5s, answer);
  const auto tally = f.world.run(f.balancer, 1000, 20s, answer);
  EXPECT_LT(tally[0] + tally[1], 20'000 / 20);   // a fifth of the endpoints, less than 5%
  EXPECT_GT(tally[0] + tally[1], 20'000 / 500);  // but probed now and then
}

TEST(PeakEwmaInMotion, ABlackHoleSwallowsFew) {
  Fixture f(5, 3);
  const auto answer = [&](std::size_t i, Nanos) {
    if (i == 0) {
      return Outcome{.kind = Outcome::Kind::timed_out, .latency = 15s, .timeout = 15s};
    }
    return ok(5ms);
  };
  const auto tally = f.world.run(f.balancer, 1000, 60s, answer);
  EXPECT_LT(tally[0], 150);  // of 60,000
}

TEST(PeakEwmaInMotion, WhenAllFailTheLoadIsSpread) {
  Fixture f(4, 3);
  const auto answer = [&](std::size_t, Nanos) {
    return Outcome{.latency = 1ms, .timeout = 100ms, .status = 503};
  };
  const auto tally = f.world.run(f.balancer, 1000, 10s, answer);
  for (const int n : tally) EXPECT_NEAR(n, 2500, 1000);
}

}  // namespace
}  // namespace outrigger::upstream
