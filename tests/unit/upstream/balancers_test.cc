// What all balancers guarantee, and each one's distribution. Statistical bounds are five standard
// deviations wide; the seeds are fixed, so a run that passes keeps passing.

#include "upstream/balancers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "support/balancer_world.h"
#include "upstream/round_robin.h"

namespace outrigger::upstream {
namespace {

using test::BalancerWorld;
using testing::ElementsAre;
using namespace std::chrono_literals;

// `got` of `of` independent draws of probability `p`.
void expect_share(int got, int of, double p) {
  const double sigma = std::sqrt(of * p * (1 - p));
  EXPECT_NEAR(got, of * p, 5 * sigma + 1) << "expected a share of " << p;
}

class EveryBalancer : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<LoadBalancer> make(std::uint64_t seed = 1) {
    return Balancers::built_in().make(GetParam(), {.seed = seed});
  }
};
INSTANTIATE_TEST_SUITE_P(All, EveryBalancer,
                         testing::Values("round_robin", "random", "least_request", "peak_ewma"),
                         [](const auto& one) { return one.param; });

TEST_P(EveryBalancer, PicksNobodyFromAnEmptySet) {
  auto b = make();
  EXPECT_FALSE(b->pick({}));
  b->update({}, 0ns);
  EXPECT_FALSE(b->pick({}));
}

TEST_P(EveryBalancer, PicksNobodyWhenNobodyIsEligible) {
  for (const std::size_t count : {1, 3, 5, 64, 65, 200}) {
    BalancerWorld world(count, 1);
    auto b = make();
    b->update(world.endpoints(), 0ns);
    for (std::uint32_t i = 0; i < count; ++i) world.eligibility().set(i, false);
    EXPECT_FALSE(b->pick(world.context())) << count;
    world.eligibility().set(static_cast<std::uint32_t>(count - 1), true);
    EXPECT_EQ(b->pick(world.context()), count - 1) << count;
  }
}

TEST_P(EveryBalancer, PicksOnlyTheEligible) {
  for (const std::size_t count : {4, 10, 300}) {
    for (const bool weighted : {false, true}) {
      BalancerWorld world(count, 1);
      if (weighted) world.add(3);
      auto b = make();
      b->update(world.endpoints(), 0ns);
      for (std::uint32_t i = 0; i < count; ++i) world.eligibility().set(i, i % 3 == 1);
      const auto tally = world.tally(*b, 3000);
      for (std::uint32_t i = 0; i < tally.size(); ++i) {
        EXPECT_TRUE(world.eligibility().get(i) || tally[i] == 0) << i;
      }
      EXPECT_EQ(std::accumulate(tally.begin(), tally.end(), 0), 3000);
    }
  }
}

TEST_P(EveryBalancer, AvoidsWhatWasTriedWhileAnythingElseIsThere) {
  for (const std::size_t count : {2, 4, 9}) {
    BalancerWorld world(count, 1);
    auto b = make();
    b->update(world.endpoints(), 0ns);
    std::vector<std::uint32_t> tried;
    for (std::size_t i = 0; i < count; ++i) {
      for (int round = 0; round < 50; ++round) {
        const auto index = b->pick(world.context({}, tried));
        ASSERT_TRUE(index);
        EXPECT_EQ(std::count(tried.begin(), tried.end(), *index), 0) << count << " round " << round;
      }
      tried.push_back(*b->pick(world.context({}, tried)));
    }
    // All have been tried: any of them may be picked again.
    const auto again = world.tally(*b, 400, {}, tried);
    EXPECT_EQ(std::accumulate(again.begin(), again.end(), 0), 400);
  }
}

TEST_P(EveryBalancer, TriedAndIneligibleTogetherLeaveTheTried) {
  BalancerWorld world(6, 1);
  auto b = make();
  b->update(world.endpoints(), 0ns);
  for (const std::uint32_t i : {0, 1, 2, 4, 5}) world.eligibility().set(i, false);
  const std::vector<std::uint32_t> tried{3, 0};
  EXPECT_EQ(b->pick(world.context({}, tried)), 3U);
}

TEST_P(EveryBalancer, SpreadsEvenlyOverIdleEqualEndpoints) {
  for (const std::size_t count : {2, 4, 5, 100}) {
    BalancerWorld world(count, 7);
    auto b = make();
    b->update(world.endpoints(), 0ns);
    const auto tally = world.tally(*b, 20'000);
    for (const int n : tally) expect_share(n, 20'000, 1.0 / static_cast<double>(count));
  }
}

TEST_P(EveryBalancer, FollowsWeightsWhileIdle) {
  for (const auto& weights : {std::vector<std::uint32_t>{1, 2}, {99, 1}, {1, 2, 3, 4}}) {
    BalancerWorld world(weights);
    auto b = make();
    b->update(world.endpoints(), 0ns);
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    const auto tally = world.tally(*b, 50'000);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      expect_share(tally[i], 50'000, weights[i] / total);
    }
  }
}

TEST_P(EveryBalancer, FollowsWeightsUnderLoad) {
  // 20 endpoints, half of them with weight 3; equal latencies, about 100 requests in flight.
  BalancerWorld world(std::vector<std::uint32_t>(10, 1));
  for (int i = 0; i < 10; ++i) world.add(3);
  auto b = make();
  b->update(world.endpoints(), world.now());
  Random random(3);
  const auto tally = world.run(*b, 10'000, 10s, [&](std::size_t, auto) {
    return Outcome{.latency = std::chrono::microseconds(9'000 + random.below(2'000)),
                   .status = 200};
  });
  const int heavy = std::accumulate(tally.begin() + 10, tally.end(), 0);
  EXPECT_NEAR(heavy, 75'000, 3'000);
  for (int i = 10; i < 20; ++i) EXPECT_NEAR(tally[static_cast<std::size_t>(i)], 7'500, 1'500);
}

