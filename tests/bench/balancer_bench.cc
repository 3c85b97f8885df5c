// Each balancer's pick, with what follows it, and its update, with 3, 100 and 10,000 endpoints.

#include <benchmark/benchmark.h>

#include "support/balancer_world.h"
#include "upstream/balancers.h"

namespace outrigger::upstream {
namespace {

using test::BalancerWorld;

// Every third endpoint weighs more when `weighted`.
BalancerWorld world_of(std::int64_t count, bool weighted) {
  std::vector<std::uint32_t> weights(static_cast<std::size_t>(count), 1);
  for (std::size_t i = 0; weighted && i < weights.size(); i += 3) weights[i] = 5;
  return BalancerWorld(weights);
}

void pick(benchmark::State& state, const char* policy, bool weighted) {
  BalancerWorld world = world_of(state.range(0), weighted);
  const auto balancer = Balancers::built_in().make(policy, {.seed = 1});
  std::chrono::nanoseconds now = world.now();
  balancer->update(world.endpoints(), now);
  for (auto _ : state) {
    now += std::chrono::microseconds(20);
    const auto index = balancer->pick(world.context(now));
    const auto ticket = balancer->started(*index, now);
    balancer->finished(ticket, {.latency = std::chrono::milliseconds(2), .status = 200}, now);
  }
}

// Half of the endpoints ejected.
void pick_among_half(benchmark::State& state, const char* policy) {
  BalancerWorld world = world_of(state.range(0), true);
  const auto balancer = Balancers::built_in().make(policy, {.seed = 1});
  balancer->update(world.endpoints(), world.now());
  for (std::uint32_t i = 0; i < state.range(0); i += 2) world.eligibility().set(i, false);
  for (auto _ : state) benchmark::DoNotOptimize(balancer->pick(world.context(world.now())));
}

void update(benchmark::State& state, const char* policy) {
  BalancerWorld world = world_of(state.range(0), true);
  const auto balancer = Balancers::built_in().make(policy, {.seed = 1});
  for (auto _ : state) balancer->update(world.endpoints(), world.now());
}

void sizes(benchmark::internal::Benchmark* b) {
  b->Arg(3)->Arg(100)->Arg(10'000);
}

BENCHMARK_CAPTURE(pick, round_robin, "round_robin", false)->Apply(sizes);
BENCHMARK_CAPTURE(pick, round_robin_weighted, "round_robin", true)->Apply(sizes);
BENCHMARK_CAPTURE(pick, random, "random", false)->Apply(sizes);
BENCHMARK_CAPTURE(pick, random_weighted, "random", true)->Apply(sizes);
BENCHMARK_CAPTURE(pick, least_request, "least_request", false)->Apply(sizes);
BENCHMARK_CAPTURE(pick, least_request_weighted, "least_request", true)->Apply(sizes);
BENCHMARK_CAPTURE(pick, peak_ewma, "peak_ewma", false)->Apply(sizes);
BENCHMARK_CAPTURE(pick, peak_ewma_weighted, "peak_ewma", true)->Apply(sizes);
BENCHMARK_CAPTURE(pick_among_half, round_robin, "round_robin")->Apply(sizes);
BENCHMARK_CAPTURE(pick_among_half, random, "random")->Apply(sizes);
BENCHMARK_CAPTURE(pick_among_half, peak_ewma, "peak_ewma")->Apply(sizes);
BENCHMARK_CAPTURE(update, round_robin, "round_robin")->Apply(sizes);
BENCHMARK_CAPTURE(update, random, "random")->Apply(sizes);
BENCHMARK_CAPTURE(update, least_request, "least_request")->Apply(sizes);
BENCHMARK_CAPTURE(update, peak_ewma, "peak_ewma")->Apply(sizes);

}  // namespace
}  // namespace outrigger::upstream
