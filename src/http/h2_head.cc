#include "http/h2_head.h"

#include "http/bytes.h"
#include "http/validation.h"

namespace outrigger::http {
namespace {

// RFC 7541 section 4.1, and what SETTINGS_MAX_HEADER_LIST_SIZE counts.
constexpr std::size_t field_overhead = 32;
// How far beyond the limits a block may go before it ends the connection.
constexpr std::size_t flood_factor = 4;

bool is_lower_name(std::string_view name) {
  return !name.empty() && bytes::all<bytes::lower_token>(name.data(), name.size());
}

bool is_connection_specific(Known known) {
  switch (known) {
    case Known::connection:
    case Known::keep_alive:
    case Known::proxy_connection:
    case Known::transfer_encoding:
    case Known::upgrade:
      return true;
    default:
      return false;
  }
}

std::string_view lower_copy(std::string_view text, Arena& arena) {
  if (text.empty()) return {};
  char* to = static_cast<char*>(arena.allocate(text.size(), 1));
  for (std::size_t i = 0; i < text.size(); ++i) {
    to[i] = text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] | 0x20) : text[i];
  }
  return {to, text.size()};
}

}  // namespace

void H2HeadReader::begin(Kind kind, Fields* fields, Head* head, Arena* arena) {
  kind_ = kind;
  verdict_ = Verdict::ok;
  regular_seen_ = te_seen_ = length_seen_ = false;
  head_ = head;
  fields_ = fields;
  arena_ = arena;
  host_ = {};
  bytes_ = count_ = crumbs_ = 0;
  twins_ = 0;
}

void H2HeadReader::field(std::string_view name, std::string_view value) {
  if (!charge(name, value.size()) || kind_ == Kind::none) {
    constexpr std::size_t type_max = 64;
    // A gRPC client should get a gRPC response when its metadata is too large.
    if (kind_ == Kind::request && name == name_of(Known::content_type) &&
        value.size() <= type_max && is_field_value(value) && !fields_->has(Known::content_type)) {
      keep(name, value, Known::content_type);
    }
    return;
  }
  if (name.starts_with(':')) {
    pseudo(name, value);
  } else {
    regular(name, value);
  }
}

// Every decoded field counts, even if it is dropped.
bool H2HeadReader::charge(std::string_view name, std::size_t value) {
  const bool trailers = kind_ == Kind::trailers;
  const std::size_t bytes_max = trailers ? limits_.trailer_bytes : limits_.head_bytes;
  const std::size_t count_max = trailers ? limits_.trailer_fields : limits_.head_fields;
  bytes_ += name.size() + value + field_overhead;
  if (bytes_ > flood_factor * limits_.head_bytes) verdict_ = Verdict::flood;
  if (name == "cookie" && !trailers) {
    if (++crumbs_ > limits_.cookie_crumbs) fault(Verdict::too_large);
  } else if (!name.starts_with(':') && ++count_ > count_max) {
    fault(Verdict::too_large);
  }
  if (bytes_ > bytes_max || name.size() + value > limits_.field_bytes ||
      name.size() > limits_.name_bytes) {
    fault(Verdict::too_large);
  }
  return verdict_ == Verdict::ok;
}

