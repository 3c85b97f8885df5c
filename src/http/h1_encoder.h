#pragma once

// Writes HTTP/1 heads and trailers: every one from parsed fields, the framing anew, each name and
// value checked once more, so that nothing that came by another way (HTTP/2, an edit, an extension)
// can inject a line. A head that may not be written leaves no byte. Pure functions on a buffer.

#include <cstdint>
#include <optional>
#include <string_view>

#include "http/head.h"
#include "net/buffer.h"

namespace outrigger::http {

// What goes with the fields. At most one of `length` and `chunked`.
struct H1HeadExtras {
  std::optional<std::uint64_t> length;
  bool chunked = false;
  bool close = false;
  bool keep_alive = false;    // said aloud, to a 1.0 client
  std::string_view protocol;  // upgrade, and connection: upgrade; a list in a 426
  bool te_trailers = false;
  // sec-websocket-key in a request, sec-websocket-accept in an answer; empty for none.
  std::string_view websocket;
};

// False, and nothing is written, when a part may not stand in a message.
bool write_request_head(net::Buffer& out, const Head& head, const H1HeadExtras& extras);
bool write_answer_head(net::Buffer& out, const Head& head, const H1HeadExtras& extras);

// The last chunk with its trailers; fields that may not trail are left out. False as above.
bool write_last_chunk(net::Buffer& out, const Fields& trailers);

// Hexadecimal size and CRLF, into room for chunk_size_max; returns what was written.
inline constexpr std::size_t chunk_size_max = 18;
std::size_t write_chunk_size(char* to, std::size_t size);

}  // namespace outrigger::http
