#pragma once

// HTTP/2 by hand, right or wrong: frames, and a tiny HPACK encoder that writes exactly what it is
// told, for tests that speak to a codec or a socket in raw bytes. Without gtest.

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace outrigger::http::h2 {

inline constexpr std::string_view magic = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum Type : std::uint8_t {
  type_data = 0,
  type_headers = 1,
  type_priority = 2,
  type_rst_stream = 3,
  type_settings = 4,
  type_push_promise = 5,
  type_ping = 6,
  type_goaway = 7,
  type_window_update = 8,
  type_continuation = 9,
};

enum Flag : std::uint8_t {
  none = 0,
  end_stream = 0x1,
  ack = 0x1,
  end_headers = 0x4,
  padded = 0x8,
  priority_flag = 0x20,
  whole = end_headers | end_stream,
};

enum Error : std::uint32_t {
  no_error,
  protocol_error,
  internal_error,
  flow_control_error,
  settings_timeout,
  stream_closed,
  frame_size_error,
  refused_stream,
  cancel,
  compression_error,
  connect_error,
  enhance_your_calm,
};

enum Setting : std::uint16_t {
  header_table_size = 1,
  enable_push = 2,
  max_concurrent_streams = 3,
  initial_window_size = 4,
  max_frame_size = 5,
  max_header_list_size = 6,
  enable_connect_protocol = 8,
};

std::string big_endian(std::uint64_t value, int bytes);

std::string frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                  std::string_view payload = {});
std::string data(std::uint32_t stream, std::string_view payload, std::uint8_t flags = none);
// With `padding` bytes behind the payload.
std::string padded_data(std::uint32_t stream, std::string_view payload, std::uint8_t padding,
                        std::uint8_t flags = none);
std::string headers(std::uint32_t stream, std::string_view block, std::uint8_t flags = end_headers);
std::string continuation(std::uint32_t stream, std::string_view block,
                         std::uint8_t flags = end_headers);
std::string priority(std::uint32_t stream, std::uint32_t dependency, std::uint8_t weight = 15);
std::string rst_stream(std::uint32_t stream, std::uint32_t code);
std::string settings(std::initializer_list<std::pair<std::uint16_t, std::uint32_t>> values = {});
std::string settings_ack();
std::string ping(std::string_view opaque = "12345678", std::uint8_t flags = none);
std::string goaway(std::uint32_t last, std::uint32_t code, std::string_view text = {});
std::string window_update(std::uint32_t stream, std::uint32_t increment);
std::string push_promise(std::uint32_t stream, std::uint32_t promised, std::string_view block);
// Magic and empty SETTINGS.
std::string preface();

// ---- HPACK (RFC 7541), stateless unless told otherwise.

std::string integer(std::uint64_t value, int prefix_bits, std::uint8_t first);
std::string text(std::string_view plain);
std::string indexed(std::uint64_t index);
std::string literal(std::string_view name, std::string_view value);        // without indexing
std::string literal_added(std::string_view name, std::string_view value);  // to the dynamic table
std::string literal_with_name(std::uint64_t name_index, std::string_view value);
std::string table_size(std::uint64_t size);

using FieldList = std::vector<std::pair<std::string, std::string>>;
std::string block(const FieldList& fields);
// The usual pseudo fields, then `more`.
FieldList request_fields(std::string_view method = "GET", const FieldList& more = {});
std::string request_block(std::string_view method = "GET", const FieldList& more = {});
std::string response_block(int status = 200, const FieldList& more = {});

// ---- Reading.

struct Frame {
  std::uint8_t type = 0;
  std::uint8_t flags = 0;
  std::uint32_t stream = 0;
  std::string payload;

  std::uint32_t number(std::size_t at = 0) const;  // four bytes of the payload
};
// Takes whole frames off `bytes`; what is left is half a frame.
std::vector<Frame> take_frames(std::string& bytes);

// Decodes blocks in their order, with nghttp2's inflater.
class Inflater {
 public:
  Inflater();
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater();
  // Empty when the block is broken.
  FieldList decode(std::string_view block);
  // What the SETTINGS of its side have allowed; the next block must agree to a smaller one.
  void allow(std::size_t table_size);
  bool failed() const { return failed_; }

 private:
  void* inflater_ = nullptr;
  bool failed_ = false;
};

// Encodes as nghttp2 does: with its table, and Huffman-coded where that is shorter.
class Deflater {
 public:
  explicit Deflater(std::size_t table_size = 4096);
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;
  ~Deflater();
  std::string encode(const FieldList& fields);
  void resize(std::size_t table_size);

 private:
  void* deflater_ = nullptr;
};

}  // namespace outrigger::http::h2