TEST_P(EveryBalancer, SurvivesUpdatesWithTicketsOpen) {
  BalancerWorld world(3, 1);
  auto b = make();
  b->update(world.endpoints(), world.now());
  Random random(7);
  std::uint64_t started = 0;
  for (int round = 0; round < 200; ++round) {
    const auto tally = world.run(*b, 1000, 50ms, [&](std::size_t, auto) {
      return Outcome{.latency = std::chrono::milliseconds(1 + random.below(200)), .status = 200};
    });
    for (const int n : tally) started += static_cast<std::uint64_t>(n);
    // Endpoints are added and removed while requests to them are open.
    if (random.below(2) == 0 && world.endpoints().size() > 1) {
      world.remove(random.below(static_cast<std::uint32_t>(world.endpoints().size())));
    } else {
      world.add(1 + random.below(3));
    }
    b->update(world.endpoints(), world.now());
  }
  world.settle(*b);
  EXPECT_EQ(started, 200U * 50U);
}

TEST_P(EveryBalancer, BeginsElsewhereOnEachWorker) {
  BalancerWorld world(50, 1);
  std::vector<std::uint32_t> first;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    auto b = make(seed);
    b->update(world.endpoints(), 0ns);
    first.push_back(*b->pick(world.context()));
  }
  std::sort(first.begin(), first.end());
  first.erase(std::unique(first.begin(), first.end()), first.end());
  EXPECT_GT(first.size(), 10U);
}

TEST(Balancers, KnowTheirNames) {
  Balancers all = Balancers::built_in();
  EXPECT_THAT(all.names(), ElementsAre("least_request", "peak_ewma", "random", "round_robin"));
  EXPECT_EQ(all.make("maglev", {}), nullptr);
  EXPECT_FALSE(all.add("random", [](const BalancerOptions&) { return nullptr; }));
  EXPECT_TRUE(all.add(
      "mine", [](const BalancerOptions& o) { return std::make_unique<RoundRobinBalancer>(o); }));
  EXPECT_NE(all.make("mine", {}), nullptr);
  EXPECT_EQ(name_of(config::LoadBalancer{}.policy), "peak_ewma");
}

// --- round robin ---

std::vector<std::uint32_t> walk(RoundRobinBalancer& b, const BalancerWorld& world, int count) {
  std::vector<std::uint32_t> out;
  for (int i = 0; i < count; ++i) out.push_back(*b.pick(world.context()));
  return out;
}

TEST(RoundRobin, GoesRoundInOrder) {
  BalancerWorld world(3, 5);
  RoundRobinBalancer b({.seed = 1});
  b.update(world.endpoints(), 0ns);
  const auto picks = walk(b, world, 30);
  for (std::size_t i = 1; i < picks.size(); ++i) EXPECT_EQ(picks[i], (picks[i - 1] + 1) % 3);
}

TEST(RoundRobin, IsExactOverOneSchedule) {
  struct Case {
    std::vector<std::uint32_t> weights;
    std::vector<int> tally;  // of one schedule
  };
  const Case cases[] = {
      {{5, 1, 1}, {5, 1, 1}},       {{10, 20, 30}, {1, 2, 3}}, {{100, 100}, {1, 1}}, {{7}, {1}},
      {{3, 3, 2, 2}, {3, 3, 2, 2}},
  };
  for (const Case& c : cases) {
    BalancerWorld world(c.weights);
    RoundRobinBalancer b({.seed = 9});
    b.update(world.endpoints(), 0ns);
    const int length = std::accumulate(c.tally.begin(), c.tally.end(), 0);
    for (int round = 0; round < 3; ++round) EXPECT_EQ(world.tally(b, length), c.tally);
  }
}

