#include "http/validation.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>

#include "http/bytes.h"

namespace outrigger::http {
namespace {

constexpr bool is_unreserved(int c) {
  return bytes::is_alphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

// Registered names and IPv4: unreserved, sub-delims without the comma. Escapes are checked apart.
constexpr bytes::Class host_class = bytes::make_class([](int c) {
  return is_unreserved(c) || c == '!' || c == '$' || c == '&' || c == '\'' || c == '(' ||
         c == ')' || c == '*' || c == '+' || c == ';' || c == '=';
});

// What may stand in a path as it is (RFC 3986 section 3.3).
constexpr bytes::Class path_class = bytes::make_class([](int c) {
  switch (c) {
    case '/':
    case ':':
    case '@':
    case '!':
    case '$':
    case '&':
    case '\'':
    case '(':
    case ')':
    case '*':
    case '+':
    case ',':
    case ';':
    case '=':
      return true;
    default:
      return is_unreserved(c);
  }
});

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The byte of the escape that begins at text[at], or -1.
int escaped(std::string_view text, std::size_t at) {
  if (at + 2 >= text.size()) return -1;
  const int high = hex_digit(text[at + 1]);
  const int low = hex_digit(text[at + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool is_registered_name(std::string_view host) {
  if (host.empty()) return false;
  if (bytes::all<host_class>(host.data(), host.size())) return true;
  for (std::size_t i = 0; i < host.size(); ++i) {
    if (bytes::has(host_class, host[i])) continue;
    if (host[i] != '%' || escaped(host, i) <= ' ') return false;
    i += 2;
  }
  return true;
}

bool is_ipv6_literal(std::string_view host) {
  if (host.size() < 4 || host.back() != ']') return false;
  int colons = 0;
  for (const char c : host.substr(1, host.size() - 2)) {
    if (c == ':') {
      ++colons;
    } else if (c != '.' && hex_digit(c) < 0) {
      return false;
    }
  }
  return colons >= 2;
}

bool is_port(std::string_view port) {
  std::uint32_t value = 0;
  if (port.size() > 5) return false;
  for (const char c : port) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<std::uint32_t>(c - '0');
  }
  return value <= 65535;
}

// Where the host ends: before the port's colon.
std::size_t host_size(std::string_view authority) {
  const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : 0;
  const std::size_t colon = authority.find(':', bracket == authority.npos ? 0 : bracket);
  return colon == authority.npos ? authority.size() : colon;
}

std::uint16_t default_port(std::string_view scheme) {
  return scheme == "https" ? 443 : 80;
}

// A segment of a path: "." and "..", perhaps with parameters, steer; all else is a name. One that
// steers for those alone who take an escaped slash for a slash means two paths at once.
enum class Segment { name, here, up, ambiguous };
Segment classify_piece(std::string_view piece) {
  // A program that decodes first finds the parameters behind an escape too.
  const std::string_view bare = piece.substr(0, std::min(piece.find(';'), piece.find("%3B")));
  if (bare == ".") return Segment::here;
  return bare == ".." ? Segment::up : Segment::name;
}
Segment classify(std::string_view segment) {
  constexpr std::string_view escaped_slash = "%2F";
  if (segment.find(escaped_slash) == segment.npos) return classify_piece(segment);
  for (;;) {
    const std::size_t end = segment.find(escaped_slash);
    if (classify_piece(segment.substr(0, end)) != Segment::name) return Segment::ambiguous;
    if (end == segment.npos) return Segment::name;
    segment.remove_prefix(end + escaped_slash.size());
  }
}

// Nothing to decode, encode, merge or resolve.
bool is_normal(std::string_view path) {
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (!bytes::has(path_class, path[i])) return false;
    if (path[i] == '/' && i + 1 < path.size() && (path[i + 1] == '/' || path[i + 1] == '.')) {
      return false;
    }
  }
  return true;
}

// The room that decode() needs: an escape for each byte that may not stand as it is.
std::size_t decoded_max(std::string_view path) {
  return path.size() +
         2 * static_cast<std::size_t>(std::count_if(
                 path.begin(), path.end(), [](char c) { return !bytes::has(path_class, c); }));
}

// Brings each byte of `path` into its one spelling. The size written, or nullopt.
std::optional<std::size_t> decode(std::string_view path, char* to) {
  std::size_t size = 0;
  const auto escape = [to, &size](int byte) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    to[size++] = '%';
    to[size++] = digits[static_cast<std::size_t>(byte) / 16];
    to[size++] = digits[static_cast<std::size_t>(byte) % 16];
  };
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '\\') return std::nullopt;
    if (path[i] != '%') {
      if (bytes::has(path_class, path[i])) {
        to[size++] = path[i];
      } else {
        escape(static_cast<unsigned char>(path[i]));
      }
      continue;
    }
    const int byte = escaped(path, i);
    if (byte <= 0 || byte == '\\') return std::nullopt;
    if (is_unreserved(byte)) {
      to[size++] = static_cast<char>(byte);
    } else {
      escape(byte);
    }
    i += 2;
  }
  return size;
}

// Merges slashes and resolves dots in place; the result is never longer. Nullopt when a segment is
// ambiguous. REQUIRES: text[0] == '/'
std::optional<std::size_t> resolve(char* text, std::size_t size) {
  std::size_t out = 0;  // text[0, out) is done: "" or "/a/b"
  bool directory = false;
  std::size_t at = 0;
  while (at < size) {
    const std::size_t begin = at + 1;
    std::size_t end = begin;
    while (end < size && text[end] != '/') ++end;
    const std::string_view segment(text + begin, end - begin);
    const Segment kind = classify(segment);
    if (kind == Segment::ambiguous) return std::nullopt;
    directory = segment.empty() || kind != Segment::name;
    if (kind == Segment::up) {
      while (out > 0 && text[--out] != '/') {
      }
    } else if (!directory) {
      text[out++] = '/';
      std::memmove(text + out, segment.data(), segment.size());
      out += segment.size();
    }
    at = end;
  }
  if (directory || out == 0) text[out++] = '/';
  return out;
}

// Names that frame, route, authenticate or identify, beside those of http::Known: never in
// trailers, and nowhere with '_' in place of '-'. The one table of them.
constexpr std::string_view guarded_names[] = {
    "authorization",
    "cache-control",
    "content-location",
    "content-range",
    "forwarded",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "www-authenticate",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
};
constexpr std::string_view guarded_prefixes[] = {"x-envoy-", "x-forwarded-", "x-outrigger-"};

bool is_guarded(std::string_view name) {
  const auto is = [name](std::string_view one) { return equal_ignoring_case(name, one); };
  const auto begins = [name](std::string_view prefix) {
    return name.size() > prefix.size() &&
           equal_ignoring_case(name.substr(0, prefix.size()), prefix);
  };
  return std::any_of(std::begin(guarded_names), std::end(guarded_names), is) ||
         std::any_of(std::begin(guarded_prefixes), std::end(guarded_prefixes), begins);
}

}  // namespace

