#include "proxy/request_ids.h"

#include <gtest/gtest.h>

#include <array>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <set>
#include <string>
#include <string_view>

namespace outrigger::proxy {
namespace {

using http::Known;

constexpr std::string_view good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

struct RequestIdsTest : testing::Test {
  BlockPool blocks;
  Arena arena{blocks};
  http::Head head{arena};
  Random random{7};
};

TEST_F(RequestIdsTest, an_id_is_kept_or_made) {
  head.fields.add("X-Request-Id", "mine");
  EXPECT_EQ(ensure_request_id(head, random), "mine");
  std::set<std::string> made;
  for (int i = 0; i < 100; ++i) {
    head.fields.remove(Known::x_request_id);
    const std::string id(ensure_request_id(head, random));
    ASSERT_EQ(id.size(), 36U);
    EXPECT_EQ(id[14], '4');
    EXPECT_NE(std::string_view("89ab").find(id[19]), std::string_view::npos);
    EXPECT_EQ(id.find_first_not_of("0123456789abcdef-"), std::string::npos);
    made.insert(id);
  }
  EXPECT_EQ(made.size(), 100U);
}

TEST_F(RequestIdsTest, a_good_trace_is_kept_with_its_state) {
  for (const std::string_view value :
       {std::string_view(good),
        std::string_view("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes")}) {
    head.fields.clear();
    head.fields.add("Traceparent", value);
    head.fields.add("tracestate", "a=1");
    ensure_traceparent(head, random);
    EXPECT_EQ(head.fields.value(Known::traceparent), value);
    EXPECT_EQ(head.fields.value(Known::tracestate), "a=1");
    EXPECT_EQ(trace_id_of(head), "0af7651916cd43dd8448eb211c80319c");
  }
}

TEST_F(RequestIdsTest, without_one_a_trace_begins_unsampled) {
  head.fields.add("tracestate", "a=1");
  ensure_traceparent(head, random);
  const std::string_view value = head.fields.value(Known::traceparent);
  EXPECT_TRUE(is_traceparent(value)) << value;
  EXPECT_TRUE(value.starts_with("00-") && value.ends_with("-00")) << value;
  EXPECT_FALSE(head.fields.has(Known::tracestate));
}

// Swapped digits would go unnoticed: each ID would still be well-formed.
TEST_F(RequestIdsTest, the_digits_are_those_of_the_numbers_drawn) {
  Random same{7};
  for (int i = 0; i < 100; ++i) {
    head.fields.clear();
    ensure_traceparent(head, random);
    const std::uint64_t first = same.next();
    const std::uint64_t second = same.next();
    const std::uint64_t parent = same.next();
    std::array<char, 64> expected;
    std::snprintf(expected.data(), expected.size(),
                  "00-%016" PRIx64 "%016" PRIx64 "-%016" PRIx64 "-00", first, second, parent);
    EXPECT_EQ(head.fields.value(Known::traceparent), expected.data());
  }
}

TEST_F(RequestIdsTest, a_malformed_trace_begins_anew_without_its_state) {
  for (const std::string_view value : {
           "",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",       // short
           "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",    // capitals
           "00-00000000000000000000000000000000-b7ad6b7169203331-01",    // no trace
           "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",    // no parent
           "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",    // no version
           "0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",    // no digit
           "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",    // no dash
           "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",    //
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01",    //
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",  // version 00 ends here
           "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.x",  // a later one goes on so
       }) {
    EXPECT_FALSE(is_traceparent(value)) << value;
    head.fields.clear();
    head.fields.add("traceparent", value);
    head.fields.add("tracestate", "a=1");
    EXPECT_EQ(trace_id_of(head), "") << value;
    ensure_traceparent(head, random);
    EXPECT_TRUE(is_traceparent(head.fields.value(Known::traceparent))) << value;
    EXPECT_NE(head.fields.value(Known::traceparent), value);
    EXPECT_FALSE(head.fields.has(Known::tracestate)) << value;
  }
}

TEST_F(RequestIdsTest, two_traces_are_none) {
  head.fields.add("traceparent", good);
  head.fields.add("traceparent", good);
  ensure_traceparent(head, random);
  EXPECT_NE(head.fields.value(Known::traceparent), good);
  EXPECT_EQ(head.fields.remove(Known::traceparent), 1U);
}

}  // namespace
}  // namespace outrigger::proxy
