#include "admin/query.h"

#include <gtest/gtest.h>

namespace outrigger::admin {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

TEST(Query, table) {
  struct Case {
    std::string_view text;
    Pairs pairs;
  };
  const Case cases[] = {
      {"", {}},
      {"a=1", {{"a", "1"}}},
      {"a=1&b=2", {{"a", "1"}, {"b", "2"}}},
      {"flag", {{"flag", ""}}},
      {"a=", {{"a", ""}}},
      {"=b", {{"", "b"}}},
      {"&&a=1&&", {{"a", "1"}}},
      {"a=b=c", {{"a", "b=c"}}},
      {"a=x+y%20z", {{"a", "x y z"}}},
      {"%61=%3D%26", {{"a", "=&"}}},
      {"a=%", {{"a", "%"}}},
      {"a=%4", {{"a", "%4"}}},
      {"a=%zz", {{"a", "%zz"}}},
      {"a=%2", {{"a", "%2"}}},
      {"a=%41", {{"a", "A"}}},
      {"a=%00", {{"a", std::string(1, '\0')}}},
  };
  for (const Case& c : cases) EXPECT_EQ(Query(c.text).pairs(), c.pairs) << c.text;
}

TEST(Query, the_first_value_counts) {
  const Query query("a=1&a=2&b=");
  EXPECT_EQ(query.value("a"), "1");
  EXPECT_EQ(query.value("b"), "");
  EXPECT_EQ(query.value("c"), "");
}

TEST(Query, pairs_are_bounded) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "a&";
  EXPECT_EQ(Query(text).pairs().size(), Query::pairs_max);
}

}  // namespace
}  // namespace outrigger::admin
