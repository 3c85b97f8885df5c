// Name resolution that needs no network: /etc/hosts, and invalid names.

#include "net/dns.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>

#include "support/manual_loop.h"

namespace outrigger::net {
namespace {

struct ResolverTest : testing::Test {
  test::ManualLoop loop;
  Resolver resolver{loop};
  std::optional<Resolved> got;
  int calls = 0;

  std::unique_ptr<Resolver::Query> ask(const std::string& name) {
    return resolver.resolve(name, [this](const Resolved& resolved) {
      got = resolved;
      ++calls;
    });
  }
};

TEST_F(ResolverTest, localhost_is_known_without_asking_anybody) {
  const auto query = ask("localhost");
  EXPECT_EQ(calls, 0) << "never inside the call";
  loop.settle();
  ASSERT_EQ(calls, 1);
  EXPECT_EQ(got->error, "");
  ASSERT_FALSE(got->addresses.empty());
  for (const std::string& address : got->addresses)
    EXPECT_TRUE(address == "127.0.0.1" || address == "::1") << address;
  EXPECT_TRUE(std::is_sorted(got->addresses.begin(), got->addresses.end()));
  EXPECT_EQ(std::adjacent_find(got->addresses.begin(), got->addresses.end()), got->addresses.end());
  EXPECT_EQ(got->ttl, Duration(0)) << "without a TTL, and so soon asked for again";
  loop.advance(minutes(1));
  EXPECT_EQ(calls, 1);
}

TEST_F(ResolverTest, a_name_that_cannot_be_is_an_error) {
  const auto query = ask("not..a name");
  loop.settle();
  ASSERT_TRUE(got.has_value());
  EXPECT_TRUE(got->addresses.empty());
  EXPECT_NE(got->error, "");
}

TEST_F(ResolverTest, a_query_that_is_dropped_says_nothing) {
  auto query = ask("localhost");
  query.reset();
  loop.settle();
  EXPECT_EQ(calls, 0);
}

TEST(ResolverLife, it_may_die_with_questions_open) {
  test::ManualLoop loop;
  std::unique_ptr<Resolver::Query> query;
  int calls = 0;
  {
    Resolver resolver(loop);
    query = resolver.resolve("localhost", [&calls](const Resolved&) { ++calls; });
  }
  query.reset();
  loop.settle();
  EXPECT_EQ(calls, 0);
}

}  // namespace
}  // namespace outrigger::net
