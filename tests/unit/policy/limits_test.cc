// The retry budget and the breaker.

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "base/random.h"
#include "policy/breaker.h"
#include "policy/retry_budget.h"

namespace outrigger::policy {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint start{1'000'000s};

TEST(RetryBudget, HasAFloorOfThreeAtATime) {
  RetryFloor floor;
  RetryBudget budget(0.2, floor);
  auto a = budget.try_take(start), b = budget.try_take(start), c = budget.try_take(start);
  EXPECT_TRUE(a && b && c);
  EXPECT_FALSE(budget.has_left(start));
  EXPECT_FALSE(budget.try_take(start));
  b.release();
  EXPECT_TRUE(budget.has_left(start));
  EXPECT_TRUE(budget.try_take(start));  // dropped at once
  EXPECT_EQ(floor.taken(), 2U);
  a = std::move(c);
  EXPECT_EQ(floor.taken(), 1U);
}

TEST(RetryBudget, WorkersShareTheFloor) {
  RetryFloor floor;
  RetryBudget one(0.2, floor), other(0.2, floor);
  const auto a = one.try_take(start), b = other.try_take(start), c = one.try_take(start);
  EXPECT_TRUE(a && b && c);
  EXPECT_FALSE(other.try_take(start));
}

TEST(RetryBudget, GivesAFifthOfTheRequests) {
  RetryFloor floor(0);
  RetryBudget budget(0.2, floor);
  for (int i = 0; i < 4; ++i) budget.on_request(start);
  EXPECT_FALSE(budget.try_take(start));
  budget.on_request(start);
  auto permit = budget.try_take(start);
  EXPECT_TRUE(permit);
  permit.release();
  EXPECT_FALSE(budget.try_take(start));  // what was used stays used for 10 s
  for (int i = 0; i < 995; ++i) budget.on_request(start + 1s);
  int granted = 1;
  while (budget.try_take(start + 2s)) ++granted;
  EXPECT_EQ(granted, 200);
}

TEST(RetryBudget, ForgetsAfterTenSeconds) {
  RetryFloor floor(0);
  RetryBudget budget(0.5, floor);
  for (int i = 0; i < 10; ++i) budget.on_request(start);
  EXPECT_EQ(budget.requests(start + 9s), 10U);
  EXPECT_TRUE(budget.has_left(start + 9s));
  EXPECT_EQ(budget.requests(start + 10s), 0U);
  EXPECT_FALSE(budget.has_left(start + 10s));
  // The window slides second by second.
  for (int s = 20; s < 50; ++s) {
    budget.on_request(start + seconds(s));
    EXPECT_EQ(budget.requests(start + seconds(s)), std::min<std::uint64_t>(10, s - 19));
  }
  EXPECT_EQ(budget.requests(start + 1000h), 0U);
}

TEST(RetryBudget, HoldsWhenEverythingFails) {
  // Each request fails and asks for a retry, a thousand a second. Retries that end at once are never
  // in progress together, and the floor alone allows each.
  RetryFloor floor;
  RetryBudget budget(0.2, floor);
  int retries = 0;
  for (int i = 0; i < 20'000; ++i) {
    const TimePoint now = start + milliseconds(i);
    budget.on_request(now);
    if (budget.try_take(now)) ++retries;
  }
  EXPECT_EQ(retries, 20'000);

  // Of those that last 100 ms, no more than a fifth of the requests and what the floor allows: three
  // at any time, so 3 * 200 in these 20 s.
  RetryBudget slow(0.2, floor);
  std::vector<std::pair<TimePoint, RetryBudget::Permit>> open;
  retries = 0;
  for (int i = 0; i < 20'000; ++i) {
    const TimePoint now = start + milliseconds(i);
    std::erase_if(open, [&](const auto& o) { return o.first <= now; });
    slow.on_request(now);
    if (auto permit = slow.try_take(now)) {
      ++retries;
      open.emplace_back(now + 100ms, std::move(permit));
    }
  }
  EXPECT_GE(retries, 4'000);
  EXPECT_LE(retries, 4'000 + 3 * 200 + 50);
}

// --- breaker ---

TEST(LocalLimit, GivesExactlyTheLimitToOneWorker) {
  for (const std::uint32_t limit : {0U, 1U, 3U, 8U, 64U, 1000U}) {
    SharedLimit shared(limit, 1);
    LocalLimit local(shared);
    std::vector<Permit> permits;
    for (std::uint32_t i = 0; i < limit; ++i) {
      permits.push_back(local.try_take());
      ASSERT_TRUE(permits.back()) << i << " of " << limit;
    }
    EXPECT_FALSE(local.open());
    EXPECT_FALSE(local.try_take());
    EXPECT_TRUE(local.open());
    EXPECT_EQ(local.refused().value(), 1U);
    EXPECT_EQ(local.used(), limit);
    if (limit == 0) continue;
    permits.pop_back();
    EXPECT_TRUE(local.try_take());
    EXPECT_FALSE(local.open());
    permits.clear();
    EXPECT_EQ(local.used(), 0U);
  }
}

TEST(LocalLimit, IsNeverExceededBySeveralWorkersAndRefusesLittleTooEarly) {
  for (const std::uint32_t workers : {2U, 3U, 4U, 8U}) {
    constexpr std::uint32_t limit = 1000;
    SharedLimit shared(limit, workers);
    std::vector<std::unique_ptr<LocalLimit>> locals;
    for (std::uint32_t i = 0; i < workers; ++i) {
      locals.push_back(std::make_unique<LocalLimit>(shared));
    }
    Random random(workers);
    std::vector<Permit> permits;
    std::uint32_t least_at_refusal = limit;
    for (int i = 0; i < 300'000; ++i) {
      // A load that varies between half of the limit and more than all of it.
      const bool take = random.unit() < (i / 20'000 % 2 == 0 ? 0.6 : 0.45);
      if (take) {
        Permit p = locals[random.below(workers)]->try_take();
        if (p) {
          permits.push_back(std::move(p));
        } else {
          least_at_refusal = std::min(least_at_refusal, static_cast<std::uint32_t>(permits.size()));
        }
      } else if (!permits.empty()) {
        std::swap(permits[random.below(static_cast<std::uint32_t>(permits.size()))],
                  permits.back());
        permits.pop_back();
      }
      ASSERT_LE(permits.size(), limit);
    }
    EXPECT_LT(least_at_refusal, limit + 1);  // there were refusals
    EXPECT_GT(least_at_refusal, limit * 3 / 4) << workers;
    permits.clear();
  }
}

TEST(LocalLimit, LeavesTheSharedCountAloneInTheSteadyState) {
  SharedLimit shared(4096, 4);
  LocalLimit local(shared);
  std::vector<Permit> permits;
  for (int i = 0; i < 40; ++i) permits.push_back(local.try_take());
  const std::uint32_t taken = shared.taken();
  for (int round = 0; round < 100; ++round) {
    permits.resize(10);
    while (permits.size() < 60) permits.push_back(local.try_take());
    EXPECT_EQ(shared.taken(), taken);
  }
}

TEST(LocalLimit, GoesOneByOneNearTheEdge) {
  SharedLimit shared(160, 2);  // batches of 10: near the edge from 141 on
  LocalLimit local(shared), other(shared);
  std::vector<Permit> permits;
  for (std::uint32_t i = 0; i < 160; ++i) {
    permits.push_back(local.try_take());
    ASSERT_TRUE(permits.back()) << i;
    // In batches at first, then exactly what is used.
    EXPECT_EQ(shared.taken(), i < 150 ? i / 10 * 10 + 10 : i + 1) << i;
  }
  EXPECT_FALSE(other.try_take());
  // What one worker returns is available to another at once.
  for (int i = 0; i < 5; ++i) {
    permits.pop_back();
    EXPECT_EQ(shared.taken(), 159U);
    permits.push_back(other.try_take());
    EXPECT_TRUE(permits.back());
  }
  permits.clear();
}

TEST(LocalLimit, ReturnsAllItsSpareCreditsNearTheEdge) {
  SharedLimit shared(160, 2);
  LocalLimit local(shared), other(shared);
  std::vector<Permit> few, many;
  for (int i = 0; i < 20; ++i) few.push_back(local.try_take());
  few.resize(2);
  EXPECT_EQ(shared.taken(), 20U);  // 18 to spare: less than two batches
  for (int i = 0; i < 130; ++i) many.push_back(other.try_take());
  EXPECT_EQ(shared.taken(), 150U);
  few.resize(1);
  EXPECT_EQ(shared.taken(), 131U);
}

TEST(LocalLimit, ReturnsEverythingWhenItDies) {
  SharedLimit shared(100, 2);
  {
    LocalLimit local(shared);
    const Permit p = local.try_take();
    EXPECT_GT(shared.taken(), 0U);
  }
  EXPECT_EQ(shared.taken(), 0U);
}

TEST(LocalLimit, FollowsANewLimit) {
  SharedLimit shared(10, 1);
  LocalLimit local(shared);
  std::vector<Permit> permits;
  for (int i = 0; i < 10; ++i) permits.push_back(local.try_take());
  shared.set_limit(5);
  EXPECT_FALSE(local.try_take());
  permits.resize(5);
  EXPECT_FALSE(local.try_take());
  permits.resize(4);
  EXPECT_TRUE(local.try_take());
  shared.set_limit(20);
  while (permits.size() < 20) {
    permits.push_back(local.try_take());
    ASSERT_TRUE(permits.back());
  }
  EXPECT_FALSE(local.try_take());
}

TEST(LocalLimit, HoldsAcrossThreads) {
  constexpr std::uint32_t limit = 200;
  SharedLimit shared(limit, 4);
  std::atomic<std::uint32_t> running{0};
  std::atomic<bool> exceeded{false};
  std::vector<std::thread> threads;
  for (int w = 0; w < 4; ++w) {
    threads.emplace_back([&, w] {
      LocalLimit local(shared);
      Random random(static_cast<std::uint64_t>(w));
      std::vector<Permit> permits;
      for (int i = 0; i < 50'000; ++i) {
        if (random.below(100) < 52) {
          Permit p = local.try_take();
          if (!p) continue;
          if (running.fetch_add(1) + 1 > limit) exceeded = true;
          permits.push_back(std::move(p));
        } else if (!permits.empty()) {
          running.fetch_sub(1);
          permits.pop_back();
        }
      }
      running.fetch_sub(static_cast<std::uint32_t>(permits.size()));
      permits.clear();
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_FALSE(exceeded);
  EXPECT_EQ(shared.taken(), 0U);
}

TEST(Breaker, HasFourLimitsOfItsOwn) {
  config::Breaker config{.connections = 1, .pending = 2, .requests = 3, .retries = 0};
  SharedBreaker shared(config, 1);
  Breaker breaker(shared);
  const Permit connection = breaker.connections.try_take();
  EXPECT_TRUE(connection);
  EXPECT_FALSE(breaker.connections.try_take());
  EXPECT_TRUE(breaker.pending.try_take());
  EXPECT_FALSE(breaker.retries.try_take());
  config.retries = 1;
  shared.configure(config);
  EXPECT_TRUE(breaker.retries.try_take());
}

}  // namespace
}  // namespace outrigger::policy
