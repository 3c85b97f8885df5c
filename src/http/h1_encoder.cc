#include "http/h1_encoder.h"

#include <array>
#include <charconv>
#include <cstring>

#include "http/h1_message.h"
#include "http/upgrades.h"
#include "http/validation.h"

namespace outrigger::http {
namespace {

// Beyond the fields: start line, framing, the empty line. Generous; it is a reservation only.
constexpr std::size_t fixed_max = 256;

// The first and the last n of so many bytes, which may overlap.
template <std::size_t n>
void put_ends(char* to, const char* from, std::size_t size) {
  std::array<char, n> first;
  std::array<char, n> last;
  std::memcpy(first.data(), from, n);
  std::memcpy(last.data(), from + size - n, n);
  std::memcpy(to, first.data(), n);
  std::memcpy(to + size - n, last.data(), n);
}

// Copies by a few wide moves where memcpy would be a call.
char* put(char* to, std::string_view text) {
  const char* from = text.data();
  const std::size_t size = text.size();
  if (size > 32) {
    std::memcpy(to, from, size);
  } else if (size >= 16) {
    put_ends<16>(to, from, size);
  } else if (size >= 8) {
    put_ends<8>(to, from, size);
  } else if (size >= 4) {
    put_ends<4>(to, from, size);
  } else {
    for (std::size_t i = 0; i < size; ++i) to[i] = from[i];
  }
  return to + size;
}

// A literal: its size is known, so the copy is a few moves.
template <std::size_t n>
char* put(char* to, const char (&text)[n]) {
  std::memcpy(to, text, n - 1);
  return to + n - 1;
}

char* put_number(char* to, std::uint64_t number) {
  return std::to_chars(to, to + 20, number).ptr;
}

std::size_t size_of(const Fields& fields) {
  std::size_t size = 0;
  for (const Field& field : fields) size += field.name.size() + field.value.size() + 4;
  return size;
}

char* put_field(char* to, const Field& field) {
  to = put(to, field.name);
  to = put(to, ": ");
  to = put(to, field.value);
  return put(to, "\r\n");
}

// Null when a field may not be written.
char* put_fields(char* to, const Fields& fields) {
  for (const Field& field : fields) {
    if (field.known != Known::other && is_framing(field.known)) continue;
    if (!is_writable(field)) return nullptr;
    to = put_field(to, field);
  }
  return to;
}

char* put_connection(char* to, const H1HeadExtras& extras) {
  if (!extras.protocol.empty()) {
    to = put(to, "connection: upgrade");
    if (extras.close) to = put(to, ", close");
    if (extras.keep_alive) to = put(to, ", keep-alive");
    if (extras.te_trailers) to = put(to, ", te");
    to = put(to, "\r\nupgrade: ");
    to = put(to, extras.protocol);
    to = put(to, "\r\n");
  } else if (extras.close) {
    to = extras.te_trailers ? put(to, "connection: close, te\r\n")
                            : put(to, "connection: close\r\n");
  } else if (extras.keep_alive) {
    to = put(to, "connection: keep-alive\r\n");
  } else if (extras.te_trailers) {
    to = put(to, "connection: te\r\n");
  }
  return extras.te_trailers ? put(to, "te: trailers\r\n") : to;
}

char* put_framing(char* to, const H1HeadExtras& extras) {
  if (extras.chunked) return put(to, "transfer-encoding: chunked\r\n");
  if (!extras.length) return to;
  to = put(to, "content-length: ");
  to = put_number(to, *extras.length);
  return put(to, "\r\n");
}

// The whole status line of the common ones; empty for the rest.
std::string_view status_line(int status) {
  switch (status) {
    case 100:
      return "HTTP/1.1 100 Continue\r\n";
    case 101:
      return "HTTP/1.1 101 Switching Protocols\r\n";
    case 103:
      return "HTTP/1.1 103 Early Hints\r\n";
    case 200:
      return "HTTP/1.1 200 OK\r\n";
    case 201:
      return "HTTP/1.1 201 Created\r\n";
    case 202:
      return "HTTP/1.1 202 Accepted\r\n";
    case 204:
      return "HTTP/1.1 204 No Content\r\n";
    case 206:
      return "HTTP/1.1 206 Partial Content\r\n";
    case 301:
      return "HTTP/1.1 301 Moved Permanently\r\n";
    case 302:
      return "HTTP/1.1 302 Found\r\n";
    case 303:
      return "HTTP/1.1 303 See Other\r\n";
    case 304:
      return "HTTP/1.1 304 Not Modified\r\n";
    case 307:
      return "HTTP/1.1 307 Temporary Redirect\r\n";
    case 308:
      return "HTTP/1.1 308 Permanent Redirect\r\n";
    case 400:
      return "HTTP/1.1 400 Bad Request\r\n";
    case 401:
      return "HTTP/1.1 401 Unauthorized\r\n";
    case 403:
      return "HTTP/1.1 403 Forbidden\r\n";
    case 404:
      return "HTTP/1.1 404 Not Found\r\n";
    case 405:
      return "HTTP/1.1 405 Method Not Allowed\r\n";
    case 408:
      return "HTTP/1.1 408 Request Timeout\r\n";
    case 409:
      return "HTTP/1.1 409 Conflict\r\n";
    case 412:
      return "HTTP/1.1 412 Precondition Failed\r\n";
    case 413:
      return "HTTP/1.1 413 Content Too Large\r\n";
    case 416:
      return "HTTP/1.1 416 Range Not Satisfiable\r\n";
    case 417:
      return "HTTP/1.1 417 Expectation Failed\r\n";
    case 422:
      return "HTTP/1.1 422 Unprocessable Content\r\n";
    case 426:
      return "HTTP/1.1 426 Upgrade Required\r\n";
    case 429:
      return "HTTP/1.1 429 Too Many Requests\r\n";
    case 431:
      return "HTTP/1.1 431 Request Header Fields Too Large\r\n";
    case 500:
      return "HTTP/1.1 500 Internal Server Error\r\n";
    case 501:
      return "HTTP/1.1 501 Not Implemented\r\n";
    case 502:
      return "HTTP/1.1 502 Bad Gateway\r\n";
    case 503:
      return "HTTP/1.1 503 Service Unavailable\r\n";
    case 504:
      return "HTTP/1.1 504 Gateway Timeout\r\n";
    case 505:
      return "HTTP/1.1 505 HTTP Version Not Supported\r\n";
    default:
      return {};
  }
}

char* put_status_line(char* to, int status) {
  if (const std::string_view line = status_line(status); !line.empty()) return put(to, line);
  to = put(to, "HTTP/1.1 ");
  to = put_number(to, static_cast<std::uint64_t>(status));
  return put(to, " \r\n");
}

// A target that the next hop reads in one way only.
bool is_writable_target(const Head& head) {
  if (head.method == Method::connect) return is_authority(head.authority);
  if (!head.authority.empty() && !is_authority(head.authority)) return false;
  if (head.path == "*") return head.method == Method::options;
  return head.path.starts_with('/') && is_target(head.path);
}

bool are_protocols(std::string_view list) {
  for (std::string_view protocol; next_member(list, protocol);) {
    if (!is_protocol(protocol)) return false;
  }
  return true;
}

// Commits what lies between prepare()'s pointer and `end`.
bool commit(net::Buffer& out, const char* begin, const char* end) {
  if (end == nullptr) return false;
  out.commit(static_cast<std::size_t>(end - begin));
  return true;
}

}  // namespace

bool write_request_head(net::Buffer& out, const Head& head, const H1HeadExtras& extras) {
  if (!is_token(head.method_text) || !is_writable_target(head)) return false;
  if (!extras.protocol.empty() && !is_protocol(extras.protocol)) return false;
  const bool connect = head.method == Method::connect;
  const std::string_view target = connect ? head.authority : head.path;
  char* const begin = out.prepare(head.method_text.size() + target.size() + head.authority.size() +
                                  extras.protocol.size() + extras.websocket.size() +
                                  size_of(head.fields) + fixed_max);
  char* to = put(begin, head.method_text);
  *to++ = ' ';
  to = put(to, target);
  to = put(to, " HTTP/1.1\r\nhost: ");
  to = put(to, head.authority);
  to = put(to, "\r\n");
  to = put_fields(to, head.fields);
  if (to == nullptr) return false;
  to = put_framing(to, extras);
  to = put_connection(to, extras);
  if (!extras.websocket.empty()) {
    to = put_field(to, {name_of(Known::sec_websocket_key), extras.websocket});
  }
  return commit(out, begin, put(to, "\r\n"));
}

bool write_answer_head(net::Buffer& out, const Head& head, const H1HeadExtras& extras) {
  if (head.status < 100 || head.status > 999) return false;
  if (!are_protocols(extras.protocol)) return false;
  char* const begin = out.prepare(extras.protocol.size() + extras.websocket.size() +
                                  size_of(head.fields) + fixed_max);
  char* to = put_fields(put_status_line(begin, head.status), head.fields);
  if (to == nullptr) return false;
  to = put_framing(to, extras);
  to = put_connection(to, extras);
  if (!extras.websocket.empty()) {
    to = put_field(to, {name_of(Known::sec_websocket_accept), extras.websocket});
  }
  return commit(out, begin, put(to, "\r\n"));
}

bool write_last_chunk(net::Buffer& out, const Fields& trailers) {
  char* const begin = out.prepare(size_of(trailers) + 8);
  char* to = put(begin, "0\r\n");
  for (const Field& field : trailers) {
    if (!may_trail(field)) continue;
    if (!is_writable(field)) return false;
    to = put_field(to, field);
  }
  return commit(out, begin, put(to, "\r\n"));
}

std::size_t write_chunk_size(char* to, std::size_t size) {
  char* end = std::to_chars(to, to + 16, size, 16).ptr;
  return static_cast<std::size_t>(put(end, "\r\n") - to);
}

}  // namespace outrigger::http
