#include "http/h2_head_writer.h"

#include <array>
#include <charconv>
#include <cstring>

#include "http/bytes.h"
#include "http/h1_message.h"
#include "http/h2_frame_scanner.h"
#include "http/upgrades.h"
#include "http/validation.h"

namespace outrigger::http {
namespace {

using Indexing = HpackEncoder::Indexing;

constexpr std::size_t header_size = H2FrameHeader::size;
// Every peer accepts frames of this size (RFC 9113 section 4.2).
constexpr std::size_t frame_max = 16384;
// The static table (RFC 7541 appendix A).
constexpr unsigned method_get = 2;
constexpr unsigned method_post = 3;
constexpr unsigned scheme_http = 6;
constexpr unsigned scheme_https = 7;

// Values that differ from message to message would only evict useful entries from the table, and
// credentials must not be guessable from the compressed size (RFC 7541 section 7.1).
Indexing indexing_of(const Field& field) {
  switch (field.known) {
    case Known::traceparent:
    case Known::tracestate:
    case Known::x_request_id:
    case Known::x_outrigger_deadline_ms:
    case Known::grpc_timeout:
    case Known::grpc_message:
    case Known::retry_after:
    case Known::sec_websocket_key:
    case Known::sec_websocket_accept:
    case Known::set_cookie:
      return Indexing::none;
    case Known::cookie:
      return field.value.size() < 20 ? Indexing::never : Indexing::add;
    default:
      return Indexing::add;
  }
}

Indexing indexing_of(std::string_view name) {
  switch (name.size()) {
    case 3:
      return name == "age" ? Indexing::none : Indexing::add;
    case 4:
      return name == "etag" ? Indexing::none : Indexing::add;
    case 8:
      return name == "location" ? Indexing::none : Indexing::add;
    case 13:
      if (name == "authorization") return Indexing::never;
      return name == "if-none-match" ? Indexing::none : Indexing::add;
    case 17:
      return name == "if-modified-since" ? Indexing::none : Indexing::add;
    case 19:
      return name == "proxy-authorization" ? Indexing::never : Indexing::add;
    default:
      return Indexing::add;
  }
}

unsigned static_status(int status) {
  switch (status) {
    case 200:
      return 8;
    case 204:
      return 9;
    case 206:
      return 10;
    case 304:
      return 11;
    case 400:
      return 12;
    case 404:
      return 13;
    case 500:
      return 14;
    default:
      return 0;
  }
}

void put_header(char* to, std::size_t length, H2FrameType type, unsigned flags,
                std::uint32_t stream) {
  const std::array<std::uint32_t, header_size> header{static_cast<std::uint32_t>(length >> 16),
                                                      static_cast<std::uint32_t>(length >> 8),
                                                      static_cast<std::uint32_t>(length),
                                                      static_cast<std::uint32_t>(type),
                                                      flags,
                                                      stream >> 24,
                                                      stream >> 16,
                                                      stream >> 8,
                                                      stream};
  for (std::size_t i = 0; i < header_size; ++i) to[i] = static_cast<char>(header[i] & 0xff);
}

}  // namespace

std::size_t H2HeadWriter::text_of(const Fields& fields) {
  std::size_t size = 0;
  for (const Field& field : fields) size += field.name.size() + field.value.size();
  return size;
}

// Reserves room for the whole block and for a header in front of each of its frames.
void H2HeadWriter::begin(std::size_t fields, std::size_t text) {
  const std::size_t most = HpackEncoder::begin_max + fields * HpackEncoder::field_max + text;
  block_ = out_.prepare(most + header_size * (1 + most / frame_max)) + header_size;
  to_ = encoder_.begin(block_);
}

void H2HeadWriter::finish() {
  const auto size = static_cast<std::size_t>(to_ - block_);
  const unsigned end_stream = end_ ? H2FrameHeader::end_stream : 0;
  if (size <= frame_max) {
    put_header(block_ - header_size, size, H2FrameType::headers,
               H2FrameHeader::end_headers | end_stream, stream_);
    out_.commit(header_size + size);
    return;
  }
  // The pieces after the first move back to make room for their headers, the last one first.
  const std::size_t more = (size - 1) / frame_max;
  for (std::size_t i = more; i > 0; --i) {
    const std::size_t length = i == more ? size - i * frame_max : frame_max;
    char* payload = block_ + i * (frame_max + header_size);
    std::memmove(payload, block_ + i * frame_max, length);
    put_header(payload - header_size, length, H2FrameType::continuation,
               i == more ? H2FrameHeader::end_headers : 0, stream_);
  }
  put_header(block_ - header_size, frame_max, H2FrameType::headers, end_stream, stream_);
  out_.commit(header_size * (1 + more) + size);
}

void H2HeadWriter::add_method(std::string_view method) {
  if (method == "GET") {
    to_ = encoder_.indexed(to_, method_get);
  } else if (method == "POST") {
    to_ = encoder_.indexed(to_, method_post);
  } else {
    add(":method", method);
  }
}

void H2HeadWriter::add_status(int status) {
  if (const unsigned index = static_status(status); index != 0) {
    to_ = encoder_.indexed(to_, index);
    return;
  }
  std::array<char, 4> text{};
  const char* end = std::to_chars(text.data(), text.data() + text.size(), status).ptr;
  add(":status", {text.data(), end});
}

// The registry's tokens are in lower case here (RFC 8441 section 5).
void H2HeadWriter::add_protocol(std::string_view protocol) {
  std::array<char, 64> lower;
  if (protocol.size() > lower.size()) return add(":protocol", protocol);
  for (std::size_t i = 0; i < protocol.size(); ++i) {
    const char c = protocol[i];
    lower[i] = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  }
  add(":protocol", {lower.data(), protocol.size()});
}

void H2HeadWriter::add_length(std::uint64_t length) {
  std::array<char, 20> text{};
  const char* end = std::to_chars(text.data(), text.data() + text.size(), length).ptr;
  add(name_of(Known::content_length), {text.data(), end}, Indexing::none);
}

// The normal form has no framing fields; one that was added anyway is left out here, and so is a
// value that is not allowed in a field.
void H2HeadWriter::add_fields(const Fields& fields, bool trailers) {
  for (const Field& field : fields) {
    if (is_framing(field.known) || (trailers && !may_trail(field))) continue;
    if (field.form == Form::unchecked && !is_field_value(field.value)) continue;
    if (field.known == Known::other) {
      add_other(field);
    } else {
      add(name_of(field.known), field.value, indexing_of(field));
    }
  }
}

void H2HeadWriter::add_other(const Field& field) {
  const std::string_view name = field.name;
  if (field.form == Form::lower ||
      (!name.empty() && bytes::all<bytes::lower_token>(name.data(), name.size()))) {
    return add(name, field.value, indexing_of(name));
  }
  std::array<char, 256> lower;
  if (!is_token(name) || name.size() > lower.size()) return;
  for (std::size_t i = 0; i < name.size(); ++i) {
    lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? static_cast<char>(name[i] | 0x20) : name[i];
  }
  const std::string_view lowered(lower.data(), name.size());
  add(lowered, field.value, indexing_of(lowered));
}

void H2HeadWriter::request(const Head& head) {
  constexpr std::size_t others = 7;
  constexpr std::size_t their_text = 128;  // names of pseudo-header fields, te, content-length
  begin(head.fields.size() + others, text_of(head.fields) + their_text + head.method_text.size() +
                                         head.authority.size() + head.path.size() +
                                         head.protocol.size());
  const bool upgrade = !head.protocol.empty();
  add_method(upgrade ? std::string_view("CONNECT") : head.method_text);
  if (head.method != Method::connect || upgrade) {
    to_ = encoder_.indexed(to_, head.scheme == "https" ? scheme_https : scheme_http);
    if (!head.authority.empty()) add(":authority", head.authority);
    add(":path", head.path, Indexing::none);
    if (upgrade) add_protocol(head.protocol);
  } else {
    add(":authority", head.authority);
  }
  if (head.te_trailers) add(name_of(Known::te), "trailers");
  // A tunnel has no content-length (RFC 9113 section 8.5), though an HTTP/1 upgrade may say 0.
  if (head.content_length && !upgrade && head.method != Method::connect) {
    add_length(*head.content_length);
  }
  add_fields(head.fields, false);
  finish();
}

void H2HeadWriter::response(const Head& head, Request request) {
  constexpr std::size_t others = 3;
  constexpr std::size_t their_text = 96;
  begin(head.fields.size() + others, text_of(head.fields) + their_text + head.protocol.size());
  int status = head.status;
  const bool success = status >= 200 && status < 300;
  const bool tunnel = request == Request::connect ? success : status == 101;
  if (request == Request::upgrade && tunnel) {
    status = 200;
  } else if (request == Request::upgrade && success) {
    // A 2xx response to extended CONNECT means "switched", which this one does not.
    status = 502;
  }
  add_status(status);
  if (request == Request::upgrade && success && !tunnel) {
    std::array<char, 4> text{};
    const char* end = std::to_chars(text.data(), text.data() + text.size(), head.status).ptr;
    add(declined_name, {text.data(), end});
  }
  if (status == 426 && is_field_value(head.protocol) && !head.protocol.empty()) {
    add(demanded_name, head.protocol);
  }
  const bool may_have_length = status >= 200 && status != 204 && !tunnel;
  if (head.content_length && may_have_length) add_length(*head.content_length);
  add_fields(head.fields, false);
  finish();
}

void H2HeadWriter::trailers(const Fields& fields) {
  begin(fields.size(), text_of(fields));
  add_fields(fields, true);
  finish();
}

bool H2HeadWriter::any_trail(const Fields& fields) {
  for (const Field& field : fields) {
    if (!is_framing(field.known) && is_writable(field) && may_trail(field)) return true;
  }
  return false;
}

}  // namespace outrigger::http
