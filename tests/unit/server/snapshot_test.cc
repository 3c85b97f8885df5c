// A configuration becomes what workers read, and a change to one list leaves everything else
// unchanged.

#include "server/snapshot.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace outrigger::server {
namespace {

constexpr int workers = 2;

config::Endpoint at(const std::string& host, std::map<std::string, std::string> labels = {}) {
  config::Endpoint endpoint;
  endpoint.address.host = host;
  endpoint.address.port = 80;
  endpoint.labels = std::move(labels);
  return endpoint;
}

struct SnapshotTest : testing::Test {
  SnapshotTest() {
    config::Service& orders = config.services["orders"];
    orders.name = "orders";
    orders.endpoints = {at("10.0.0.1", {{"version", "v1"}}), at("10.0.0.2", {{"version", "v2"}})};
    orders.subsets["canary"] = {{"version", "v2"}};
    config::Service& billing = config.services["billing"];
    billing.name = "billing";
    billing.endpoints = {at("10.0.1.1")};
    config.node.service = "web";
    config::Inbound& inbound = config.inbound.emplace_back();
    inbound.app.host = "127.0.0.1";
    inbound.app.port = 8080;
  }
  std::shared_ptr<const Snapshot> make(const EndpointLists& lists = {}) {
    auto made = compile(std::make_shared<const config::Config>(config), lists, states, workers);
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
    return made.ok() ? *made : nullptr;
  }
  static std::vector<std::string> hosts(const ServiceSnapshot& service) {
    std::vector<std::string> names;
    for (const auto& endpoint : *service.endpoints) names.push_back(endpoint.value.address.host);
    return names;
  }
  using Names = std::vector<std::string>;

