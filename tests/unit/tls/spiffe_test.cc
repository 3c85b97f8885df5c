#include "tls/spiffe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outrigger::tls {
namespace {

using namespace std::string_literals;
using testing::HasSubstr;

TEST(SpiffeIdTest, TakesIdsApart) {
  const auto id = SpiffeId::parse("spiffe://example.org/ns/shop/sa/orders");
  ASSERT_TRUE(id);
  EXPECT_EQ(id->trust_domain(), "example.org");
  EXPECT_EQ(id->path(), "/ns/shop/sa/orders");
  EXPECT_EQ(id->text(), "spiffe://example.org/ns/shop/sa/orders");

  const auto domain = SpiffeId::parse("spiffe://example.org");
  ASSERT_TRUE(domain);
  EXPECT_EQ(domain->trust_domain(), "example.org");
  EXPECT_EQ(domain->path(), "");

  EXPECT_EQ(SpiffeId().trust_domain(), "");
  EXPECT_EQ(SpiffeId().path(), "");
}

TEST(SpiffeIdTest, AcceptsEverythingCanonical) {
  for (const std::string& text : {
           "spiffe://a/b"s,
           "spiffe://example.org/web"s,
           "spiffe://10.0.0.1/web"s,
           "spiffe://my_domain-1.example/A.b-c_d/..."s,
           "spiffe://example.org/.a"s,
           "spiffe://" + std::string(255, 'a') + "/x",
           "spiffe://example.org/" + std::string(2048 - 21, 'p'),
       }) {
    EXPECT_TRUE(SpiffeId::parse(text)) << text;
  }
}

struct Malformed {
  std::string text;
  const char* problem;
};

TEST(SpiffeIdTest, RefusesEverythingElse) {
  for (const Malformed& c : {
           Malformed{"", "does not begin"},
           Malformed{"spiffe", "does not begin"},
           Malformed{"spiffe:/", "does not begin"},
           Malformed{"spiffe://", "no trust domain"},
           Malformed{"spiffe:///path", "no trust domain"},
           Malformed{"SPIFFE://example.org/web", "does not begin"},
           Malformed{"Spiffe://example.org/web", "does not begin"},
           Malformed{"https://example.org/web", "does not begin"},
           Malformed{" spiffe://example.org/web", "does not begin"},
           Malformed{"spiffe://Example.org/web", "trust domain"},
           Malformed{"spiffe://example.org:80/web", "trust domain"},
           Malformed{"spiffe://user@example.org/web", "trust domain"},
           Malformed{"spiffe://[::1]/web", "trust domain"},
           Malformed{"spiffe://example%2eorg/web", "trust domain"},
           Malformed{"spiffe://ex\xc3\xa4mple.org/web", "trust domain"},
           Malformed{"spiffe://example.org?x", "trust domain"},
           Malformed{"spiffe://example.org#x", "trust domain"},
           Malformed{"spiffe://example.org\0/web"s, "trust domain"},
           Malformed{"spiffe://" + std::string(256, 'a') + "/x", "255"},
           Malformed{"spiffe://example.org/", "empty path segment"},
           Malformed{"spiffe://example.org//web", "empty path segment"},
           Malformed{"spiffe://example.org/web/", "empty path segment"},
           Malformed{"spiffe://example.org/a//b", "empty path segment"},
           Malformed{"spiffe://example.org/.", "dot segment"},
           Malformed{"spiffe://example.org/..", "dot segment"},
           Malformed{"spiffe://example.org/a/../b", "dot segment"},
           Malformed{"spiffe://example.org/a/./b", "dot segment"},
           Malformed{"spiffe://example.org/web?a=b", "character in its path"},
           Malformed{"spiffe://example.org/web#f", "character in its path"},
           Malformed{"spiffe://example.org/%77eb", "character in its path"},
           Malformed{"spiffe://example.org/w eb", "character in its path"},
           Malformed{"spiffe://example.org/w*b", "character in its path"},
           Malformed{"spiffe://example.org/web\n", "character in its path"},
           Malformed{"spiffe://example.org/web\0"s, "character in its path"},
           Malformed{"spiffe://example.org/web\0/x"s, "character in its path"},
           Malformed{"spiffe://example.org/w\xc3\xa4z", "character in its path"},
           Malformed{"spiffe://example.org/" + std::string(2048 - 20, 'p'), "longer than 2048"},
       }) {
    const auto id = SpiffeId::parse(c.text);
    ASSERT_FALSE(id) << printable(c.text);
    EXPECT_THAT(id.error().message, HasSubstr(c.problem)) << printable(c.text);
  }
}

// Each byte at each position of an ID: accepted only where the grammar allows it.
TEST(SpiffeIdTest, ByteSweep) {
  const std::string good = "spiffe://ab/cd";
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (int b = 0; b < 256; ++b) {
      std::string text = good;
      const char c = static_cast<char>(b);
      text[i] = c;
      const bool lower =
          (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
      const bool upper = c >= 'A' && c <= 'Z';
      bool expected = false;
      if (i < 9) {
        expected = c == good[i];
      } else if (i < 11) {
        expected = lower || (c == '/' && i == 10);  // "spiffe://a//cd" is not; see below
      } else if (i == 11) {
        expected = lower || c == '/';
      } else {
        expected = lower || upper;
      }
      if (i == 10 && c == '/') expected = false;
      EXPECT_EQ(SpiffeId::parse(text).ok(), expected) << printable(text);
    }
  }
}

TEST(SpiffeIdTest, MessagesAreSafeToLog) {
  const auto id = SpiffeId::parse("spiffe://example.org/\x1b[31m\r\nfake log line");
  ASSERT_FALSE(id);
  for (const char c : id.error().message) EXPECT_TRUE(c >= ' ' && c <= '~');
  EXPECT_LT(SpiffeId::parse(std::string(1'000'000, '\n')).error().message.size(), 1200U);
}

TEST(IdPatternTest, MatchesExactlyOrBelow) {
  const auto exact = IdPattern::parse("spiffe://example.org/web").value();
  EXPECT_TRUE(exact.matches("spiffe://example.org/web"));
  EXPECT_FALSE(exact.matches("spiffe://example.org/web/x"));
  EXPECT_FALSE(exact.matches("spiffe://example.org/we"));
  EXPECT_EQ(exact.text(), "spiffe://example.org/web");

  const auto below = IdPattern::parse("spiffe://example.org/batch/*").value();
  EXPECT_TRUE(below.matches("spiffe://example.org/batch/a"));
  EXPECT_TRUE(below.matches("spiffe://example.org/batch/a/b"));
  EXPECT_FALSE(below.matches("spiffe://example.org/batch"));
  EXPECT_FALSE(below.matches("spiffe://example.org/batch/"));
  EXPECT_FALSE(below.matches("spiffe://example.org/batch2/a"));
  EXPECT_FALSE(below.matches("spiffe://example.org.evil/batch/a"));
  EXPECT_EQ(below.text(), "spiffe://example.org/batch/*");

  const auto domain = IdPattern::parse("spiffe://example.org/*").value();
  EXPECT_TRUE(domain.matches("spiffe://example.org/anything"));
  EXPECT_FALSE(domain.matches("spiffe://example.org"));
  EXPECT_FALSE(domain.matches("spiffe://example.organic/x"));
}

TEST(IdPatternTest, RefusesOtherWildcards) {
  for (const char* text :
       {"*", "/*", "spiffe://*", "spiffe://*/web", "spiffe://example.org*",
        "spiffe://example.org/*/x", "spiffe://example.org/we*", "spiffe://example.org/**",
        "spiffe://example.org//*", "web", "", "spiffe://*.example.org/web"}) {
    const auto pattern = IdPattern::parse(text);
    EXPECT_FALSE(pattern) << text;
  }
  EXPECT_THAT(IdPattern::parse("spiffe://example.org/we*").error().message,
              HasSubstr("'*' is only allowed alone"));
}

TEST(IdMatcherTest, DefaultRule) {
  const IdMatcher orders = IdMatcher::for_service("orders");
  const auto matches = [&orders](const char* text) {
    return orders.matches(SpiffeId::parse(text).value());
  };
  EXPECT_TRUE(matches("spiffe://example.org/orders"));
  EXPECT_TRUE(matches("spiffe://example.org/ns/shop/sa/orders"));
  EXPECT_FALSE(matches("spiffe://example.org/reorders"));
  EXPECT_FALSE(matches("spiffe://example.org/orders/x"));
  EXPECT_FALSE(matches("spiffe://example.org/Orders"));
  EXPECT_FALSE(matches("spiffe://example.org"));
  EXPECT_FALSE(matches("spiffe://orders"));
  EXPECT_EQ(orders.expected("example.org"),
            "spiffe://example.org/orders or a path ending in /orders");
}

TEST(IdMatcherTest, AnyOf) {
  const auto matcher =
      IdMatcher::any_of({"spiffe://example.org/a", "spiffe://example.org/b/*"}).value();
  EXPECT_TRUE(matcher.matches(SpiffeId::parse("spiffe://example.org/a").value()));
  EXPECT_TRUE(matcher.matches(SpiffeId::parse("spiffe://example.org/b/c").value()));
  EXPECT_FALSE(matcher.matches(SpiffeId::parse("spiffe://example.org/c").value()));
  EXPECT_EQ(matcher.expected("example.org"), "spiffe://example.org/a or spiffe://example.org/b/*");

  const auto bad = IdMatcher::any_of({"spiffe://example.org/a", "spiffe://Example.org/b"});
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message, HasSubstr("spiffe://Example.org/b"));
  EXPECT_FALSE(IdMatcher::for_service("").matches(SpiffeId::parse("spiffe://a/b").value()));
}

}  // namespace
}  // namespace outrigger::tls