bool is_token_char(char c) {
  return bytes::has(bytes::token, c);
}

bool is_token(std::string_view text) {
  return !text.empty() && bytes::all<bytes::token>(text.data(), text.size());
}

bool is_field_value(std::string_view value) {
  if (value.empty()) return true;
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  return !is_blank(value.front()) && !is_blank(value.back()) &&
         bytes::all<bytes::value>(value.data(), value.size());
}

bool is_target(std::string_view target) {
  return !target.empty() && bytes::all<bytes::target>(target.data(), target.size());
}

std::string_view trim(std::string_view text) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

bool next_member(std::string_view& list, std::string_view& member) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    member = trim(list.substr(0, comma));
    list = comma == list.npos ? std::string_view{} : list.substr(comma + 1);
    if (!member.empty()) return true;
  }
  return false;
}

bool is_authority(std::string_view authority) {
  const std::size_t size = host_size(authority);
  const std::string_view host = authority.substr(0, size);
  const bool host_ok = host.starts_with('[') ? is_ipv6_literal(host) : is_registered_name(host);
  return host_ok && (size == authority.size() || is_port(authority.substr(size + 1)));
}

std::string_view host_of(std::string_view authority) {
  return authority.substr(0, host_size(authority));
}

std::optional<std::uint16_t> port_of(std::string_view authority) {
  const std::size_t size = host_size(authority);
  if (size + 1 >= authority.size()) return std::nullopt;
  std::uint32_t port = 0;
  for (const char c : authority.substr(size + 1)) {
    port = port * 10 + static_cast<std::uint32_t>(c - '0');
  }
  return static_cast<std::uint16_t>(port);
}

std::string_view normalise_host(std::string_view authority, Arena& arena) {
  std::string_view host = host_of(authority);
  if (host.ends_with('.')) host.remove_suffix(1);
  const auto is_upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  bool changes = false;
  for (const char c : host) changes |= is_upper(c);
  if (!changes) return host;
  char* lower = static_cast<char*>(arena.allocate(host.size(), 1));
  for (std::size_t i = 0; i < host.size(); ++i) {
    lower[i] = static_cast<char>(is_upper(host[i]) ? host[i] | 0x20 : host[i]);
  }
  return {lower, host.size()};
}

bool same_authority(std::string_view a, std::string_view b, std::string_view scheme) {
  return equal_ignoring_case(host_of(a), host_of(b)) &&
         port_of(a).value_or(default_port(scheme)) == port_of(b).value_or(default_port(scheme));
}

std::optional<std::string_view> normalise_path(std::string_view path, Arena& arena) {
  if (!path.starts_with('/') || !is_target(path)) return std::nullopt;
  const std::string_view bare = path.substr(0, path.find('?'));
  if (is_normal(bare)) return path;

  const std::string_view query = path.substr(bare.size());
  char* text = static_cast<char*>(arena.allocate(decoded_max(bare) + query.size(), 1));
  const std::optional<std::size_t> decoded = decode(bare, text);
  if (!decoded) return std::nullopt;
  const std::optional<std::size_t> resolved = resolve(text, *decoded);
  if (!resolved) return std::nullopt;
  std::size_t size = *resolved;
  if (!query.empty()) std::memcpy(text + size, query.data(), query.size());
  size += query.size();
  const std::string_view normal(text, size);
  return normal == path ? path : normal;
}

std::optional<std::uint64_t> parse_content_length(std::string_view value) {
  if (value.empty() || value.size() > 18) return std::nullopt;
  std::uint64_t length = 0;
  for (const char c : value) {
    if (c < '0' || c > '9') return std::nullopt;
    length = length * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return length;
}

bool is_twin(std::string_view name) {
  if (bytes::all<bytes::no_underscore>(name.data(), name.size())) return false;
  // What is longer than any of the names is recognised by its beginning.
  std::array<char, 64> room;
  const std::size_t size = std::min(name.size(), room.size());
  for (std::size_t i = 0; i < size; ++i) room[i] = name[i] == '_' ? '-' : name[i];
  const std::string_view dashed(room.data(), size);
  return recognise(dashed) != Known::other || is_guarded(dashed);
}

bool may_trail(const Field& field) {
  switch (field.known) {
    case Known::grpc_message:
    case Known::grpc_retry_pushback_ms:
    case Known::grpc_status:
      return true;
    case Known::other:
      return !is_guarded(field.name) && !is_twin(field.name);
    default:
      return false;
  }
}

}  // namespace outrigger::http
