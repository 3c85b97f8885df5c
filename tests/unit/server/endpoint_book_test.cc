// Lists from the configuration, DNS and registries, merged and published as a whole.

#include "server/endpoint_book.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "support/manual_loop.h"

namespace outrigger::server {
namespace {

// A registry that reports what the test tells it to.
class FakeRegistry final : public Registry {
 public:
  void start(RegistryEvents&) override {}
  std::unique_ptr<Subscription> subscribe(std::string_view service,
                                          EndpointObserver& observer) override {
    observers[std::string(service)] = &observer;
    struct Left final : Subscription {
      Left(FakeRegistry& r, std::string s) : registry(r), name(std::move(s)) {}
      ~Left() override { registry.observers.erase(name); }
      FakeRegistry& registry;
      std::string name;
    };
    return std::make_unique<Left>(*this, std::string(service));
  }
  RegistryStatus status() const override {
    RegistryStatus status;
    status.error = error;
    return status;
  }
  void tell(const std::string& service, const std::vector<std::string>& addresses) {
    std::vector<RegisteredEndpoint> list;
    for (const std::string& address : addresses) list.emplace_back().address = address;
    observers.at(service)->on_endpoints(list);
  }
  std::map<std::string, EndpointObserver*> observers;
  std::string error;
};

struct EndpointBookTest : testing::Test {
  EndpointBookTest()
      : book(loop,
             [this](const std::string& service, const std::vector<config::Endpoint>& endpoints) {
               published.emplace_back(service, hosts(endpoints));
             }) {}
  using Names = std::vector<std::string>;
  static Names hosts(const std::vector<config::Endpoint>& endpoints) {
    Names names;
    for (const auto& endpoint : endpoints) names.push_back(endpoint.address.host);
    return names;
  }
  static config::Endpoint at(const std::string& host, std::uint16_t port = 80) {
    config::Endpoint endpoint;
    endpoint.address.host = host;
    endpoint.address.port = port;
    return endpoint;
  }
  // c-ares answers from /etc/hosts here and needs no network.
  void settle() {
    for (int i = 0; i < 3; ++i) loop.settle();
  }

