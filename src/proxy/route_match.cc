#include "proxy/route_match.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "http/validation.h"

namespace outrigger::proxy {
namespace {

using http::Known;

std::string_view first_segment_of(std::string_view path) {
  if (path.empty()) return path;
  return path.substr(0, path.find('/', 1));
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// A broken escape stands for itself.
std::string_view decode(std::string_view text, Arena& arena) {
  if (text.find_first_of("%+") == std::string_view::npos) return text;
  char* out = static_cast<char*>(arena.allocate(text.size(), 1));
  std::size_t size = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i] == '+' ? ' ' : text[i];
    if (c == '%' && i + 2 < text.size()) {
      const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
      if (high >= 0 && low >= 0) {
        c = static_cast<char>(high * 16 + low);
        i += 2;
      }
    }
    out[size++] = c;
  }
  return {out, size};
}

// Fields that the codecs have taken out of `fields` (see http/head.h) are asked where they are now.
std::optional<std::string_view> moved_field(Known known, RequestView& request,
                                            std::array<char, 24>& room) {
  const http::Head& head = request.head();
  if (known == Known::host && !head.authority.empty()) return head.authority;
  if (known == Known::upgrade && !head.protocol.empty()) return head.protocol;
  if (known == Known::te && head.te_trailers) return "trailers";
  if (known == Known::content_length && head.content_length) {
    const auto end = std::to_chars(room.data(), room.data() + room.size(), *head.content_length);
    return std::string_view(room.data(), static_cast<std::size_t>(end.ptr - room.data()));
  }
  return std::nullopt;
}

// RE2's message quotes the pattern, which is not for everybody when a variable holds it.
Result<Regex> compile_regex(const config::TextMatch& config) {
  auto regex = Regex::compile(config.text);
  if (!regex && config.from_variable) {
    return Error{"the regular expression in a variable does not compile"};
  }
  return regex;
}

}  // namespace

Result<TextMatcher> TextMatcher::compile(const config::TextMatch& config) {
  TextMatcher matcher(config);
  if (config.kind == Kind::regex) {
    auto regex = compile_regex(config);
    if (!regex) return regex.error();
    matcher.regex_ = std::move(regex).value();
  }
  return matcher;
}

bool TextMatcher::holds(std::string_view value) const {
  switch (kind_) {
    case Kind::exact:
      return value == text_;
    case Kind::prefix:
      return value.starts_with(text_);
    case Kind::suffix:
      return value.ends_with(text_);
    case Kind::regex:
      return regex_->matches(value);
    case Kind::present:
      return true;
    case Kind::absent:
      return false;
  }
  return false;
}

RequestView::RequestView(const http::Head& head) : head_(head) {
  const std::size_t question = head.path.find('?');
  path_ = head.path.substr(0, question);
  if (question != std::string_view::npos) raw_query_ = head.path.substr(question + 1);
}

std::string_view RequestView::first_segment() const {
  return first_segment_of(path_);
}

std::string_view RequestView::host() {
  if (!host_) {
    host_ = http::is_authority(head_.authority)
                ? http::normalise_host(head_.authority, *head_.arena)
                : std::string_view{};
  }
  return *host_;
}

std::span<const RequestView::Parameter> RequestView::query() {
  if (query_) return *query_;
  const auto most =
      static_cast<std::size_t>(std::count(raw_query_.begin(), raw_query_.end(), '&')) + 1;
  auto* parameters = head_.arena->allocate_array<Parameter>(most);
  std::size_t count = 0;
  for (std::string_view rest = raw_query_; !rest.empty();) {
    const std::size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const std::string_view value = pair.substr(std::min(equals + 1, pair.size()));
    parameters[count++] = {decode(pair.substr(0, equals), *head_.arena),
                           decode(value, *head_.arena)};
  }
  query_ = std::span<const Parameter>(parameters, count);
  return *query_;
}

Result<std::string> normal_path(std::string_view configured) {
  BlockPool pool;
  Arena arena(pool);
  const auto path = http::normalise_path(configured, arena);
  if (!path) {
    return Error{"'" + std::string(configured) +
                 "' is no path a request can have: it begins with '/', and broken escapes, %00, "
                 "%5C, backslashes and dot segments beside %2F are refused"};
  }
  return std::string(*path);
}

RouteMatcher::RouteMatcher(const config::Match& config) {
  for (const std::string& text : config.methods) {
    const http::Method method = http::parse_method(text);
    if (method == http::Method::other) {
      other_methods_.push_back(text);
    } else {
      methods_ |= 1U << static_cast<unsigned>(method);
    }
  }
}

