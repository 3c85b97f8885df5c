#include "tls/spiffe.h"

#include <algorithm>

namespace outrigger::tls {
namespace {

constexpr std::string_view scheme = "spiffe://";

constexpr bool is_lower_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
constexpr bool is_domain_char(char c) {
  return is_lower_or_digit(c) || c == '.' || c == '-' || c == '_';
}
constexpr bool is_path_char(char c) {
  return is_domain_char(c) || (c >= 'A' && c <= 'Z');
}

const char* path_problem(std::string_view path) {
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view segment = path.substr(0, end);
    if (segment.empty()) return "has an empty path segment or ends in a slash";
    if (segment == "." || segment == "..") return "has a dot segment in its path";
    if (!std::all_of(segment.begin(), segment.end(), is_path_char)) {
      return "has a character in its path other than letters, digits, '.', '-' and '_'";
    }
    path.remove_prefix(end);
  }
  return nullptr;
}

Error bad_id(std::string_view text, const char* problem) {
  return {"SPIFFE ID '" + printable(text) + "' " + problem};
}

}  // namespace

std::string printable(std::string_view text) {
  constexpr std::size_t shown_max = 256;
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (const char c : text.substr(0, shown_max)) {
    if (c >= ' ' && c <= '~') {
      out += c;
    } else {
      out += "\\x";
      out += digits[static_cast<unsigned char>(c) >> 4];
      out += digits[static_cast<unsigned char>(c) & 15];
    }
  }
  if (text.size() > shown_max) out += "...";
  return out;
}

const char* trust_domain_problem(std::string_view name) {
  if (name.empty()) return "has no trust domain";
  if (name.size() > SpiffeId::trust_domain_max) return "has a trust domain of over 255 bytes";
  if (!std::all_of(name.begin(), name.end(), is_domain_char)) {
    return "has a character in its trust domain other than lower-case letters, digits, '.', '-' "
           "and '_'";
  }
  return nullptr;
}

Result<SpiffeId> SpiffeId::parse(std::string_view text) {
  if (text.size() > text_max) return bad_id(text, "is longer than 2048 bytes");
  if (!text.starts_with(scheme)) return bad_id(text, "does not begin with spiffe://");
  const std::size_t slash = std::min(text.find('/', scheme.size()), text.size());
  const std::string_view domain = text.substr(scheme.size(), slash - scheme.size());
  if (const char* problem = trust_domain_problem(domain)) return bad_id(text, problem);
  if (const char* problem = path_problem(text.substr(slash))) return bad_id(text, problem);
  SpiffeId id;
  id.text_ = text;
  id.path_begins_ = slash;
  return id;
}

std::string_view SpiffeId::trust_domain() const {
  if (text_.empty()) return {};
  return std::string_view(text_).substr(scheme.size(), path_begins_ - scheme.size());
}

Result<IdPattern> IdPattern::parse(std::string_view text) {
  IdPattern pattern;
  pattern.wildcard_ = text.ends_with("/*");
  // With the wildcard and its slash taken off, what is left must be an ID itself.
  const std::string_view id = pattern.wildcard_ ? text.substr(0, text.size() - 2) : text;
  const auto parsed = SpiffeId::parse(id);
  if (!parsed) {
    if (id.find('*') == std::string_view::npos) return parsed.error();
    return Error{"ID pattern '" + printable(text) +
                 "': '*' is only allowed alone, after the last /"};
  }
  pattern.stem_ = id;
  if (pattern.wildcard_) pattern.stem_ += '/';
  return pattern;
}

bool IdPattern::matches(std::string_view id) const {
  return wildcard_ ? id.size() > stem_.size() && id.starts_with(stem_) : id == stem_;
}

Result<IdMatcher> IdMatcher::any_of(const std::vector<std::string>& patterns) {
  IdMatcher matcher;
  for (const std::string& text : patterns) {
    auto pattern = IdPattern::parse(text);
    if (!pattern) return pattern.error();
    matcher.patterns_.push_back(*std::move(pattern));
  }
  return matcher;
}

IdMatcher IdMatcher::for_service(std::string_view service) {
  IdMatcher matcher;
  matcher.service_ = service;
  return matcher;
}

bool IdMatcher::matches(const SpiffeId& id) const {
  if (!service_.empty()) {
    const std::string_view path = id.path();
    // The slash before the name keeps "/reorders" from passing for "orders".
    return path.size() > service_.size() && path.ends_with(service_) &&
           path[path.size() - service_.size() - 1] == '/';
  }
  return std::any_of(patterns_.begin(), patterns_.end(),
                     [&id](const IdPattern& p) { return p.matches(id.text()); });
}

std::string IdMatcher::expected(std::string_view trust_domain) const {
  if (!service_.empty()) {
    return "spiffe://" + std::string(trust_domain) + "/" + service_ + " or a path ending in /" +
           service_;
  }
  std::string out;
  for (const IdPattern& p : patterns_) {
    if (!out.empty()) out += " or ";
    out += p.text();
  }
  return out.empty() ? "nobody" : out;
}

}  // namespace outrigger::tls
