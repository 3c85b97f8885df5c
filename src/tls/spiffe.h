#pragma once

// SPIFFE IDs: parsing (strict: one spelling per identity, so that comparing bytes compares
// identities), patterns, and the rule that says who may stand behind a service name. Values; any
// thread. An ID here is a name only: whether a peer proved it is peer_check's business.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace outrigger::tls {

// "spiffe://example.org/ns/shop/sa/orders": lower-case scheme and trust domain, a path of
// non-empty segments; no port, user, query, fragment, escape or dot segment; 2048 bytes at most.
class SpiffeId {
 public:
  static constexpr std::size_t text_max = 2048;
  static constexpr std::size_t trust_domain_max = 255;

  // An ID of nobody; text() is empty.
  SpiffeId() = default;
  // The error says what is wrong with the text, and shows it.
  static Result<SpiffeId> parse(std::string_view text);

  const std::string& text() const { return text_; }
  // "example.org"
  std::string_view trust_domain() const;
  // "/ns/shop/sa/orders", or empty for the trust domain's own ID.
  std::string_view path() const { return std::string_view(text_).substr(path_begins_); }
  bool operator==(const SpiffeId& other) const { return text_ == other.text_; }

 private:
  std::string text_;
  std::size_t path_begins_ = 0;
};

// Null when `name` may be a trust domain, else what is wrong with it.
const char* trust_domain_problem(std::string_view name);

// Bytes that came from a peer, fit for a log line: controls and non-ASCII as \xNN, cut at 256.
std::string printable(std::string_view text);

// An exact ID, or everything below a path: "spiffe://example.org/batch/*" means
// ".../batch/nightly" and ".../batch/a/b", but not ".../batch".
class IdPattern {
 public:
  static Result<IdPattern> parse(std::string_view text);

  // REQUIRES: `id` is the text of a valid SPIFFE ID.
  bool matches(std::string_view id) const;
  std::string text() const { return wildcard_ ? stem_ + "*" : stem_; }

 private:
  std::string stem_;  // with the slash before a wildcard
  bool wildcard_ = false;
};

// Who a peer must be. Immutable; a service's connections share one.
class IdMatcher {
 public:
  // Any of these patterns. The error names the one that is malformed.
  static Result<IdMatcher> any_of(const std::vector<std::string>& patterns);
  // The default for a service without expect_ids: its name is the ID's path or the end of it,
  // "spiffe://<trust domain>/orders" or "spiffe://<trust domain>/ns/shop/sa/orders".
  static IdMatcher for_service(std::string_view service);

  bool matches(const SpiffeId& id) const;
  // "spiffe://a/b or spiffe://a/c/*"; for mismatch messages.
  std::string expected(std::string_view trust_domain) const;

 private:
  std::vector<IdPattern> patterns_;
  std::string service_;  // the default rule when not empty
};

}  // namespace outrigger::tls
