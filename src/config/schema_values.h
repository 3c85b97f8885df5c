#pragma once

// The values that only one field of the language has: retry conditions, patterns, splits, header
// edits. The tables that use them are in schema.cc.

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "config/schema.h"
#include "config/values.h"

namespace outrigger::config {

// A member of a member, for fields that stand flat in the file and nested in the model.
template <typename T, typename M, typename N>
Value<T> inside(M T::*outer, N M::*inner, Value<N> value) {
  Value<T> out{value.shape,
               [outer, inner, read = value.read](Reader& reader, const YamlNode& node, T& to) {
                 read(reader, node, (to.*outer).*inner);
               },
               nullptr};
  if (value.show) {
    out.show = [outer, inner, show = value.show](const T& from) {
      return show((from.*outer).*inner);
    };
  }
  return out;
}

Value<int> language_version();
// "auto" is 0.
Value<int> worker_count();
// "0600"
Value<unsigned> file_mode();
// "80%" of the machine's memory, or a size.
Value<Runtime> memory_budget();

// Names of conditions, statuses ("503") and ranges of them ("500-504").
Value<Retry> retry_conditions();
// "25ms..250ms"
Value<Retry> backoff_range();

Value<HealthCheck> health_target(HealthCheck::Kind kind, const Value<std::string>& path);
Value<HealthCheck> health_tcp();

// "orders.example.org" or "*.example.org"
Value<TextMatch> host_pattern();
// "/exact", "/prefix/**" or "~ regex"
Value<TextMatch> path_pattern();
Value<TextMatch> text_match(TextMatch::Kind kind);
Value<TextMatch> presence(bool wanted);
// Headers or query parameters by name; headers are lower-cased.
Value<std::vector<NamedMatch>> named_matches(std::string noun, const TextCheck& check,
                                             const Value<TextMatch>& match);
Value<std::string> http_method();

// "service" or "service/subset"
Value<std::vector<Destination>> destination();
// Destinations with their percentages, which add up to 100%.
Value<std::vector<Destination>> weighted_destinations();

using HeaderList = std::vector<std::pair<std::string, std::string>>;
Value<HeaderList> header_values();
// A header that routes may edit: none that frames or routes the message.
Value<std::string> editable_header();

// 301, 302, 303, 307 or 308
Value<int> redirect_status();
Value<std::string> url_path();
Value<std::string> header_value();
Value<std::string> answer_body();

// "errors" and "slow>500ms"
Value<AccessLog> always_logged();
// "stdout", "stderr", "none" or a file.
Value<std::string> log_target();

}  // namespace outrigger::config
