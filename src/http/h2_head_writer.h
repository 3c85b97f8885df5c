#pragma once

// From the normal form of head.h to frames: one field block as HEADERS and, when it is large,
// CONTINUATION (RFC 9113 section 6.10), encoded straight into the connection's output. nghttp2
// decides when a block is sent and tracks stream states; what it would write for the block is
// replaced by this. A writer is made for one block, when it is certain that this block is sent
// next; see hpack_encoder.h for why.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "http/head.h"
#include "http/hpack_encoder.h"
#include "net/buffer.h"

namespace outrigger::http {

class H2HeadWriter {
 public:
  H2HeadWriter(HpackEncoder& encoder, net::Buffer& out, std::int32_t stream, bool end)
      : encoder_(encoder), out_(out), stream_(static_cast<std::uint32_t>(stream)), end_(end) {}

  // Exactly one of these, once.
  void request(const Head& head);
  // What the request was: in the response to extended CONNECT, 101 becomes 200, and any other 2xx
  // becomes a marked 502 (http/upgrades.h); a tunnel has no content-length.
  enum class Request : std::uint8_t { plain, connect, upgrade };
  void response(const Head& head, Request request);
  void trailers(const Fields& fields);

  // The total size of all names and values.
  static std::size_t text_of(const Fields& fields);
  // Whether trailers() would write any of them.
  static bool any_trail(const Fields& fields);

 private:
  void begin(std::size_t fields, std::size_t text);
  void add(std::string_view name, std::string_view value,
           HpackEncoder::Indexing indexing = HpackEncoder::Indexing::add) {
    to_ = encoder_.field(to_, name, value, indexing);
  }
  void add_method(std::string_view method);
  void add_status(int status);
  void add_length(std::uint64_t length);
  void add_fields(const Fields& fields, bool trailers);
  void add_other(const Field& field);
  void add_protocol(std::string_view protocol);
  void finish();

  HpackEncoder& encoder_;
  net::Buffer& out_;
  const std::uint32_t stream_;
  const bool end_;
  char* block_ = nullptr;  // after the room for the first frame's header
  char* to_ = nullptr;
};

}  // namespace outrigger::http