void H2HeadReader::pseudo(std::string_view name, std::string_view value) {
  if (regular_seen_ || kind_ == Kind::trailers) return fault(Verdict::malformed);
  if (kind_ == Kind::request) return request_pseudo(name, value);
  const bool three_digits = value.size() == 3 && value[0] >= '1' && value[0] <= '9' &&
                            value[1] >= '0' && value[1] <= '9' && value[2] >= '0' &&
                            value[2] <= '9';
  if (name != ":status" || head_->status != 0 || !three_digits) return fault(Verdict::malformed);
  head_->status = (value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0');
}

void H2HeadReader::request_pseudo(std::string_view name, std::string_view value) {
  if (name == ":method") {
    if (!head_->method_text.empty() || !is_token(value)) return fault(Verdict::malformed);
    head_->method_text = arena_->copy(value);
    head_->method = parse_method(value);
  } else if (name == ":scheme") {
    const bool https = equal_ignoring_case(value, "https");
    if (!head_->scheme.empty() || (!https && !equal_ignoring_case(value, "http"))) {
      return fault(Verdict::malformed);
    }
    head_->scheme = https ? "https" : "http";
  } else if (name == ":authority") {
    if (!head_->authority.empty() || !is_authority(value)) return fault(Verdict::malformed);
    head_->authority = arena_->copy(value);
  } else if (name == ":path") {
    if (!head_->path.empty() || !is_target(value)) return fault(Verdict::malformed);
    head_->path = arena_->copy(value);
  } else if (name == ":protocol") {
    if (!head_->protocol.empty() || !is_token(value)) return fault(Verdict::malformed);
    head_->protocol = lower_copy(value, *arena_);
  } else {
    fault(Verdict::malformed);
  }
}

void H2HeadReader::regular(std::string_view name, std::string_view value) {
  regular_seen_ = true;
  if (!is_lower_name(name) || !is_field_value(value)) return fault(Verdict::malformed);
  const Known known = recognise(name);
  if (is_connection_specific(known)) return fault(Verdict::malformed);
  // No reader of a response's head treats two names as one.
  if (kind_ != Kind::response && known == Known::other && is_twin(name)) {
    ++twins_;
    return;
  }
  if (kind_ == Kind::trailers) {
    if (known == Known::te) return fault(Verdict::malformed);
    if (may_trail(Field{name, value, known})) keep(name, value, known);
    return;
  }
  switch (known) {
    case Known::content_length:
      return take_length(value);
    case Known::te:
      return take_te(value);
    case Known::host:
      return take_host(value);
    case Known::http2_settings:
      return;  // belongs to an upgrade from HTTP/1
    case Known::expect:
      if (kind_ == Kind::request) {
        if (!equal_ignoring_case(value, "100-continue")) return fault(Verdict::bad_expectation);
        head_->expect_continue = true;
      }
      break;
    default:
      break;
  }
  keep(name, value, known);
}

void H2HeadReader::keep(std::string_view name, std::string_view value, Known known) {
  const std::string_view kept = known == Known::other ? arena_->copy(name) : name_of(known);
  fields_->add(Field{kept, arena_->copy(value), known, Form::lower});
}

void H2HeadReader::take_host(std::string_view value) {
  if (kind_ != Kind::request) return;
  if (!host_.empty() || !is_authority(value)) return fault(Verdict::malformed);
  host_ = arena_->copy(value);
}

void H2HeadReader::take_length(std::string_view value) {
  const std::optional<std::uint64_t> length = parse_content_length(value);
  if (length_seen_ || !length) return fault(Verdict::malformed);
  length_seen_ = true;
  head_->content_length = length;
}

void H2HeadReader::take_te(std::string_view value) {
  if (te_seen_ || !equal_ignoring_case(value, "trailers")) return fault(Verdict::malformed);
  te_seen_ = true;
  head_->te_trailers = kind_ == Kind::request;
}

H2HeadReader::Verdict H2HeadReader::finish() {
  if (verdict_ == Verdict::ok && kind_ == Kind::request) finish_request();
  if (verdict_ == Verdict::ok && kind_ == Kind::response) finish_response();
  if (verdict_ == Verdict::ok && crumbs_ > 1) join_cookies();
  kind_ = Kind::none;
  return verdict_;
}

void H2HeadReader::finish_request() {
  Head& h = *head_;
  h.version = Version::http2;
  if (h.method_text.empty()) return fault(Verdict::malformed);
  const bool plain_connect = h.method == Method::connect && h.protocol.empty();
  if (plain_connect) {
    // Only a host and a port (RFC 9113 section 8.5); no content-length.
    if (!h.scheme.empty() || !h.path.empty() || h.authority.empty() || h.content_length) {
      return fault(Verdict::malformed);
    }
  } else {
    const bool asterisk = h.path == "*" && h.method == Method::options;
    if (h.scheme.empty() || !(h.path.starts_with('/') || asterisk)) {
      return fault(Verdict::malformed);
    }
  }
  if (!h.protocol.empty()) {
    // RFC 8441 section 4.
    if (h.method != Method::connect || h.authority.empty() || h.content_length) {
      return fault(Verdict::malformed);
    }
    h.method = Method::get;
    h.method_text = "GET";
  }
  if (h.authority.empty()) {
    h.authority = host_;
  } else if (!host_.empty() && !same_authority(h.authority, host_, h.scheme)) {
    return fault(Verdict::malformed);
  }
  if (h.authority.empty()) return fault(Verdict::malformed);
}

void H2HeadReader::finish_response() {
  Head& h = *head_;
  h.version = Version::http2;
  // HTTP/2 has no 101 (RFC 9113 section 8.6).
  if (h.status == 0 || h.status == 101) return fault(Verdict::malformed);
  if (h.content_length && (h.status < 200 || h.status == 204)) {
    // Forbidden, but "content-length: 0" on a 204 is common and harmless.
    if (*h.content_length != 0 || h.status < 200) return fault(Verdict::malformed);
    h.content_length.reset();
  }
}

// HTTP/2 clients may split the field for compression; the next hop gets a single one again (RFC
// 9113 section 8.2.3).
void H2HeadReader::join_cookies() {
  std::size_t size = 0;
  Field* first = nullptr;
  for (Field& field : *fields_) {
    if (field.known != Known::cookie) continue;
    if (first == nullptr) first = &field;
    size += field.value.size() + 2;
  }
  if (first == nullptr) return;
  char* joined = static_cast<char*>(arena_->allocate(size, 1));
  char* at = joined;
  for (const Field& field : *fields_) {
    if (field.known != Known::cookie) continue;
    if (at != joined) {
      *at++ = ';';
      *at++ = ' ';
    }
    at += field.value.copy(at, field.value.size());
  }
  first->value = {joined, static_cast<std::size_t>(at - joined)};
  first->form = Form::unchecked;  // an empty crumb leaves a space at an end
  // The first one stays where it is; the others go.
  first->known = Known::other;
  fields_->remove(Known::cookie);
  first->known = Known::cookie;
}

}  // namespace outrigger::http
