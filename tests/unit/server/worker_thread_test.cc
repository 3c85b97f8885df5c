// A worker as other threads see it: a busy one must not block others, nor let work pile up.

#include "server/worker_thread.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "server/admin_facts.h"
#include "server/collect.h"
#include "server/life.h"
#include "server/snapshot_keeper.h"

namespace outrigger::server {
namespace {

config::Endpoint at(const std::string& host) {
  config::Endpoint endpoint;
  endpoint.address.host = host;
  endpoint.address.port = 80;
  return endpoint;
}

struct WorkerThreadTest : testing::Test {
  WorkerThreadTest() {
    config::Service& orders = config.services["orders"];
    orders.name = "orders";
    orders.mtls = config::Mtls::disabled;
    orders.endpoints = {at("10.0.0.1"), at("10.0.0.2")};
    config.node.service = "web";
    config::Inbound& inbound = config.inbound.emplace_back();
    inbound.app.host = "127.0.0.1";
    inbound.app.port = 8080;
    config::Outbound& outbound = config.outbound.emplace_back();
    outbound.name = "calls";
    outbound.service = "orders";
    config::AccessLog none;
    none.path = "none";
    access_log = *telemetry::AccessLog::open(none, 1, 1);
    shared = std::make_unique<Shared>(balancers, metrics, *access_log, nullptr, 1, 100);
    shared->threads.push_back(std::make_unique<WorkerThread>(0, *shared));
    snapshot = *compile(std::make_shared<const config::Config>(config), {}, states, 1);
    std::vector<ListenSocket> door(
        1);  // Config::outbound[0], which gets only handed-over connections
    worker().start(snapshot, std::move(door));
  }
  ~WorkerThreadTest() override {
    release();
    shared->threads.clear();
  }
  WorkerThread& worker() { return *shared->threads[0]; }
  // The worker does nothing else from here until release().
  void block() {
    auto entered = std::make_shared<std::promise<void>>();
    const auto in = entered->get_future();
    worker().post([entered, until = leave.get_future().share()](Worker&) {
      entered->set_value();
      until.wait();
    });
    in.wait();
    blocked = true;
  }
  void release() {
    if (blocked) leave.set_value();
    blocked = false;
  }
  // The worker responds to nothing from here until release().
  void block_and_fill() {
    block();
    while (worker().post([](Worker&) {})) {
    }
  }
  // Returns when the worker has processed everything queued.
  void settle() {
    release();
    std::promise<void> done;
    while (!worker().post([&done](Worker&) { done.set_value(); })) std::this_thread::yield();
    done.get_future().wait();
  }
  std::shared_ptr<const Snapshot> other(const std::string& host) {
    return with_endpoints(*snapshot, {{"orders", {at(host)}}}, states, 1);
  }

