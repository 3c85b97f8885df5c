#include "upstream/endpoint_set.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

namespace outrigger::upstream {
namespace {

config::Endpoint endpoint(std::string host, std::uint16_t port, std::uint32_t weight = 1) {
  config::Endpoint e;
  e.address = {std::move(host), port, false};
  e.weight = weight;
  return e;
}

TEST(Identity, TellsApartWhatIsDifferent) {
  const std::vector<std::string> a{"spiffe://x/a"}, b{"spiffe://x/b"}, ab{"spiffe://x/a", "x"};
  std::set<std::uint64_t> seen;
  const config::Address address{"10.0.0.1", 80, false};
  EXPECT_TRUE(seen.insert(identity_of("orders", address, {})).second);
  EXPECT_TRUE(seen.insert(identity_of("order", {"s10.0.0.1", 80, false}, {})).second);
  EXPECT_TRUE(seen.insert(identity_of("users", address, {})).second);
  EXPECT_TRUE(seen.insert(identity_of("orders", {"10.0.0.1", 81, false}, {})).second);
  EXPECT_TRUE(seen.insert(identity_of("orders", {"10.0.0.1", 80, true}, {})).second);
  EXPECT_TRUE(seen.insert(identity_of("orders", address, a)).second);
  EXPECT_TRUE(seen.insert(identity_of("orders", address, b)).second);
  EXPECT_TRUE(seen.insert(identity_of("orders", address, ab)).second);
  EXPECT_FALSE(seen.insert(identity_of("orders", address, {})).second);
}

TEST(Identity, DoesNotCollideOverAMesh) {
  std::set<std::uint64_t> seen;
  for (int service = 0; service < 200; ++service) {
    for (int i = 0; i < 500; ++i) {
      const config::Address address{
          "10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250),
          static_cast<std::uint16_t>(8000 + i % 3), false};
      ASSERT_TRUE(
          seen.insert(identity_of("service-" + std::to_string(service), address, {})).second);
    }
  }
}

TEST(EndpointSet, KeepsTheFirstOfAnAddressAndLeavesOutWeightZero) {
  EndpointStates states(2);
  const auto set = EndpointSet::make("orders",
                                     {endpoint("a", 1, 2), endpoint("b", 1), endpoint("a", 1, 9),
                                      endpoint("c", 1, 0), endpoint("a", 2)},
                                     {}, states);
  ASSERT_EQ(set->size(), 3U);
  EXPECT_EQ((*set)[0].value.weight, 2U);
  EXPECT_EQ((*set)[1].value.address.host, "b");
  EXPECT_EQ((*set)[2].value.address.port, 2);
  EXPECT_EQ(set->find((*set)[2].identity), 2U);
  EXPECT_EQ(set->find(42), std::nullopt);
}

TEST(EndpointSet, ShowsItselfToBalancers) {
  EndpointStates states(1);
  auto e = endpoint("10.0.0.1", 80, 3);
  e.locality = {"aws", "eu", "eu-1a"};
  e.labels = {{"version", "v1"}};
  const auto set = EndpointSet::make("orders", {e, endpoint("10.0.0.2", 81)}, {}, states);
  const BalancedEndpoint& b = set->balanced()[0];
  EXPECT_EQ(b.identity, (*set)[0].identity);
  EXPECT_EQ(b.weight, 3U);
  EXPECT_EQ(b.host, "10.0.0.1");
  EXPECT_EQ(b.port, 80);
  EXPECT_EQ(b.zone, "eu-1a");
  EXPECT_EQ(b.labels->at("version"), "v1");
  (*set)[0].state->load().add(0);
  EXPECT_EQ(b.load->active(), 1U);
  EXPECT_EQ(set->balanced()[1].host, "10.0.0.2");
}

TEST(EndpointStates, OutliveSetsThatShareThem) {
  EndpointStates states(1);
  auto first = EndpointSet::make("orders", {endpoint("a", 1), endpoint("b", 1)}, {}, states);
  const std::uint64_t b = (*first)[1].identity;
  (*first)[1].state->load().add(0);
  auto second = EndpointSet::make("orders", {endpoint("b", 1), endpoint("c", 1)}, {}, states);
  EXPECT_EQ((*second)[0].state->load().active(), 1U);
  EXPECT_EQ(states.alive(), 3U);
  first.reset();
  EXPECT_EQ(states.alive(), 2U);
  EXPECT_NE(states.find(b), nullptr);
  second.reset();
  EXPECT_EQ(states.find(b), nullptr);
}

TEST(EndpointStates, ForgetTheDead) {
  EndpointStates states(1);
  for (int i = 0; i < 100'000; ++i) states.get(static_cast<std::uint64_t>(i));
  EXPECT_EQ(states.alive(), 0U);
}

TEST(EndpointLoad, SumsTheWorkersOfSeveralThreads) {
  EndpointLoad load(4);
  EXPECT_EQ(load.active(), 0U);
  std::vector<std::thread> threads;
  for (std::uint32_t w = 0; w < 4; ++w) {
    threads.emplace_back([&load, w] {
      for (int i = 0; i < 20'000; ++i) load.add(w);
      for (int i = 0; i < 20'000; ++i) load.sub(w);
      load.add(w);
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(load.active(), 4U);
}

TEST(Eligibility, CountsAndBoundsItsBits) {
  Eligibility e;
  for (const std::size_t count : {0, 1, 63, 64, 65, 1000}) {
    e.reset(count);
    EXPECT_EQ(e.eligible(), count);
    std::size_t bits = 0;
    for (const auto word : e.view().words()) bits += static_cast<std::size_t>(std::popcount(word));
    EXPECT_EQ(bits, count);
  }
  e.set(999, false);
  e.set(999, false);
  e.set(3, false);
  EXPECT_EQ(e.eligible(), 998U);
  EXPECT_FALSE(e.get(999));
  e.set(999, true);
  EXPECT_TRUE(e.get(999));
  EXPECT_EQ(e.eligible(), 999U);
}

TEST(EndpointStateCells, workers_add_up) {
  EndpointState state(1, 3);
  EXPECT_EQ(state.totals().requests, 0U);
  for (std::uint32_t worker = 0; worker < 3; ++worker) {
    EndpointCells& cells = state.cells(worker);
    EXPECT_EQ(&cells, &state.cells(worker));
    cells.requests.add(2);
    cells.failures.add();
    cells.connections.add(worker);
    cells.latency.set(100 * worker);
    state.load().add(worker);
  }
  const EndpointState::Totals totals = state.totals();
  EXPECT_EQ(totals.requests, 6U);
  EXPECT_EQ(totals.failures, 3U);
  EXPECT_EQ(totals.active, 3);
  EXPECT_EQ(totals.connections, 3);
  EXPECT_EQ(totals.latency, std::chrono::nanoseconds(200));
}

}  // namespace
}  // namespace outrigger::upstream
