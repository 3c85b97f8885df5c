#include "http/head.h"

#include <array>
#include <bit>
#include <cstring>

#include "base/check.h"

namespace outrigger::http {
namespace {

constexpr auto known_count = static_cast<std::size_t>(Known::count_);

// In the order of the enum.
constexpr std::array<std::string_view, known_count> known_names = {
    "",
    "accept",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "grpc-message",
    "grpc-retry-pushback-ms",
    "grpc-status",
    "grpc-timeout",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "retry-after",
    "sec-websocket-accept",
    "sec-websocket-key",
    "server",
    "set-cookie",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-outrigger-deadline-ms",
    "x-outrigger-flag",
    "x-request-id",
};
static_assert(!known_names.back().empty());

template <typename Word>
Word load(const char* from) {
  Word word;
  std::memcpy(&word, from, sizeof(word));
  return word;
}

// A stretch of a known name as one word, with 0x20 where a letter stands: a word of text, folded
// with it, equals the name's in either case and in no other way.
template <typename Word>
struct Pattern {
  Word text = 0;
  Word fold = 0;
};

template <typename Word>
constexpr Pattern<Word> pattern(std::string_view name) {
  Pattern<Word> p;
  for (std::size_t i = 0; i < sizeof(Word); ++i) {
    const auto c = static_cast<unsigned char>(name[i]);
    const std::size_t place = std::endian::native == std::endian::little ? i : sizeof(Word) - 1 - i;
    p.text = static_cast<Word>(p.text | (static_cast<Word>(c) << (8 * place)));
    if (c >= 'a' && c <= 'z') {
      p.fold = static_cast<Word>(p.fold | (static_cast<Word>(0x20) << (8 * place)));
    }
  }
  return p;
}

template <Known known, std::size_t at, typename Word>
bool word_matches(const char* text) {
  constexpr auto p = pattern<Word>(known_names[static_cast<std::size_t>(known)].substr(at));
  return static_cast<Word>(load<Word>(text + at) | p.fold) == p.text;
}

// Compares word by word, the last one overlapping; the loop is unrolled by the compiler.
template <Known known, std::size_t at = 0>
bool matches(const char* text) {
  constexpr std::size_t size = known_names[static_cast<std::size_t>(known)].size();
  if constexpr (at == size) {
    return true;
  } else if constexpr (size - at >= 8) {
    return word_matches<known, at, std::uint64_t>(text) && matches<known, at + 8>(text);
  } else if constexpr (size >= 8) {
    return word_matches<known, size - 8, std::uint64_t>(text);
  } else if constexpr (size - at >= 4) {
    return word_matches<known, at, std::uint32_t>(text) && matches<known, at + 4>(text);
  } else if constexpr (size >= 4) {
    return word_matches<known, size - 4, std::uint32_t>(text);
  } else {
    return word_matches<known, at, std::uint8_t>(text) && matches<known, at + 1>(text);
  }
}

// The first of the candidates that the text is.
template <Known... candidates>
Known one_of(const char* text) {
  Known found = Known::other;
  (void)((matches<candidates>(text) && (found = candidates, true)) || ...);
  return found;
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

}  // namespace

std::string_view to_string(Version version) {
  switch (version) {
    case Version::http10:
      return "HTTP/1.0";
    case Version::http11:
      return "HTTP/1.1";
    case Version::http2:
      return "HTTP/2";
  }
  return "HTTP";
}

bool is_idempotent(Method method) {
  switch (method) {
    case Method::get:
    case Method::head:
    case Method::options:
    case Method::trace:
    case Method::put:
    case Method::delete_:
      return true;
    default:
      return false;
  }
}

Method parse_method(std::string_view text) {
  switch (text.size()) {
    case 3:
      if (text == "GET") return Method::get;
      return text == "PUT" ? Method::put : Method::other;
    case 4:
      if (text == "POST") return Method::post;
      return text == "HEAD" ? Method::head : Method::other;
    case 5:
      if (text == "PATCH") return Method::patch;
      return text == "TRACE" ? Method::trace : Method::other;
    case 6:
      return text == "DELETE" ? Method::delete_ : Method::other;
    case 7:
      if (text == "OPTIONS") return Method::options;
      return text == "CONNECT" ? Method::connect : Method::other;
    default:
      return Method::other;
  }
}

// Length, then the first or last letter, leave one or two names to compare with.
Known recognise(std::string_view name) {
  using enum Known;
  const char* text = name.data();
  switch (name.size()) {
    case 2:
      return one_of<te>(text);
    case 3:
      return one_of<via>(text);
    case 4:
      return one_of<host, date>(text);
    case 6:
      return one_of<accept, cookie, server, expect>(text);
    case 7:
      return one_of<upgrade, trailer>(text);
    case 10:
      switch (text[0] | 0x20) {
        case 'c':
          return one_of<connection>(text);
        case 'k':
          return one_of<keep_alive>(text);
        case 's':
          return one_of<set_cookie>(text);
        default:
          return one_of<tracestate>(text);
      }
    case 11:
      switch (text[0] | 0x20) {
        case 'g':
          return one_of<grpc_status>(text);
        case 't':
          return one_of<traceparent>(text);
        default:
          return one_of<retry_after>(text);
      }
    case 12:
      switch (text[0] | 0x20) {
        case 'c':
          return one_of<content_type>(text);
        case 'x':
          return one_of<x_request_id>(text);
        default:
          return one_of<grpc_timeout, grpc_message>(text);
      }
    case 14:
      return one_of<content_length, http2_settings>(text);
    case 15:
      return one_of<x_forwarded_for>(text);
    case 16:
      switch (text[0] | 0x20) {
        case 'c':
          return one_of<content_encoding>(text);
        case 'p':
          return one_of<proxy_connection>(text);
        default:
          return one_of<x_forwarded_host, x_outrigger_flag>(text);
      }
    case 17:
      switch (text[0] | 0x20) {
        case 't':
          return one_of<transfer_encoding>(text);
        case 'x':
          return one_of<x_forwarded_proto>(text);
        default:
          return one_of<sec_websocket_key>(text);
      }
    case 20:
      return one_of<sec_websocket_accept>(text);
    case 22:
      return one_of<grpc_retry_pushback_ms>(text);
    case 23:
      return one_of<x_forwarded_client_cert, x_outrigger_deadline_ms>(text);
    default:
      return other;
  }
}

std::string_view name_of(Known known) {
  check(known > Known::other && known < Known::count_, "a known field has a name");
  return known_names[static_cast<std::size_t>(known)];
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

const Field* Fields::find(Known known) const {
  for (const Field& field : *this) {
    if (field.known == known) return &field;
  }
  return nullptr;
}

const Field* Fields::find(std::string_view name) const {
  const Known known = recognise(name);
  if (known != Known::other) return find(known);
  for (const Field& field : *this) {
    if (field.known == Known::other && equal_ignoring_case(field.name, name)) return &field;
  }
  return nullptr;
}

std::string_view Fields::value(Known known) const {
  const Field* field = find(known);
  return field == nullptr ? std::string_view{} : field->value;
}

std::string_view Fields::value(std::string_view name) const {
  const Field* field = find(name);
  return field == nullptr ? std::string_view{} : field->value;
}

std::size_t Fields::remove(Known known) {
  // Up to the first that goes, nothing moves: most often there is none.
  std::uint32_t kept = 0;
  while (kept < size_ && data_[kept].known != known) ++kept;
  for (std::uint32_t i = kept; i < size_; ++i) {
    if (data_[i].known != known) data_[kept++] = data_[i];
  }
  const std::uint32_t removed = size_ - kept;
  size_ = kept;
  return removed;
}

std::size_t Fields::remove(std::string_view name) {
  const Known known = recognise(name);
  if (known != Known::other) return remove(known);
  const auto same = [name](const Field& field) {
    return field.known == Known::other && field.name.size() == name.size() &&
           equal_ignoring_case(field.name, name);
  };
  std::uint32_t kept = 0;
  while (kept < size_ && !same(data_[kept])) ++kept;
  for (std::uint32_t i = kept; i < size_; ++i) {
    if (!same(data_[i])) data_[kept++] = data_[i];
  }
  const std::uint32_t removed = size_ - kept;
  size_ = kept;
  return removed;
}

void Fields::set(Known known, std::string_view value) {
  remove(known);
  add(known, value);
}

void Fields::set(std::string_view name, std::string_view value) {
  remove(name);
  add(name, value);
}

void Fields::reserve(std::size_t count) {
  if (count <= capacity_) return;
  Field* grown = arena_->allocate_array<Field>(count);
  for (std::uint32_t i = 0; i < size_; ++i) grown[i] = data_[i];
  data_ = grown;
  capacity_ = static_cast<std::uint32_t>(count);
}

void Fields::grow() {
  reserve(capacity_ == 0 ? 16 : std::size_t{2} * capacity_);
}

bool Head::is_grpc() const {
  constexpr std::string_view grpc = "application/grpc";
  const std::string_view type = fields.value(Known::content_type);
  if (type.size() < grpc.size() || !equal_ignoring_case(type.substr(0, grpc.size()), grpc)) {
    return false;
  }
  // "application/grpc-web" is another protocol.
  const std::string_view rest = type.substr(grpc.size());
  return rest.empty() || rest[0] == '+' || rest[0] == ';' || rest[0] == ' ';
}

void Head::clear() {
  method = Method::get;
  method_text = scheme = authority = path = protocol = {};
  status = 0;
  version = Version::http11;
  te_trailers = expect_continue = false;
  content_length.reset();
  fields.release();
}

void copy_head(const Head& from, Head& to) {
  std::size_t size = from.method_text.size() + from.scheme.size() + from.authority.size() +
                     from.path.size() + from.protocol.size();
  for (const Field& field : from.fields) size += field.name.size() + field.value.size();
  char* at = static_cast<char*>(to.arena->allocate(size, 1));
  const auto copy = [&at](std::string_view text) -> std::string_view {
    if (text.empty()) return {};
    std::memcpy(at, text.data(), text.size());
    at += text.size();
    return {at - text.size(), text.size()};
  };
  to.method = from.method;
  to.method_text = copy(from.method_text);
  to.scheme = copy(from.scheme);
  to.authority = copy(from.authority);
  to.path = copy(from.path);
  to.protocol = copy(from.protocol);
  to.status = from.status;
  to.version = from.version;
  to.te_trailers = from.te_trailers;
  to.expect_continue = from.expect_continue;
  to.content_length = from.content_length;
  to.fields.clear();
  to.fields.reserve(from.fields.size());
  for (const Field& field : from.fields) {
    to.fields.add(Field{copy(field.name), copy(field.value), field.known, field.form});
  }
}

}  // namespace outrigger::http
