#pragma once

// The conditions of one route, compiled, and the request they are asked about.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/model.h"
#include "http/head.h"
#include "proxy/regex.h"

namespace outrigger::proxy {

// One text condition. Points to the configuration's text.
class TextMatcher {
 public:
  static Result<TextMatcher> compile(const config::TextMatch& config);

  // For kinds that look at a value; a regular expression matches all of it.
  bool holds(std::string_view value) const;
  // For a name that may have several values: present when there is one, absent when there is none,
  // otherwise when any value, looked at alone, holds.
  bool wants_absence() const { return kind_ == Kind::absent; }

 private:
  using Kind = config::TextMatch::Kind;
  explicit TextMatcher(const config::TextMatch& config) : kind_(config.kind), text_(config.text) {}
  Kind kind_;
  std::string_view text_;
  std::optional<Regex> regex_;
};

// A request taken apart once for all routes that are asked. What needs room (a host in capitals, an
// escaped query) gets it from the head's arena, when first asked for. Lives during one look-up.
class RequestView {
 public:
  struct Parameter {
    std::string_view name;
    std::string_view value;
  };

  explicit RequestView(const http::Head& head);

  const http::Head& head() const { return head_; }
  std::string_view path() const { return path_; }  // without the query
  // "/api" of "/api/v1/x"; what routes are indexed by.
  std::string_view first_segment() const;
  // Lower case, without port and trailing dot; empty when there is none.
  std::string_view host();
  // Decoded ('+' is a blank), in their order.
  std::span<const Parameter> query();

 private:
  const http::Head& head_;
  std::string_view path_;
  std::string_view raw_query_;
  std::optional<std::string_view> host_;
  std::optional<std::span<const Parameter>> query_;
};

// A path of the configuration in the form that requests have when they are matched
// (http::normalise_path()); an error when no request's path can look like that.
Result<std::string> normal_path(std::string_view configured);

// All conditions of a route; each that is given must hold.
class RouteMatcher {
 public:
  // `config` outlives this. The error names the condition.
  static Result<RouteMatcher> compile(const config::Match& config);

  bool holds(RequestView& request) const;
  bool reads_path() const { return path_kind_ != PathKind::any; }
  // The first segment that every path which can match begins with; empty when there is no one such
  // segment.
  std::string_view first_segment() const;

 private:
  struct Named {
    std::string_view name;
    http::Known known;
    TextMatcher match;
  };
  enum class PathKind : std::uint8_t { any, exact, below, regex };

  explicit RouteMatcher(const config::Match& config);
  Result<void> compile_path(const config::Match& config);
  bool method_holds(const http::Head& head) const;
  bool path_holds(std::string_view path) const;
  bool host_holds(RequestView& request) const;
  static bool header_holds(const Named& header, RequestView& request);
  static bool query_holds(const Named& parameter, RequestView& request);

  std::uint32_t methods_ = 0;                    // a bit for each known method
  std::vector<std::string_view> other_methods_;  // those without a number
  PathKind path_kind_ = PathKind::any;
  std::string path_;  // normalised; `below`: without the final slash
  std::optional<Regex> path_regex_;
  std::optional<TextMatcher> host_;
  std::vector<Named> headers_;
  std::vector<Named> query_;
};

}  // namespace outrigger::proxy