  config::Config config;
  upstream::Balancers balancers = upstream::Balancers::built_in();
  upstream::EndpointStates states{1};
  telemetry::Metrics metrics{{.workers = 1, .process = false}};
  std::unique_ptr<telemetry::AccessLog> access_log;
  std::unique_ptr<Shared> shared;
  std::shared_ptr<const Snapshot> snapshot;
  std::promise<void> leave;
  bool blocked = false;
};

struct ScrapeTest : WorkerThreadTest {
  telemetry::Scrape& scrape() {
    collect_facts(samples, facts, *shared, {});
    return samples;
  }
  Life life;
  AdminFacts facts{*shared, life, {}, {}, "0"};
  telemetry::Scrape samples;
};

TEST_F(ScrapeTest, a_scrape_asks_nothing_of_a_worker_that_is_blocked) {
  facts.set_snapshot(snapshot);
  block();
  EXPECT_GT(scrape().samples().size(), 0U);
  EXPECT_EQ(worker().waiting(), 0);
}

TEST_F(ScrapeTest, a_scrape_costs_a_sample_for_each_kind_of_endpoint_and_not_for_each_endpoint) {
  const auto count = [&](int endpoints) {
    std::vector<config::Endpoint> list;
    for (int i = 0; i < endpoints; ++i) list.push_back(at("10.0.1." + std::to_string(i)));
    facts.set_snapshot(with_endpoints(*snapshot, {{"orders", list}}, states, 1));
    telemetry::Scrape own;
    collect_facts(own, facts, *shared, {});
    return own.samples().size();
  };
  EXPECT_EQ(count(10), count(200));
}

struct EndpointSeriesTest : ScrapeTest {
  EndpointSeriesTest() {
    config::Endpoint nobody = at("127.0.0.1");
    nobody.address.port = 1;
    auto own =
        std::make_shared<Snapshot>(*with_endpoints(*snapshot, {{"orders", {nobody}}}, states, 1));
    config.telemetry.prometheus.per_endpoint = true;
    own->config = std::make_shared<const config::Config>(config);
    snapshot = own;
    facts.set_snapshot(snapshot);
    worker().adopt(snapshot);
    settle();
  }
  // A call that its endpoint refuses.
  void call() {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    const net::Fd client(ends[0]);
    net::Fd server(ends[1]);
    ::fcntl(server.get(), F_SETFL, O_NONBLOCK);
    const std::string_view request = "GET / HTTP/1.1\r\nhost: orders\r\n\r\n";
    ASSERT_EQ(::write(client.get(), request.data(), request.size()), ssize_t(request.size()));
    ASSERT_TRUE(worker().take(0, server, {}));
    std::array<char, 4096> answer{};
    ASSERT_GT(::read(client.get(), answer.data(), answer.size()), 0);
  }
  double counted(telemetry::Family family) {
    telemetry::Scrape own;
    collect_facts(own, facts, *shared, {});
    double sum = 0;
    for (const telemetry::Sample& sample : own.samples()) {
      if (sample.family == family) sum += sample.value;
    }
    return sum;
  }
};

TEST_F(EndpointSeriesTest, are_read_without_asking_the_worker) {
  call();
  EXPECT_EQ(counted(telemetry::Family::endpoint_requests), 4);  // every try
  EXPECT_EQ(counted(telemetry::Family::endpoint_failures), 4);
  EXPECT_EQ(counted(telemetry::Family::endpoint_active), 0);
  facts.clusters();  // has the worker tell what its balancer expects
  settle();
  EXPECT_GT(counted(telemetry::Family::endpoint_latency), 0);
  block();
  const int waiting = worker().waiting();
  EXPECT_EQ(counted(telemetry::Family::endpoint_requests), 4);
  EXPECT_EQ(worker().waiting(), waiting);
  // Nor do pages wait for it.
  for (const admin::ClusterInfo& cluster : facts.clusters()) {
    for (const admin::EndpointInfo& endpoint : cluster.endpoints)
      EXPECT_EQ(endpoint.requests, cluster.name == "orders" ? 4U : 0U);
  }
  settle();
}

TEST_F(WorkerThreadTest, what_waits_for_a_busy_worker_is_bounded) {
  block();
  int taken = 0;
  for (int i = 0; i < 2 * WorkerThread::posts_max; ++i) taken += worker().post([](Worker&) {});
  EXPECT_EQ(taken, WorkerThread::posts_max);
  settle();
  EXPECT_TRUE(worker().post([](Worker&) {}));
}

TEST_F(WorkerThreadTest, a_busy_worker_is_handed_only_the_newest_snapshot) {
  block();
  std::weak_ptr<const Snapshot> first;
  for (int i = 0; i < 100; ++i) {
    auto next = other("10.0.1." + std::to_string(i));
    if (i == 0) first = next;
    worker().adopt(std::move(next));
  }
  EXPECT_TRUE(first.expired());
}

TEST_F(WorkerThreadTest, what_a_snapshot_held_is_kept_until_no_worker_uses_it) {
  SnapshotKeeper keeper;
  std::weak_ptr<const upstream::EndpointSet> endpoints = snapshot->services.at("orders").endpoints;
  auto next = other("10.0.0.9");
  block();
  worker().adopt(next);
  keeper.replaced(std::move(snapshot), *next);
  snapshot = next;
  EXPECT_EQ(keeper.held(), 1U) << "its endpoints";
  keeper.take_unused();
  EXPECT_FALSE(endpoints.expired()) << "the worker still has them";
  settle();
  EXPECT_FALSE(endpoints.expired()) << "the worker has let go of them and destroyed nothing";
  keeper.take_unused();
  keeper.take_unused();
  EXPECT_TRUE(endpoints.expired());
  EXPECT_EQ(keeper.held(), 0U);
}

// A registry may deliver a thousand lists in one turn: a thousand snapshots of a thousand services.
TEST_F(WorkerThreadTest, a_snapshot_that_no_worker_has_seen_is_not_kept) {
  SnapshotKeeper keeper;
  block();
  std::weak_ptr<const Snapshot> between;
  for (int i = 1; i <= 3; ++i) {
    auto next = other("10.0.0." + std::to_string(i));
    worker().adopt(next);
    keeper.replaced(std::exchange(snapshot, next), *next);
    if (i == 2) between = next;
  }
  EXPECT_TRUE(between.expired());
  settle();
}

TEST_F(WorkerThreadTest, a_stage_is_never_taken_back) {
  worker().advance(Stage::closed);
  worker().advance(Stage::draining);
  settle();
  EXPECT_EQ(worker().stage(), Stage::closed);
}

}  // namespace
}  // namespace outrigger::server
