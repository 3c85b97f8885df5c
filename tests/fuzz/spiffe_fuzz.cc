// SPIFFE IDs and patterns against a second, plainer reading of the grammar: what one accepts the
// other must accept, and an accepted ID must mean one thing only.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "tls/spiffe.h"

namespace {

using outrigger::check;
using outrigger::tls::IdMatcher;
using outrigger::tls::IdPattern;
using outrigger::tls::SpiffeId;

// Byte by byte: a state machine instead of searching for slashes.
bool reference_accepts(std::string_view text) {
  constexpr std::string_view scheme = "spiffe://";
  if (text.size() > 2048 || text.substr(0, scheme.size()) != scheme) return false;
  std::string segment;
  bool in_domain = true;
  for (std::size_t i = scheme.size(); i <= text.size(); ++i) {
    const bool end = i == text.size();
    const char c = end ? '/' : text[i];
    if (c == '/') {
      if (segment.empty() || (in_domain && segment.size() > 255)) return false;
      if (!in_domain && (segment == "." || segment == "..")) return false;
      segment.clear();
      in_domain = false;
      continue;
    }
    const bool upper = c >= 'A' && c <= 'Z';
    const bool other =
        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
    if (!other && (in_domain || !upper)) return false;
    segment += c;
  }
  return true;
}

void check_id(std::string_view text) {
  const auto id = SpiffeId::parse(text);
  check(id.ok() == reference_accepts(text), "the two readings differ");
  if (!id) {
    for (const char c : id.error().message) {
      check(c >= ' ' && c <= '~', "a message that is not safe to log");
    }
    return;
  }
  check(id->text() == text, "an ID changed while it was parsed");
  check("spiffe://" + std::string(id->trust_domain()) + std::string(id->path()) == text,
        "an ID's parts do not add up");
  check(IdPattern::parse(text).ok(), "an ID that is no pattern");
  check(IdPattern::parse(text).value().matches(text), "an ID that does not match itself");
  check(!IdPattern::parse(std::string(text) + "/*").value().matches(text),
        "a wildcard that matches its own stem");
}

void check_pattern(std::string_view pattern_text, std::string_view id_text) {
  const auto pattern = IdPattern::parse(pattern_text);
  const auto id = SpiffeId::parse(id_text);
  if (!pattern || !id) return;
  check(pattern->text() == pattern_text, "a pattern changed while it was parsed");
  if (!pattern->matches(id->text())) return;
  const auto stem =
      SpiffeId::parse(pattern_text.ends_with("/*") ? pattern_text.substr(0, pattern_text.size() - 2)
                                                   : pattern_text);
  check(stem.ok() && stem->trust_domain() == id->trust_domain(),
        "a pattern reached into another trust domain");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  check_id(input);
  const std::size_t split = input.find('\n');
  if (split == std::string_view::npos) return 0;
  check_pattern(input.substr(0, split), input.substr(split + 1));
  const auto id = SpiffeId::parse(input.substr(split + 1));
  const std::string service(input.substr(0, split));
  if (id && IdMatcher::for_service(service).matches(*id)) {
    check(("/" + std::string(id->path())).ends_with("/" + service), "not the end of the path");
  }
  return 0;
}
