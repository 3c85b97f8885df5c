#include "config/scalars.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace outrigger::config {
namespace {

using Refusals = std::vector<std::pair<std::string, std::string>>;  // text, part of the message

template <typename Parse>
void expect_refusals(const Refusals& cases, Parse parse) {
  for (const auto& [text, part] : cases) {
    const auto result = parse(text);
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_NE(result.error().message.find(part), std::string::npos)
        << text << ": " << result.error().message;
  }
}

TEST(Scalars, DurationsNeedAUnitAndAreExact) {
  const std::vector<std::pair<std::string, int>> good{
      {"250ms", 250},   {"0ms", 0},       {"1.5s", 1500},  {"0.001s", 1},
      {"2h", 7200'000}, {"10m", 600'000}, {"1.50s", 1500}, {"0.0100s", 10}};
  for (const auto& [text, millis] : good) {
    const auto value = parse_duration(text);
    ASSERT_TRUE(value.ok()) << text << ": " << value.error().message;
    EXPECT_EQ(value->count(), millis) << text;
  }
  expect_refusals({{"250", "write 250ms, 250s, 250m or 250h"},
                   {"0", "no unit"},
                   {"", "not a duration"},
                   {"ms", "not a duration"},
                   {"-1s", "not a duration"},
                   {"+1s", "not a duration"},
                   {".5s", "not a duration"},
                   {"5.s", "not a duration"},
                   {"1e3s", "unknown unit"},
                   {"010s", "not a duration"},
                   {"1 s", "unknown unit ' s'"},
                   {"1d", "unknown unit 'd'"},
                   {"1S", "unknown unit 'S'"},
                   {"1us", "unknown unit"},
                   {"0.5ms", "finer than a millisecond"},
                   {"1.0001s", "finer than a millisecond"},
                   {"87601h", "longer than ten years"},
                   {"999999999999999h", "longer than ten years"},
                   {"9999999999999999h", "not a duration"},
                   {"1s2ms", "unknown unit"},
                   {"0x10s", "unknown unit"}},
                  [](const std::string& text) { return parse_duration(text); });
}

TEST(Scalars, DurationsAreShownAsWritten) {
  for (const char* text : {"250ms", "1500ms", "15s", "90s", "5m", "72h", "0ms"}) {
    EXPECT_EQ(show_duration(*parse_duration(text)), text);
  }
}

TEST(Scalars, Sizes) {
  EXPECT_EQ(*parse_size("512B"), 512U);
  EXPECT_EQ(*parse_size("64KiB"), 65'536U);
  EXPECT_EQ(*parse_size("1.5MiB"), 1'572'864U);
  EXPECT_EQ(*parse_size("1024TiB"), 1ULL << 50);
  EXPECT_EQ(show_size(65'536), "64KiB");
  EXPECT_EQ(show_size(1025), "1025B");
  expect_refusals({{"64", "write 64B, 64KiB, 64MiB or 64GiB"},
                   {"10MB", "unknown unit 'MB'"},
                   {"10Mi", "unknown unit 'Mi'"},
                   {"0.3B", "not a whole number of bytes"},
                   {"1025TiB", "larger than"},
                   {"x", "not a size"}},
                  [](const std::string& text) { return parse_size(text); });
}

TEST(Scalars, PercentagesAreHundredthsExactly) {
  EXPECT_EQ(*parse_percent("5%"), 500U);
  EXPECT_EQ(*parse_percent("0.1%"), 10U);
  EXPECT_EQ(*parse_percent("33.33%"), 3333U);
  EXPECT_EQ(*parse_percent("100%"), 10'000U);
  EXPECT_EQ(*parse_percent("0%"), 0U);
  for (const char* text : {"5%", "0.1%", "33.33%", "100%", "0%", "0.01%", "50.5%"}) {
    EXPECT_EQ(show_percent(*parse_percent(text)), text);
  }
  expect_refusals({{"5", "write 5%"},
                   {"0.05", "write 0.05%"},
                   {"100.01%", "more than 100%"},
                   {"0.001%", "finer than 0.01%"},
                   {"5 %", "not a percentage"},
                   {"-5%", "not a percentage"},
                   {"5%%", "not a percentage"}},
                  [](const std::string& text) { return parse_percent(text); });
}

TEST(Scalars, Rates) {
  EXPECT_EQ(*parse_rate("500/s"), (Rate{500, Millis(1000)}));
  EXPECT_EQ(*parse_rate("30/m"), (Rate{30, Millis(60'000)}));
  EXPECT_EQ(*parse_rate("1/h"), (Rate{1, Millis(3'600'000)}));
  expect_refusals({{"500", "write 500/s, 500/m or 500/h"},
                   {"0/s", "not a rate"},
                   {"/s", "not a rate"},
                   {"5/d", "unknown period 'd'"},
                   {"5/ms", "unknown period 'ms'"},
                   {"5/", "unknown period"}},
                  [](const std::string& text) { return parse_rate(text); });
}

TEST(Scalars, IntegersAreDecimalDigits) {
  EXPECT_EQ(*parse_integer("0", 0, 10), 0U);
  EXPECT_EQ(*parse_integer("18446744073709551615", 0, UINT64_MAX), UINT64_MAX);
  expect_refusals({{"010", "write 10"},
                   {"00", "write 0"},
                   {"1.0", "not a whole number"},
                   {"1_000", "not a whole number"},
                   {"0x10", "not a whole number"},
                   {"-1", "not a whole number"},
                   {"", "not a whole number"},
                   {"11", "from 0 to 10"},
                   {"18446744073709551616", "from 0 to 10"}},
                  [](const std::string& text) { return parse_integer(text, 0, 10); });
}

TEST(Scalars, TruthsHaveTwoSpellings) {
  EXPECT_TRUE(*parse_bool("true"));
  EXPECT_FALSE(*parse_bool("false"));
  expect_refusals({{"yes", "write true"},
                   {"On", "write true"},
                   {"TRUE", "write true"},
                   {"off", "write false"},
                   {"0", "write false"},
                   {"", "neither"},
                   {"maybe", "neither"}},
                  [](const std::string& text) { return parse_bool(text); });
}

TEST(Scalars, AddressesToDial) {
  for (const char* text :
       {"10.0.0.7:15006", "[::1]:80", "[2001:db8::1]:65535", "orders.internal:80", "localhost:8080",
        "a_b-c.d:1", "unix:/run/app.sock", "v1.example.:80"}) {
    const auto address = parse_address(text);
    ASSERT_TRUE(address.ok()) << text << ": " << address.error().message;
    EXPECT_EQ(address->to_string(), text);
  }
  expect_refusals({{"", "is missing"},
                   {"8080", "only a port; write 127.0.0.1:8080"},
                   {":8080", "no host; write 127.0.0.1:8080"},
                   {"10.0.0.7", "no port; write 10.0.0.7:PORT"},
                   {"10.0.0.7:", "not a port"},
                   {"10.0.0.7:0", "not a port"},
                   {"10.0.0.7:65536", "not a port"},
                   {"10.0.0.7:080", "not a port"},
                   {"10.0.0.7:http", "not a port"},
                   {"10.0.0.7:+80", "not a port"},
                   {"10.0.0.300:80", "neither an IP address nor a host name"},
                   {"1.2.3:80", "neither"},
                   {"010.0.0.1:80", "neither"},
                   {"a..b:80", "neither"},
                   {".a:80", "neither"},
                   {"a b:80", "neither"},
                   {"*:80", "neither"},
                   {"::1:80", "[::1:80]:PORT"},
                   {"::1", "[::1]:PORT"},
                   {"a:b:80", "IPv6 is written [::1]:8080"},
                   {"[::1]", "no port"},
                   {"[::1:80", "no IPv6 address"},
                   {"[]:80", "no IPv6 address"},
                   {"[10.0.0.1]:80", "no IPv6 address"},
                   {"[::1%eth0]:80", "no IPv6 address"},
                   {"http://a:80", "is a URL"},
                   {"unix:", "absolute path"},
                   {"unix:run/x", "absolute path"},
                   {"unix:/run/\x1b[2Jx", "control characters"},
                   {std::string("unix:/run/\0x", 12), "control characters"},
                   {"unix:/run/\u009b2Jx", "control characters"},
                   {"unix:/" + std::string(107, 'x'), "limited to 107"},
                   {std::string(64, 'x') + ":80", "neither"}},
                  [](const std::string& text) { return parse_address(text); });
}

TEST(Scalars, AddressesToListenOn) {
  EXPECT_EQ(parse_address("127.0.0.1:0", AddressUse::listen)->port, 0);
  EXPECT_EQ(parse_address("[::]:15006", AddressUse::listen)->host, "::");
  expect_refusals({{"localhost:80", "write 127.0.0.1:80"},
                   {"*:80", "write 0.0.0.0:80"},
                   {"orders:80", "listen cannot be a name"}},
                  [](const std::string& text) { return parse_address(text, AddressUse::listen); });
}

TEST(Scalars, Networks) {
  for (const char* text :
       {"10.0.0.0/8", "10.0.0.1", "::1", "2001:db8::/32", "0.0.0.0/0", "::/128"}) {
    EXPECT_TRUE(parse_cidr(text).ok()) << text;
  }
  expect_refusals({{"10.0.0.0/33", "prefix length"},
                   {"::/129", "prefix length"},
                   {"10.0.0.0/", "prefix length"},
                   {"10.0.0.0/08", "prefix length"},
                   {"10.0.0/8", "not an address or network"},
                   {"host", "not an address or network"}},
                  [](const std::string& text) { return parse_cidr(text); });
}

TEST(Scalars, Loopback) {
  EXPECT_TRUE(is_loopback({"127.0.0.53", 1, false}));
  EXPECT_TRUE(is_loopback({"::1", 1, false}));
  EXPECT_TRUE(is_loopback({"/run/a", 0, true}));
  EXPECT_FALSE(is_loopback({"0.0.0.0", 1, false}));
  EXPECT_FALSE(is_loopback({"::", 1, false}));
}

}  // namespace
}  // namespace outrigger::config
