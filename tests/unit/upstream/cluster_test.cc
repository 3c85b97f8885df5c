// A service as a worker calls it: choosing, accounting, and lists that change while calls run.

#include "upstream/cluster.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "support/proxy_world.h"

namespace outrigger::upstream {
namespace {

using test::Peer;
using test::ProxyWorld;

constexpr std::string_view get = "GET / HTTP/1.1\r\nhost: orders\r\n\r\n";

struct ClusterTest : testing::Test {
  void start(int endpoints) {
    world.add_service("orders", endpoints);
    world.start();
  }
  ~ClusterTest() override {
    for (const auto& chosen : open) cluster().finished(chosen, {.kind = Outcome::Kind::cancelled});
    world.expect_quiet();
  }
  Cluster& cluster() { return world.cluster(); }
  Cluster::Chosen choose(std::vector<std::uint64_t> tried = {}) {
    Cluster::Chosen chosen = cluster().choose(tried);
    if (chosen) open.push_back(chosen);
    return chosen;
  }
  void finish(std::size_t which, const Outcome& outcome) {
    cluster().finished(open[which], outcome);
    open.erase(open.begin() + static_cast<std::ptrdiff_t>(which));
  }
  ProxyWorld world;
  std::vector<Cluster::Chosen> open;
};

TEST_F(ClusterTest, every_endpoint_is_chosen_and_the_load_is_counted) {
  start(3);
  std::set<std::string> names;
  for (int i = 0; i < 6; ++i) names.insert(choose().host->name());
  EXPECT_EQ(names.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(cluster().host_at(i)->active.value(), 2);
    EXPECT_EQ(cluster().endpoints()[i].state->load().active(), 2U);
    EXPECT_EQ(cluster().host_at(i)->cells.requests.value(), 2U);
  }
  while (!open.empty()) finish(0, {.kind = Outcome::Kind::answered, .status = 200});
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(cluster().host_at(i)->active.value(), 0);
    EXPECT_EQ(cluster().endpoints()[i].state->load().active(), 0U);
  }
}

TEST_F(ClusterTest, failures_are_counted_as_such) {
  start(1);
  for (const Outcome& outcome :
       {Outcome{.kind = Outcome::Kind::answered, .status = 200},
        Outcome{.kind = Outcome::Kind::answered, .status = 404},
        Outcome{.kind = Outcome::Kind::cancelled}, Outcome{.kind = Outcome::Kind::failed},
        Outcome{.kind = Outcome::Kind::timed_out},
        Outcome{.kind = Outcome::Kind::answered, .status = 503}}) {
    choose();
    finish(0, outcome);
  }
  EXPECT_EQ(cluster().host_at(0)->cells.requests.value(), 6U);
  EXPECT_EQ(cluster().host_at(0)->cells.failures.value(), 3U);
}

TEST_F(ClusterTest, what_was_tried_is_avoided_while_there_are_others) {
  start(3);
  std::vector<std::uint64_t> tried;
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 3; ++i) {
    const auto chosen = choose(tried);
    EXPECT_TRUE(seen.insert(chosen.identity).second) << i;
    tried.push_back(chosen.identity);
  }
  EXPECT_TRUE(choose(tried)) << "better one again than none";
}

TEST_F(ClusterTest, hosts_are_made_when_first_called) {
  start(3);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(cluster().host_at(i), nullptr);
  const Host* host = choose().host;
  int made = 0;
  for (std::size_t i = 0; i < 3; ++i) made += cluster().host_at(i) != nullptr ? 1 : 0;
  EXPECT_EQ(made, 1);
  EXPECT_TRUE(host->idle() == false);
}

TEST_F(ClusterTest, latencies_are_told_some_at_a_time) {
  world.add_service("orders", 3).load_balancer.policy = config::LoadBalancer::Policy::peak_ewma;
  world.start();
  for (int i = 0; i < 6; ++i) choose();
  const auto told = [this] {
    int count = 0;
    for (const EndpointInfo& info : cluster().endpoints())
      count += info.state->totals().latency > Duration(0) ? 1 : 0;
    return count;
  };
  EXPECT_EQ(told(), 0);
  cluster().tell_latencies(1);
  EXPECT_EQ(told(), 1);
  cluster().tell_latencies(2);
  EXPECT_EQ(told(), 3);
  cluster().tell_latencies(1000);
  EXPECT_EQ(cluster().endpoints()[2].state->totals().latency, cluster().expected_latency(2));
}

TEST_F(ClusterTest, an_empty_list_has_nobody) {
  start(0);
  EXPECT_FALSE(choose());
}

TEST_F(ClusterTest, who_is_in_both_lists_keeps_its_pool) {
  start(2);
  Peer& client = world.connect();
  for (int i = 0; i < 2; ++i) world.talk(client, get);
  world.set_endpoints("orders", {"10.0.0.2:80", "10.0.0.3:80"});
  EXPECT_EQ(cluster().host_at(0)->name(), "10.0.0.2:80");
  EXPECT_EQ(cluster().host_at(0)->cells.requests.value(), 1U);
  for (int i = 0; i < 4; ++i) world.talk(client, get);
  EXPECT_EQ(world.endpoint(2).tries, 1) << "the connection it had";
  EXPECT_EQ(world.endpoint(1).requests(), 1U);
  EXPECT_TRUE(world.endpoint(1).last().input_ended) << "the one that left has nothing more to do";
}

TEST_F(ClusterTest, who_leaves_finishes_what_it_has) {
  start(1);
  world.endpoint(1).on_request = [](Peer&, Peer::Sink&) {};
  Peer& client = world.connect();
  world.talk(client, get);
  world.set_endpoints("orders", {"10.0.0.2:80"});
  world.settle();
  EXPECT_FALSE(world.endpoint(1).last().input_ended);
  world.endpoint(1).last().answer(world.endpoint(1).last().server.last(), 200, "late");
  world.settle();
  EXPECT_NE(client.take().find("late"), std::string::npos);
  EXPECT_TRUE(world.endpoint(1).last().input_ended);
  EXPECT_NE(world.talk(client, get).find("10.0.0.2:80"), std::string::npos);
}

TEST_F(ClusterTest, who_waits_for_a_departed_endpoint_is_still_served_by_it) {
  start(1);
  Peer& client = world.connect();
  client.send(get);
  world.loop.turn();
  world.set_endpoints("orders", {"10.0.0.2:80"});
  world.settle();
  EXPECT_NE(client.take().find("200"), std::string::npos);
}

TEST_F(ClusterTest, who_comes_back_begins_anew) {
  start(1);
  Peer& client = world.connect();
  world.talk(client, get);
  world.set_endpoints("orders", {});
  EXPECT_NE(world.talk(client, get).find("x-outrigger-flag: UH"), std::string::npos);
  world.set_endpoints("orders", {"10.0.0.1:80"});
  EXPECT_NE(world.talk(client, get).find("200"), std::string::npos);
  EXPECT_EQ(world.endpoint(1).tries, 2);
}

TEST_F(ClusterTest, connections_are_counted_over_all_hosts) {
  start(2);
  world.endpoint(1).on_request = world.endpoint(2).on_request = [](Peer&, Peer::Sink&) {};
  for (int i = 0; i < 5; ++i) world.talk(world.connect(), get);
  EXPECT_EQ(cluster().connections(), 5U);
}

}  // namespace
}  // namespace outrigger::upstream
