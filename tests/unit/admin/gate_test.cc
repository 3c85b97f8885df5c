#include "admin/gate.h"

#include <gtest/gtest.h>

namespace outrigger::admin {
namespace {

int status(const Gate& gate, const Request& request) {
  const auto refused = gate.refuse(request);
  return refused ? refused->status : 200;
}

TEST(Gate, hosts) {
  const Gate loopback({.hosts = {"127.0.0.1"}, .token = {}});
  const Gate address({.hosts = {"10.0.0.7"}, .token = {}});
  const Gate anywhere({.hosts = {"0.0.0.0"}, .token = {}});
  struct Case {
    const char* host;
    int loopback;
    int address;
    int anywhere;
  };
  const Case cases[] = {
      {"", 200, 200, 200},  // HTTP/1.0 without a Host
      {"localhost", 200, 200, 200},
      {"LocalHost:15000", 200, 200, 200},
      {"127.0.0.1:15000", 200, 200, 200},
      {"127.9.9.9", 200, 200, 200},
      {"[::1]:15000", 200, 200, 200},
      {"[::1]", 200, 200, 200},
      {"10.0.0.7:15000", 403, 200, 200},
      {"10.0.0.8:15000", 403, 403, 200},
      {"[2001:db8::1]:15000", 403, 403, 200},
      {"evil.example", 403, 403, 403},
      {"evil.example:15000", 403, 403, 403},
      {"localhost.evil.example", 403, 403, 403},
      {"127.0.0.1.evil.example", 403, 403, 403},
      {"127.evil.example", 403, 403, 403},
      {"[::1", 200, 200, 200},
      {"[evil]:1", 403, 403, 403},
      {"::1", 403, 403, 403},
      {":15000", 403, 403, 403},
      {"localhost@evil.example", 403, 403, 403},
  };
  for (const Case& c : cases) {
    Request request;
    request.host = c.host;
    EXPECT_EQ(status(loopback, request), c.loopback) << c.host;
    EXPECT_EQ(status(address, request), c.address) << c.host;
    EXPECT_EQ(status(anywhere, request), c.anywhere) << c.host;
  }
}

TEST(Gate, origins_must_be_this_very_page) {
  const Gate gate({});
  struct Case {
    const char* origin;
    int status;
  };
  const Case cases[] = {
      {"", 200},
      {"http://localhost:15000", 200},
      {"HTTP://LOCALHOST:15000", 200},
      {"https://localhost:15000", 200},
      {"http://localhost", 403},
      {"http://localhost:3000", 403},
      {"http://127.0.0.1:15000", 403},
      {"http://evil.example", 403},
      {"http://localhost:15000.evil.example", 403},
      {"ftp://localhost:15000", 403},
      {"null", 403},
  };
  for (const Case& c : cases) {
    Request request;
    request.host = "localhost:15000";
    request.origin = c.origin;
    EXPECT_EQ(status(gate, request), c.status) << c.origin;
  }
}

TEST(Gate, fetch_metadata) {
  const Gate gate({});
  for (const auto& [site, expected] :
       std::initializer_list<std::pair<const char*, int>>{{"", 200},
                                                          {"none", 200},
                                                          {"same-origin", 200},
                                                          {"Same-Origin", 200},
                                                          {"same-site", 403},
                                                          {"cross-site", 403},
                                                          {"what-comes-next", 403}}) {
    Request request;
    request.sec_fetch_site = site;
    EXPECT_EQ(status(gate, request), expected) << site;
  }
}

TEST(Gate, token) {
  const Gate gate({.hosts = {}, .token = std::make_shared<Token>("s3cret")});
  for (const auto& [authorization, expected] :
       std::initializer_list<std::pair<const char*, int>>{{"Bearer s3cret", 200},
                                                          {"bearer s3cret", 200},
                                                          {"", 401},
                                                          {"Bearer ", 401},
                                                          {"Bearer s3cre", 401},
                                                          {"Bearer s3cret ", 401},
                                                          {"Bearer s3crets3cret", 401},
                                                          {"Bearer S3CRET", 401},
                                                          {"Basic s3cret", 401},
                                                          {"s3cret", 401},
                                                          {"Bearer", 401}}) {
    Request request;
    request.authorization = authorization;
    EXPECT_EQ(status(gate, request), expected) << authorization;
  }
  const auto refused = gate.refuse({});
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->headers.at(0).first, "www-authenticate");
  EXPECT_EQ(refused->body.find("s3cret"), std::string::npos);
}

}  // namespace
}  // namespace outrigger::admin