TEST(RoundRobin, SpacesEachEndpointEvenly) {
  // In every stretch, of any length and starting anywhere, each endpoint has its share, plus or
  // minus two: no bursts.
  Random random(11);
  for (int round = 0; round < 50; ++round) {
    std::vector<std::uint32_t> weights(2 + random.below(8));
    for (auto& w : weights) w = 1 + random.below(20);
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    BalancerWorld world(weights);
    RoundRobinBalancer b({.seed = random.next()});
    b.update(world.endpoints(), 0ns);
    const auto picks = walk(b, world, 400);
    for (std::uint32_t e = 0; e < weights.size(); ++e) {
      std::vector<int> seen{0};
      for (const auto p : picks) seen.push_back(seen.back() + (p == e));
      for (std::size_t from = 0; from < picks.size(); from += 7) {
        for (std::size_t to = from + 1; to <= picks.size(); to += 5) {
          const double share = static_cast<double>(to - from) * weights[e] / total;
          ASSERT_NEAR(seen[to] - seen[from], share, 2.01)
              << "endpoint " << e << " of weight " << weights[e] << " in " << total;
        }
      }
    }
  }
}

TEST(RoundRobin, SpreadsTheShareOfTheEjectedOverAll) {
  BalancerWorld world(10, 1);
  RoundRobinBalancer b({.seed = 2});
  b.update(world.endpoints(), 0ns);
  world.eligibility().set(4, false);
  const auto tally = world.tally(b, 9'000);
  for (std::uint32_t i = 0; i < 10; ++i) EXPECT_EQ(tally[i], i == 4 ? 0 : 1000) << i;
}

TEST(RoundRobin, BoundsItsScheduleWhateverTheWeights) {
  BalancerWorld world({1'000'000, 999'999, 3});
  RoundRobinBalancer b({.seed = 2});
  b.update(world.endpoints(), 0ns);
  const auto tally = world.tally(b, 100'000);
  EXPECT_NEAR(tally[0], 50'000, 200);
  EXPECT_NEAR(tally[1], 50'000, 200);
  EXPECT_GT(tally[2], 0);  // rounded up to one place
  EXPECT_LT(tally[2], 200);
}

// --- least request ---

TEST(LeastRequest, ScansFewAndNeverPicksTheBusier) {
  auto all = Balancers::built_in();
  for (const std::size_t count : {2, 3, 4}) {
    BalancerWorld world(count, 1);
    auto b = all.make("least_request", {.seed = 4});
    b->update(world.endpoints(), 0ns);
    for (std::size_t i = 0; i < count; ++i) {
      if (i == 1) continue;
      world.load(i).add(0);
    }
    EXPECT_EQ(world.tally(*b, 500)[1], 500) << count;
  }
}

TEST(LeastRequest, ComparesTwoDistinctOfMany) {
  // All are busy but one: two distinct draws include it with probability 2/n.
  BalancerWorld world(10, 1);
  auto b = Balancers::built_in().make("least_request", {.seed = 4});
  b->update(world.endpoints(), 0ns);
  for (std::size_t i = 0; i < 10; ++i) {
    if (i != 6) world.load(i).add(0);
  }
  const auto tally = world.tally(*b, 50'000);
  expect_share(tally[6], 50'000, 0.2);
}

TEST(LeastRequest, NeverPicksTheBusiestOfMany) {
  BalancerWorld world(10, 1);
  auto b = Balancers::built_in().make("least_request", {.seed = 4});
  b->update(world.endpoints(), 0ns);
  for (int i = 0; i < 5; ++i) world.load(3).add(0);
  EXPECT_EQ(world.tally(*b, 5'000)[3], 0);
}

TEST(LeastRequest, DividesTheLoadByTheWeight) {
  BalancerWorld world({1, 1, 1, 1, 1, 4});
  auto b = Balancers::built_in().make("least_request", {.seed = 4});
  b->update(world.endpoints(), 0ns);
  for (std::size_t i = 0; i < 5; ++i) world.load(i).add(0);
  for (int i = 0; i < 3; ++i) world.load(5).add(0);  // 3/4 is less than 1
  const auto lighter = world.tally(*b, 20'000);
  EXPECT_GT(lighter[5], 20'000 * 4 / 9);             // wins whenever it is drawn
  for (int i = 0; i < 3; ++i) world.load(5).add(0);  // 6/4 is more
  EXPECT_EQ(world.tally(*b, 20'000)[5], 0);
}

TEST(LeastRequest, KeepsQueuesShorterThanRandomDoes) {
  const auto longest = [](const std::string& name) {
    BalancerWorld world(20, 1);
    auto b = Balancers::built_in().make(name, {.seed = 8});
    b->update(world.endpoints(), world.now());
    Random random(5);
    std::uint32_t most = 0;
    for (int i = 0; i < 100; ++i) {
      world.run(*b, 20'000, 20ms, [&](std::size_t, auto) {
        return Outcome{.latency = std::chrono::microseconds(random.below(10'000)), .status = 200};
      });
      for (std::size_t e = 0; e < 20; ++e) most = std::max(most, world.load(e).active());
    }
    return most;
  };
  EXPECT_LT(longest("least_request") * 3, longest("random") * 2);
}

}  // namespace
}  // namespace outrigger::upstream