  config::Config config;
  upstream::EndpointStates states{workers};
};

TEST_F(SnapshotTest, services_subsets_and_apps_are_there) {
  const auto snapshot = make();
  ASSERT_EQ(snapshot->services.size(), 3U);
  EXPECT_EQ(hosts(snapshot->services.at("orders")), (Names{"10.0.0.1", "10.0.0.2"}));
  EXPECT_EQ(hosts(snapshot->services.at("orders/canary")), (Names{"10.0.0.2"}));
  EXPECT_EQ(hosts(snapshot->services.at("billing")), (Names{"10.0.1.1"}));
  ASSERT_EQ(snapshot->apps.size(), 1U);
  EXPECT_EQ(hosts(snapshot->apps[0]), (Names{"127.0.0.1"}));
}

TEST_F(SnapshotTest, an_app_is_asked_in_clear_text_and_once) {
  const auto snapshot = make();
  const config::Service& app = *snapshot->apps[0].service;
  EXPECT_EQ(app.name, "web");
  EXPECT_EQ(app.mtls, config::Mtls::disabled);
  EXPECT_EQ(app.retry.max, 0);
}

TEST_F(SnapshotTest, an_app_has_no_timeout_but_its_callers) {
  const auto snapshot = make();
  EXPECT_EQ(snapshot->apps[0].service->timeout, config::Millis(0));
}

TEST_F(SnapshotTest, an_app_has_the_breaker_of_its_listener) {
  config::Inbound& other = config.inbound.emplace_back(config.inbound[0]);
  other.breaker = {.connections = 20, .pending = 0, .requests = 30};
  const auto snapshot = make();
  const auto& usual = snapshot->apps[0].limits->breaker;
  EXPECT_EQ(usual.connections.limit(), 1024U);
  EXPECT_EQ(usual.pending.limit(), 1024U);
  EXPECT_EQ(usual.requests.limit(), 4096U);
  const auto& own = snapshot->apps[1].limits->breaker;
  EXPECT_EQ(own.connections.limit(), 20U);
  EXPECT_EQ(own.pending.limit(), 0U);
  EXPECT_EQ(own.requests.limit(), 30U);
}

TEST_F(SnapshotTest, lists_take_the_place_of_the_configurations) {
  const auto snapshot = make({{"orders", {at("10.9.9.9")}}, {app_key(0), {at("127.0.0.9")}}});
  EXPECT_EQ(hosts(snapshot->services.at("orders")), (Names{"10.9.9.9"}));
  EXPECT_EQ(hosts(snapshot->services.at("orders/canary")), Names{});
  EXPECT_EQ(hosts(snapshot->services.at("billing")), (Names{"10.0.1.1"}));
  EXPECT_EQ(hosts(snapshot->apps[0]), (Names{"127.0.0.9"}));
}

TEST_F(SnapshotTest, another_list_for_one_service_shares_all_the_rest) {
  const auto old = make();
  const auto now = with_endpoints(
      *old, {{"orders", {at("10.0.0.2", {{"version", "v2"}}), at("10.0.0.3")}}}, states, workers);
  EXPECT_EQ(hosts(now->services.at("orders")), (Names{"10.0.0.2", "10.0.0.3"}));
  EXPECT_EQ(hosts(now->services.at("orders/canary")), (Names{"10.0.0.2"}));
  EXPECT_EQ(now->config, old->config);
  EXPECT_EQ(now->routing, old->routing);
  EXPECT_EQ(now->services.at("billing").endpoints, old->services.at("billing").endpoints);
  EXPECT_EQ(now->apps[0].endpoints, old->apps[0].endpoints);
  for (const char* name : {"orders", "orders/canary", "billing"})
    EXPECT_EQ(now->services.at(name).limits, old->services.at(name).limits) << name;
  EXPECT_EQ(now->services.at("orders").service, old->services.at("orders").service);
  // The old snapshot is unchanged: workers may still read it.
  EXPECT_EQ(hosts(old->services.at("orders")), (Names{"10.0.0.1", "10.0.0.2"}));
}

TEST_F(SnapshotTest, an_endpoint_in_both_lists_keeps_what_is_known_of_it) {
  const auto old = make();
  const auto now = with_endpoints(*old, {{"orders", {at("10.0.0.2")}}}, states, workers);
  EXPECT_EQ((*now->services.at("orders").endpoints)[0].state,
            (*old->services.at("orders").endpoints)[1].state);
}

TEST_F(SnapshotTest, another_list_for_an_app_changes_only_it) {
  const auto old = make();
  const auto now = with_endpoints(*old, {{app_key(0), {at("127.0.0.2")}}}, states, workers);
  EXPECT_EQ(hosts(now->apps[0]), (Names{"127.0.0.2"}));
  EXPECT_EQ(now->apps[0].limits, old->apps[0].limits);
  EXPECT_EQ(now->services.at("orders").endpoints, old->services.at("orders").endpoints);
}

TEST_F(SnapshotTest, several_lists_make_one_snapshot) {
  const auto old = make();
  const auto now = with_endpoints(*old,
                                  {{"orders", {at("10.0.0.3", {{"version", "v2"}})}},
                                   {"billing", {at("10.0.1.2")}},
                                   {app_key(0), {at("127.0.0.2")}}},
                                  states, workers);
  EXPECT_EQ(hosts(now->services.at("orders")), Names{"10.0.0.3"});
  EXPECT_EQ(hosts(now->services.at("orders/canary")), Names{"10.0.0.3"});
  EXPECT_EQ(hosts(now->services.at("billing")), Names{"10.0.1.2"});
  EXPECT_EQ(hosts(now->apps[0]), Names{"127.0.0.2"});
  for (const char* name : {"orders", "orders/canary", "billing"})
    EXPECT_EQ(now->services.at(name).limits, old->services.at(name).limits) << name;
}

TEST_F(SnapshotTest, a_list_for_nobody_changes_nothing) {
  const auto old = make();
  const auto now = with_endpoints(*old, {{"strangers", {at("10.0.0.9")}}}, states, workers);
  EXPECT_EQ(now->services.size(), old->services.size());
  for (const auto& [name, service] : old->services)
    EXPECT_EQ(now->services.at(name).endpoints, service.endpoints);
}

TEST_F(SnapshotTest, a_route_to_a_subset_has_its_name) {
  config::Route& route = config.routes.emplace_back();
  route.name = "canary";
  route.match.service = "orders";
  auto& destination = route.destinations.emplace_back();
  destination.service = "orders";
  destination.subset = "canary";
  const auto snapshot = make();
  ASSERT_EQ(snapshot->routing->target_names.size(), 1U);
  EXPECT_EQ(snapshot->routing->target_names[0], "orders/canary");
  EXPECT_TRUE(snapshot->services.contains(snapshot->routing->target_names[0]));
}

TEST_F(SnapshotTest, a_route_that_cannot_be_compiled_is_an_error) {
  config::Route& route = config.routes.emplace_back();
  route.name = "broken";
  route.match.path = config::TextMatch{config::TextMatch::Kind::regex, "(unclosed"};
  const auto made = compile(std::make_shared<const config::Config>(config), {}, states, workers);
  ASSERT_FALSE(made.ok());
  EXPECT_NE(made.error().message.find("broken"), std::string::npos) << made.error().message;
}

}  // namespace
}  // namespace outrigger::server