  test::ManualLoop loop;
  std::vector<std::pair<std::string, Names>> published;
  FakeRegistry registry;  // before the book, which unsubscribes
  EndpointBook book;
};

TEST_F(EndpointBookTest, literal_addresses_are_settled_at_once) {
  book.add("orders", {at("10.0.0.1"), at("::1")}, {}, {});
  EXPECT_TRUE(book.settled());
  EXPECT_EQ(hosts(book.lists().at("orders")), (Names{"10.0.0.1", "::1"}));
  EXPECT_TRUE(published.empty());
}

TEST_F(EndpointBookTest, a_registry_is_waited_for_and_its_list_follows_the_fixed_ones) {
  book.add("orders", {at("10.0.0.1")}, {&registry}, {});
  EXPECT_FALSE(book.settled());
  registry.tell("orders", {"10.0.0.2:80", "10.0.0.3:80"});
  EXPECT_TRUE(book.settled());
  ASSERT_EQ(published.size(), 1U);
  EXPECT_EQ(published[0].second, (Names{"10.0.0.1", "10.0.0.2", "10.0.0.3"}));
  registry.tell("orders", {});
  EXPECT_EQ(published.back().second, Names{"10.0.0.1"}) << "an empty list is an answer";
}

TEST_F(EndpointBookTest, two_registries_are_merged) {
  FakeRegistry other;
  {
    EndpointBook two(
        loop, [this](const std::string& service, const std::vector<config::Endpoint>& endpoints) {
          published.emplace_back(service, hosts(endpoints));
        });
    two.add("orders", {}, {&registry, &other}, {});
    registry.tell("orders", {"10.0.0.1:80"});
    EXPECT_FALSE(two.settled());
    other.tell("orders", {"10.1.0.1:80"});
    EXPECT_TRUE(two.settled());
    EXPECT_EQ(published.back().second, (Names{"10.0.0.1", "10.1.0.1"}));
    registry.tell("orders", {"10.0.0.9:80"});
    EXPECT_EQ(published.back().second, (Names{"10.0.0.9", "10.1.0.1"}));
  }
  EXPECT_TRUE(registry.observers.empty()) << "it has unsubscribed";
}

TEST_F(EndpointBookTest, what_is_no_address_is_left_out) {
  book.add("orders", {}, {&registry}, {});
  registry.tell("orders", {"10.0.0.1:80", "no port", "10.0.0.2:99999", "10.0.0.3:80"});
  EXPECT_EQ(published.back().second, (Names{"10.0.0.1", "10.0.0.3"}));
}

TEST_F(EndpointBookTest, an_endpoint_without_a_place_has_its_registrys) {
  book.add("orders", {}, {&registry}, {.cloud = "north", .region = "r1", .zone = "a"});
  std::vector<RegisteredEndpoint> list(2);
  list[0].address = "10.0.0.1:80";
  list[1].address = "10.0.0.2:80";
  list[1].locality.zone = "b";
  list[1].weight = 7;
  registry.observers.at("orders")->on_endpoints(list);
  const auto endpoints = book.lists().at("orders");
  EXPECT_EQ(endpoints[0].locality.cloud, "north");
  EXPECT_EQ(endpoints[0].locality.zone, "a");
  EXPECT_EQ(endpoints[1].locality.region, "r1");
  EXPECT_EQ(endpoints[1].locality.zone, "b");
  EXPECT_EQ(endpoints[1].weight, 7U);
}

TEST_F(EndpointBookTest, a_name_is_looked_up_and_published_when_it_answers) {
  book.add("orders", {at("10.0.0.1"), at("localhost", 8080)}, {}, {});
  EXPECT_FALSE(book.settled());
  EXPECT_EQ(hosts(book.lists().at("orders")), Names{"10.0.0.1"}) << "without it until then";
  settle();
  EXPECT_TRUE(book.settled());
  ASSERT_EQ(published.size(), 1U);
  const auto endpoints = book.lists().at("orders");
  ASSERT_GE(endpoints.size(), 2U);
  EXPECT_TRUE(endpoints[1].address.host == "127.0.0.1" || endpoints[1].address.host == "::1");
  EXPECT_EQ(endpoints[1].address.port, 8080);
}

TEST_F(EndpointBookTest, a_name_is_looked_up_again_and_only_a_change_is_told) {
  book.add("orders", {at("localhost")}, {}, {});
  settle();
  ASSERT_EQ(published.size(), 1U);
  for (int i = 0; i < 5; ++i) loop.advance(hours(1));
  EXPECT_EQ(published.size(), 1U);
  EXPECT_TRUE(book.settled());
}

TEST_F(EndpointBookTest, names_that_a_registry_tells_are_looked_up_too) {
  book.add("orders", {}, {&registry}, {});
  registry.tell("orders", {"localhost:80", "10.0.0.2:80"});
  EXPECT_FALSE(book.settled());
  EXPECT_EQ(published.back().second, Names{"10.0.0.2"});
  settle();
  EXPECT_TRUE(book.settled());
  EXPECT_GE(published.back().second.size(), 2U);
  registry.tell("orders", {"10.0.0.2:80"});
  EXPECT_EQ(published.back().second, Names{"10.0.0.2"});
}

TEST_F(EndpointBookTest, a_name_that_stays_in_a_list_keeps_its_addresses) {
  book.add("orders", {}, {&registry}, {});
  registry.tell("orders", {"localhost:80"});
  settle();
  const Names before = published.back().second;
  ASSERT_FALSE(before.empty());
  registry.tell("orders", {"localhost:80", "10.0.0.2:80"});
  Names with = before;
  with.push_back("10.0.0.2");
  EXPECT_EQ(published.back().second, with);
}

TEST_F(EndpointBookTest, a_list_with_a_new_name_waits_for_it_and_the_old_one_stays_in_force) {
  book.add("orders", {}, {&registry}, {});
  registry.tell("orders", {"10.0.0.1:80"});
  registry.tell("orders", {"localhost:80"});
  EXPECT_EQ(hosts(book.lists().at("orders")), Names{"10.0.0.1"});
  EXPECT_EQ(published.back().second, Names{"10.0.0.1"});
  settle();
  ASSERT_FALSE(published.back().second.empty());
  EXPECT_NE(published.back().second[0], "10.0.0.1");
}

TEST_F(EndpointBookTest, a_registry_that_is_broken_from_the_start_is_not_waited_for) {
  book.add("orders", {}, {&registry}, {});
  EXPECT_FALSE(book.settled());
  registry.error = "endpoints.yaml: no such file";
  EXPECT_TRUE(book.settled());
}

// Up to 256 names that /etc/hosts knows, since case does not matter there.
std::vector<std::string> spellings_of_localhost(std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) {
    std::string name = "localhost";
    for (std::size_t at = 0; at < 8; ++at) {
      if ((i >> at & 1) != 0) name[at] = static_cast<char>(name[at] - 'a' + 'A');
    }
    names.push_back(name);
  }
  return names;
}

TEST_F(EndpointBookTest, names_that_answer_together_are_published_together) {
  const Names names = spellings_of_localhost(200);
  std::vector<config::Endpoint> endpoints;
  for (std::size_t i = 0; i < 100; ++i) endpoints.push_back(at(names[i]));
  book.add("orders", endpoints, {&registry}, {});
  settle();
  EXPECT_GE(book.lists().at("orders").size(), 100U);
  EXPECT_LE(published.size(), 2U);
  const std::size_t own = published.back().second.size();
  registry.tell("orders", {"10.0.0.1:80"});
  EXPECT_TRUE(book.settled());
  // A list that takes the place of one: at once, when the last of its names has answered.
  published.clear();
  std::vector<std::string> told;
  for (const std::string& name : names) told.push_back(name + ":80");
  registry.tell("orders", told);
  settle();
  ASSERT_EQ(published.size(), 1U);
  EXPECT_GE(published[0].second.size(), own + 200);
}

TEST_F(EndpointBookTest, it_is_settled_only_when_all_that_answered_is_published) {
  std::size_t heard = 0;
  bool settled = false;
  EndpointBook* self = nullptr;
  EndpointBook other(
      loop,
      [this](const std::string& service, const std::vector<config::Endpoint>& endpoints) {
        published.emplace_back(service, hosts(endpoints));
      },
      [&] {
        ++heard;
        settled = self->settled();
        if (!settled) return;
        ASSERT_FALSE(published.empty());
        EXPECT_EQ(published.back().second, hosts(self->lists().at("orders")));
      });
  self = &other;
  std::vector<config::Endpoint> endpoints;
  for (const std::string& name : spellings_of_localhost(200)) endpoints.push_back(at(name));
  other.add("orders", endpoints, {}, {});
  settle();
  EXPECT_TRUE(settled);
  EXPECT_LE(heard, 2U);
}

// Processor time of this thread, as a ratio: the machine's speed and load do not matter. The names
// are told and not waited for.
TEST_F(EndpointBookTest, a_list_of_names_costs_time_in_proportion_to_its_length) {
  book.add("orders", {}, {&registry}, {});
  const auto cost = [this](std::size_t count, const std::string& prefix) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < count; ++i)
      names.push_back(prefix + std::to_string(i) + ".invalid:80");
    timespec before{}, after{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    registry.tell("orders", names);
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    return static_cast<double>(after.tv_sec - before.tv_sec) +
           static_cast<double>(after.tv_nsec - before.tv_nsec) / 1e9;
  };
  const double few = std::min(cost(1'000, "a"), cost(1'000, "b"));
  const double many = cost(16'000, "c");
  EXPECT_LT(many, 40 * few) << few << " and " << many << " s";
}

TEST_F(EndpointBookTest, a_look_up_under_way_may_be_forgotten) {
  {
    EndpointBook other(
        loop, [](const std::string&, const std::vector<config::Endpoint>&) { ADD_FAILURE(); });
    other.add("orders", {at("localhost")}, {}, {});
  }
  settle();
}

}  // namespace
}  // namespace outrigger::server
