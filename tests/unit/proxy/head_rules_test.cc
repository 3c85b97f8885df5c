#include "proxy/head_rules.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace outrigger::proxy {
namespace {

using http::Known;

struct HeadRulesTest : testing::Test {
  HeadRulesTest() { head.authority = "orders"; }
  std::vector<std::string> all(Known known) const {
    std::vector<std::string> values;
    for (const http::Field& field : head.fields) {
      if (field.known == known) values.emplace_back(field.value);
    }
    return values;
  }
  void seen_from(std::string_view address, bool trusted) {
    set_forwarded({head, address, false, trusted, {}});
  }
  using Values = std::vector<std::string>;

  BlockPool blocks;
  Arena arena{blocks};
  http::Head head{arena};
};

TEST_F(HeadRulesTest, who_called_is_what_was_seen) {
  head.fields.add("X-Forwarded-For", "192.0.2.7");
  head.fields.add("X-Forwarded-Proto", "https");
  head.fields.add("X-Forwarded-Host", "elsewhere");
  seen_from("10.0.0.1", false);
  EXPECT_EQ(all(Known::x_forwarded_for), Values{"10.0.0.1"});
  EXPECT_EQ(all(Known::x_forwarded_proto), Values{"http"});
  EXPECT_EQ(all(Known::x_forwarded_host), Values{"orders"});
}

TEST_F(HeadRulesTest, a_trusted_proxy_is_believed_and_added_to) {
  head.fields.add("X-Forwarded-For", "192.0.2.7");
  head.fields.add("X-Forwarded-Proto", "https");
  head.fields.add("X-Forwarded-Host", "shop.example");
  seen_from("10.0.0.1", true);
  EXPECT_EQ(all(Known::x_forwarded_for), Values{"192.0.2.7, 10.0.0.1"});
  EXPECT_EQ(all(Known::x_forwarded_proto), Values{"https"});
  EXPECT_EQ(all(Known::x_forwarded_host), Values{"shop.example"});
}

TEST_F(HeadRulesTest, all_lines_of_a_trusted_proxy_count) {
  head.fields.add("X-Forwarded-For", "192.0.2.7");
  head.fields.add("x-forwarded-for", "");
  head.fields.add("accept", "*/*");
  head.fields.add("x-forwarded-for", "198.51.100.1, 198.51.100.2");
  seen_from("10.0.0.1", true);
  EXPECT_EQ(all(Known::x_forwarded_for), Values{"192.0.2.7, 198.51.100.1, 198.51.100.2, 10.0.0.1"});
}

TEST_F(HeadRulesTest, nobody_claims_an_identity_but_by_certificate) {
  head.fields.add("X-Forwarded-Client-Cert", "By=forged");
  head.fields.add("X-Outrigger-Flag", "UC");
  head.fields.add("x-outrigger-deadline-ms", "100");
  set_forwarded({head, "10.0.0.1", true, false, "URI=spiffe://example.org/web"});
  EXPECT_EQ(all(Known::x_forwarded_client_cert), Values{"URI=spiffe://example.org/web"});
  EXPECT_FALSE(head.fields.has(Known::x_outrigger_flag));
  EXPECT_TRUE(head.fields.has(Known::x_outrigger_deadline_ms));
}

TEST_F(HeadRulesTest, grpc_status_is_a_number_or_nothing) {
  EXPECT_EQ(grpc_status_of(head.fields), -1);
  for (const auto& [text, status] : std::vector<std::pair<const char*, int>>{
           {"0", 0}, {"14", 14}, {"", -1}, {"-1", -1}, {"1x", -1}, {"99999999999", -1}}) {
    head.fields.set(Known::grpc_status, text);
    EXPECT_EQ(grpc_status_of(head.fields), status) << text;
  }
}

}  // namespace
}  // namespace outrigger::proxy
