// Every byte at every position of a request, and random mutations, compared with the reference
// parser.

#include <gtest/gtest.h>

#include <string>

#include "base/random.h"
#include "support/h1_compare.h"

namespace outrigger::http {
namespace {

using fakes::compare_with_reference;
using fakes::ReferenceParser;
using fakes::ReferenceResult;

const std::string evil = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n";

const std::string seeds[] = {
    "GET /a%41?b HTTP/1.1\r\nHost: a:80\r\nX-a: b c\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5;e=\"q\"\r\nhello\r\n0\r\nx-t: 1\r\n\r\n",
    "GET http://a/ HTTP/1.1\r\nHost: a\r\nConnection: x-b, close\r\nx-b: 1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: [::1]\r\nUpgrade: websocket, h2c\r\nConnection: upgrade\r\n\r\n",
    "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nTE: trailers\r\n\r\n",
    "OPTIONS * HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\r\n",
};

TEST(H1SweepTest, EveryByteEverywhere) {
  for (const std::string& seed : seeds) {
    for (std::size_t at = 0; at < seed.size(); ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string raw = seed + evil;
        raw[at] = static_cast<char>(byte);
        EXPECT_EQ(compare_with_reference(raw, at), "") << "byte " << byte << " at " << at << " of\n"
                                                       << raw;
      }
    }
  }
}

TEST(H1SweepTest, EveryByteInsertedEverywhere) {
  for (const std::string& seed : seeds) {
    for (std::size_t at = 0; at < seed.size(); ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string raw = seed + evil;
        raw.insert(at, 1, static_cast<char>(byte));
        EXPECT_EQ(compare_with_reference(raw, at + 1), "")
            << "byte " << byte << " at " << at << " of\n"
            << raw;
      }
    }
  }
}

TEST(H1SweepTest, EveryByteLeftOut) {
  for (const std::string& seed : seeds) {
    for (std::size_t at = 0; at < seed.size(); ++at) {
      std::string raw = seed + evil;
      raw.erase(at, 1);
      EXPECT_EQ(compare_with_reference(raw, at), "") << "without " << at << " of\n" << raw;
    }
  }
}

// Fragments of the grammar in random order, with random splits.
TEST(H1SweepTest, RandomMessages) {
  const std::string pieces[] = {
      "GET ",
      "POST ",
      "/",
      "/a",
      " HTTP/1.1",
      " HTTP/1.0",
      "\r\n",
      "\r\n",
      "\r\n\r\n",
      "Host: a",
      "Host: b",
      "Content-Length: ",
      "Transfer-Encoding: chunked",
      "5",
      "0",
      "a",
      ";x",
      ";x=y",
      "\"",
      " ",
      "\t",
      ":",
      ",",
      "hello",
      "\n",
      "\r",
      "Connection: close",
      "Connection: x-a",
      "Upgrade: websocket",
      "Connection: upgrade",
      "x-a: b",
      "Expect: 100-continue",
      "*",
      "http://a",
      "CONNECT a:1",
      std::string(1, '\0'),
  };
  constexpr auto count = static_cast<std::uint32_t>(std::size(pieces));
  Random random(7);
  int accepted = 0;
  for (int i = 0; i < 30'000; ++i) {
    std::string raw = "POST / HTTP/1.1\r\nHost: a\r\n";
    if (random.below(2) == 0) raw += "Transfer-Encoding: chunked\r\n\r\n";
    const std::uint32_t parts = random.below(12);
    for (std::uint32_t p = 0; p < parts; ++p) raw += pieces[random.below(count)];
    const std::size_t cut = random.below(static_cast<std::uint32_t>(raw.size()) + 1);
    EXPECT_EQ(compare_with_reference(raw, cut), "") << raw << "\ncut at " << cut;
    if (!ReferenceParser::parse(raw).requests.empty()) ++accepted;
  }
  EXPECT_GT(accepted, 100);
}

// The comparison can fail: it detects a missing request and a wrong verdict.
TEST(H1SweepTest, TheReferenceJudges) {
  EXPECT_EQ(ReferenceParser::parse(seeds[1] + evil).requests.size(), 2U);
  EXPECT_EQ(ReferenceParser::parse(seeds[1] + evil).requests[0].body, "hello");
  EXPECT_EQ(ReferenceParser::parse("GET / HTTP/1.1\r\n\r\n").end, ReferenceResult::End::refused);
  EXPECT_TRUE(ReferenceParser::parse("GET / HT").undecided);
}

}  // namespace
}  // namespace outrigger::http