Result<RouteMatcher> RouteMatcher::compile(const config::Match& config) {
  RouteMatcher matcher(config);
  const auto path = matcher.compile_path(config);
  if (!path) return Error{"path: " + path.error().message};
  if (config.host) {
    auto host = TextMatcher::compile(*config.host);
    if (!host) return Error{"host: " + host.error().message};
    matcher.host_ = std::move(host).value();
  }
  for (const config::NamedMatch& header : config.headers) {
    auto match = TextMatcher::compile(header.match);
    if (!match) return Error{"header '" + header.name + "': " + match.error().message};
    matcher.headers_.push_back(
        {header.name, http::recognise(header.name), std::move(match).value()});
  }
  for (const config::NamedMatch& parameter : config.query) {
    auto match = TextMatcher::compile(parameter.match);
    if (!match) return Error{"parameter '" + parameter.name + "': " + match.error().message};
    matcher.query_.push_back({parameter.name, Known::other, std::move(match).value()});
  }
  return matcher;
}

Result<void> RouteMatcher::compile_path(const config::Match& config) {
  using Kind = config::TextMatch::Kind;
  if (!config.path) return {};
  if (config.path->kind == Kind::regex) {
    path_kind_ = PathKind::regex;
    auto regex = compile_regex(*config.path);
    if (!regex) return regex.error();
    path_regex_ = std::move(regex).value();
    return {};
  }
  if (config.path->kind != Kind::exact && config.path->kind != Kind::prefix) {
    return Error{"a path is matched exactly, by prefix or by regular expression"};
  }
  auto path = normal_path(config.path->text);
  if (!path) return path.error();
  path_ = std::move(path).value();
  path_kind_ = config.path->kind == Kind::exact ? PathKind::exact : PathKind::below;
  if (path_kind_ == PathKind::below && path_.ends_with('/')) path_.pop_back();
  return {};
}

std::string_view RouteMatcher::first_segment() const {
  const bool fixed = path_kind_ == PathKind::exact || path_kind_ == PathKind::below;
  return fixed ? first_segment_of(path_) : std::string_view{};
}

// From the cheapest to the dearest.
bool RouteMatcher::holds(RequestView& request) const {
  if (!method_holds(request.head()) || !path_holds(request.path())) return false;
  if (host_ && !host_holds(request)) return false;
  for (const Named& h : headers_) {
    if (!header_holds(h, request)) return false;
  }
  for (const Named& q : query_) {
    if (!query_holds(q, request)) return false;
  }
  return true;
}

bool RouteMatcher::method_holds(const http::Head& head) const {
  if (methods_ == 0 && other_methods_.empty()) return true;
  if (head.method != http::Method::other) {
    return (methods_ >> static_cast<unsigned>(head.method) & 1) != 0;
  }
  return std::find(other_methods_.begin(), other_methods_.end(), head.method_text) !=
         other_methods_.end();
}

bool RouteMatcher::path_holds(std::string_view path) const {
  switch (path_kind_) {
    case PathKind::any:
      return true;
    case PathKind::exact:
      return path == path_;
    case PathKind::below:
      return path.starts_with(path_) &&
             (path.size() == path_.size() ? !path_.empty() : path[path_.size()] == '/');
    case PathKind::regex:
      return path_regex_->is_in(path);
  }
  return false;
}

bool RouteMatcher::host_holds(RequestView& request) const {
  const std::string_view host = request.host();
  return !host.empty() && host_->holds(host);
}

bool RouteMatcher::header_holds(const Named& header, RequestView& request) {
  std::array<char, 24> room;
  if (const auto value = moved_field(header.known, request, room)) {
    return header.match.holds(*value);
  }
  const bool by_number = header.known != Known::other;
  for (const http::Field& f : request.head().fields) {
    const bool same =
        by_number ? f.known == header.known
                  : f.known == Known::other && http::equal_ignoring_case(f.name, header.name);
    if (!same) continue;
    if (header.match.wants_absence()) return false;
    if (header.match.holds(f.value)) return true;
  }
  return header.match.wants_absence();
}

bool RouteMatcher::query_holds(const Named& parameter, RequestView& request) {
  for (const RequestView::Parameter& p : request.query()) {
    if (p.name != parameter.name) continue;
    if (parameter.match.wants_absence()) return false;
    if (parameter.match.holds(p.value)) return true;
  }
  return parameter.match.wants_absence();
}

}  // namespace outrigger::proxy
