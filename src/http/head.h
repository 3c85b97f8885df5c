#pragma once

// The head of a message, the same for HTTP/1 and HTTP/2: what codecs parse into and write from. All
// text is slices, of the read buffer or of the arena; nothing is hashed and nothing is copied that
// is only passed on.
//
// Normal form. Codecs take the framing and hop-by-hop fields out and put their meaning into
// members: Host and :authority become `authority`, Content-Length `content_length`, Upgrade and
// :protocol `protocol`, TE `te_trailers`; Connection and what it names, Keep-Alive,
// Proxy-Connection and Transfer-Encoding are gone (RFC 9110 section 7.6.1). `fields` holds the rest
// in order, names as they were received (HTTP/1) or in lower case (HTTP/2). An encoder writes the
// framing anew.
//
// Upgrade, WebSocket and extended CONNECT (RFC 9110 section 7.8, RFC 8441) share one form:
// `protocol` names the protocol, method is GET unless the client said otherwise, and an accepting
// answer has status 101; the HTTP/2 codecs translate to and from CONNECT, :protocol and 200. A
// plain CONNECT has method connect, an empty protocol and an authority. What a listener does not
// let switch (http/upgrades.h) has no protocol: it is a request like others.

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/arena.h"

namespace outrigger::http {

enum class Version : std::uint8_t { http10, http11, http2 };
std::string_view to_string(Version version);  // "HTTP/1.1"

enum class Method : std::uint8_t {
  get,
  head,
  post,
  put,
  delete_,
  options,
  patch,
  trace,
  connect,
  other
};
// GET, HEAD, OPTIONS, TRACE, PUT and DELETE (RFC 9110 section 9.2.2).
bool is_idempotent(Method method);
// Exact, case-sensitive; Method::other when it is none of them.
Method parse_method(std::string_view text);

// Fields that somebody asks for, recognised once while parsing.
enum class Known : std::uint8_t {
  other,
  accept,
  connection,
  content_encoding,
  content_length,
  content_type,
  cookie,
  date,
  expect,
  grpc_message,
  grpc_retry_pushback_ms,
  grpc_status,
  grpc_timeout,
  host,
  http2_settings,
  keep_alive,
  proxy_connection,
  retry_after,
  sec_websocket_accept,
  sec_websocket_key,
  server,
  set_cookie,
  te,
  traceparent,
  tracestate,
  trailer,
  transfer_encoding,
  upgrade,
  via,
  x_forwarded_client_cert,
  x_forwarded_for,
  x_forwarded_host,
  x_forwarded_proto,
  x_outrigger_deadline_ms,
  x_outrigger_flag,
  x_request_id,
  count_,
};
// Any case; Known::other when it is none of them.
Known recognise(std::string_view name);
// In lower case. REQUIRES: known is neither other nor count_.
std::string_view name_of(Known known);

bool equal_ignoring_case(std::string_view a, std::string_view b);

// Who vouches for the bytes of a field.
enum class Form : std::uint8_t {
  unchecked,  // nobody: an encoder looks at them before it writes them
  checked,    // a parser, which has found them well-formed (is_writable())
  lower,      // the same, and the name is in lower case
};

struct Field {
  std::string_view name;
  std::string_view value;
  Known known = Known::other;
  Form form = Form::unchecked;
};

// Fields in their order, in an arena. Values of one name may come in several fields.
class Fields {
 public:
  explicit Fields(Arena& arena) : arena_(&arena) {}
  Fields(const Fields&) = delete;
  Fields& operator=(const Fields&) = delete;

  // The slices must live as long as the arena's content, or as long as this is read.
  void add(std::string_view name, std::string_view value) {
    add(Field{name, value, recognise(name)});
  }
  void add(Known known, std::string_view value) { add(Field{name_of(known), value, known}); }
  void add(const Field& field) {
    if (size_ == capacity_) [[unlikely]] {
      grow();
    }
    data_[size_++] = field;
  }
  // The first one, or null.
  const Field* find(Known known) const;
  const Field* find(std::string_view name) const;  // any case
  // The first one's value, or empty.
  std::string_view value(Known known) const;
  std::string_view value(std::string_view name) const;  // any case
  bool has(Known known) const { return find(known) != nullptr; }
  // Removes all of that name; returns how many there were.
  std::size_t remove(Known known);
  std::size_t remove(std::string_view name);  // any case
  // Removes all of that name and adds one.
  void set(Known known, std::string_view value);
  void set(std::string_view name, std::string_view value);
  // Room for `count` fields, so that adding them grows nothing.
  void reserve(std::size_t count);
  void clear() { size_ = 0; }
  // Forgets the storage too; after Arena::reset().
  void release() {
    data_ = nullptr;
    size_ = capacity_ = 0;
  }

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  const Field* begin() const { return data_; }
  const Field* end() const { return data_ + size_; }
  Field* begin() { return data_; }
  Field* end() { return data_ + size_; }

 private:
  void grow();

  Arena* arena_;
  Field* data_ = nullptr;
  std::uint32_t size_ = 0;
  std::uint32_t capacity_ = 0;
};

struct Head {
  explicit Head(Arena& a) : arena(&a), fields(a) {}

  Arena* arena;  // for what is edited or added
  // Request.
  Method method = Method::get;
  std::string_view method_text;  // as received
  std::string_view scheme;       // "http" or "https"
  std::string_view authority;  // as received, checked for forbidden bytes; may be empty in HTTP/1.0
  std::string_view path;       // origin form with query as received, or "*"
  // Of an upgrade, as the listener's list spells it: "websocket". In a 426, the list of those that
  // the server demands. Empty otherwise.
  std::string_view protocol;
  // Response; 0 in a request.
  int status = 0;
  // Both.
  Version version = Version::http11;
  bool te_trailers = false;      // the client accepts trailers
  bool expect_continue = false;  // request: Expect: 100-continue (the field stays in `fields`)
  std::optional<std::uint64_t> content_length;
  Fields fields;

  bool is_request() const { return status == 0; }
  bool is_grpc() const;  // content-type application/grpc, with or without +proto and the like
  void clear();          // before the arena is reset
};

// A copy in `to`'s arena, text included.
void copy_head(const Head& from, Head& to);

}  // namespace outrigger::http
