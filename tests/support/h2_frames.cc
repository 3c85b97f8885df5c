#include "support/h2_frames.h"

#include <nghttp2/nghttp2.h>

namespace outrigger::http::h2 {

std::string big_endian(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

std::string frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                  std::string_view payload) {
  std::string out = big_endian(payload.size(), 3);
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  return out.append(big_endian(stream, 4)).append(payload);
}

std::string data(std::uint32_t stream, std::string_view payload, std::uint8_t flags) {
  return frame(type_data, flags, stream, payload);
}

std::string padded_data(std::uint32_t stream, std::string_view payload, std::uint8_t padding,
                        std::uint8_t flags) {
  std::string body(1, static_cast<char>(padding));
  body.append(payload).append(padding, '\0');
  return frame(type_data, static_cast<std::uint8_t>(flags | padded), stream, body);
}

std::string headers(std::uint32_t stream, std::string_view block, std::uint8_t flags) {
  return frame(type_headers, flags, stream, block);
}

std::string continuation(std::uint32_t stream, std::string_view block, std::uint8_t flags) {
  return frame(type_continuation, flags, stream, block);
}

std::string priority(std::uint32_t stream, std::uint32_t dependency, std::uint8_t weight) {
  return frame(type_priority, none, stream, big_endian(dependency, 4) + static_cast<char>(weight));
}

std::string rst_stream(std::uint32_t stream, std::uint32_t code) {
  return frame(type_rst_stream, none, stream, big_endian(code, 4));
}

std::string settings(std::initializer_list<std::pair<std::uint16_t, std::uint32_t>> values) {
  std::string payload;
  for (const auto& [id, value] : values) payload += big_endian(id, 2) + big_endian(value, 4);
  return frame(type_settings, none, 0, payload);
}

std::string settings_ack() {
  return frame(type_settings, ack, 0);
}

std::string ping(std::string_view opaque, std::uint8_t flags) {
  return frame(type_ping, flags, 0, opaque);
}

std::string goaway(std::uint32_t last, std::uint32_t code, std::string_view text) {
  return frame(type_goaway, none, 0, big_endian(last, 4) + big_endian(code, 4) + std::string(text));
}

std::string window_update(std::uint32_t stream, std::uint32_t increment) {
  return frame(type_window_update, none, stream, big_endian(increment, 4));
}

std::string push_promise(std::uint32_t stream, std::uint32_t promised, std::string_view block) {
  return frame(type_push_promise, end_headers, stream,
               big_endian(promised, 4) + std::string(block));
}

std::string preface() {
  return std::string(magic) + settings();
}

std::string integer(std::uint64_t value, int prefix_bits, std::uint8_t first) {
  const std::uint64_t most = (1U << prefix_bits) - 1;
  if (value < most) return std::string(1, static_cast<char>(first | value));
  std::string out(1, static_cast<char>(first | most));
  for (value -= most; value >= 128; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
  return out;
}

std::string text(std::string_view plain) {
  return integer(plain.size(), 7, 0).append(plain);
}

std::string indexed(std::uint64_t index) {
  return integer(index, 7, 0x80);
}

std::string literal(std::string_view name, std::string_view value) {
  return std::string(1, '\0') + text(name) + text(value);
}

std::string literal_added(std::string_view name, std::string_view value) {
  return std::string(1, '\x40') + text(name) + text(value);
}

std::string literal_with_name(std::uint64_t name_index, std::string_view value) {
  return integer(name_index, 4, 0) + text(value);
}

std::string table_size(std::uint64_t size) {
  return integer(size, 5, 0x20);
}

std::string block(const FieldList& fields) {
  std::string out;
  for (const auto& [name, value] : fields) out += literal(name, value);
  return out;
}

FieldList request_fields(std::string_view method, const FieldList& more) {
  FieldList fields = {{":method", std::string(method)},
                      {":scheme", "http"},
                      {":path", "/"},
                      {":authority", "example.test"}};
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}

std::string request_block(std::string_view method, const FieldList& more) {
  return block(request_fields(method, more));
}

std::string response_block(int status, const FieldList& more) {
  return block({{":status", std::to_string(status)}}) + block(more);
}

std::uint32_t Frame::number(std::size_t at) const {
  std::uint32_t value = 0;
  for (std::size_t i = at; i < at + 4 && i < payload.size(); ++i) {
    value = value << 8 | static_cast<unsigned char>(payload[i]);
  }
  return value;
}

std::vector<Frame> take_frames(std::string& bytes) {
  std::vector<Frame> frames;
  const auto byte = [&bytes](std::size_t at) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at]));
  };
  std::size_t at = 0;
  while (bytes.size() - at >= 9) {
    const std::size_t size = byte(at) << 16 | byte(at + 1) << 8 | byte(at + 2);
    if (bytes.size() - at < 9 + size) break;
    const std::uint32_t stream =
        (byte(at + 5) << 24 | byte(at + 6) << 16 | byte(at + 7) << 8 | byte(at + 8)) & 0x7fffffff;
    frames.push_back({static_cast<std::uint8_t>(byte(at + 3)),
                      static_cast<std::uint8_t>(byte(at + 4)), stream, bytes.substr(at + 9, size)});
    at += 9 + size;
  }
  bytes.erase(0, at);
  return frames;
}

Inflater::Inflater() {
  nghttp2_hd_inflater* made = nullptr;
  nghttp2_hd_inflate_new(&made);
  inflater_ = made;
}

Inflater::~Inflater() {
  nghttp2_hd_inflate_del(static_cast<nghttp2_hd_inflater*>(inflater_));
}

void Inflater::allow(std::size_t table_size) {
  nghttp2_hd_inflate_change_table_size(static_cast<nghttp2_hd_inflater*>(inflater_), table_size);
}

FieldList Inflater::decode(std::string_view block) {
  auto* inflater = static_cast<nghttp2_hd_inflater*>(inflater_);
  FieldList fields;
  for (;;) {
    nghttp2_nv nv;
    int flags = 0;
    const ssize_t used = nghttp2_hd_inflate_hd2(inflater, &nv, &flags,
                                                reinterpret_cast<const std::uint8_t*>(block.data()),
                                                block.size(), 1);
    if (used < 0) {
      failed_ = true;
      return {};
    }
    block.remove_prefix(static_cast<std::size_t>(used));
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
      fields.emplace_back(std::string(reinterpret_cast<const char*>(nv.name), nv.namelen),
                          std::string(reinterpret_cast<const char*>(nv.value), nv.valuelen));
    }
    if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 && block.empty()) break;
  }
  nghttp2_hd_inflate_end_headers(inflater);
  return fields;
}

Deflater::Deflater(std::size_t table_size) {
  nghttp2_hd_deflater* made = nullptr;
  nghttp2_hd_deflate_new(&made, table_size);
  deflater_ = made;
}

Deflater::~Deflater() {
  nghttp2_hd_deflate_del(static_cast<nghttp2_hd_deflater*>(deflater_));
}

void Deflater::resize(std::size_t table_size) {
  nghttp2_hd_deflate_change_table_size(static_cast<nghttp2_hd_deflater*>(deflater_), table_size);
}

std::string Deflater::encode(const FieldList& fields) {
  const auto bytes = [](const std::string& text) {
    return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
  };
  std::vector<nghttp2_nv> list;
  for (const auto& [name, value] : fields) {
    list.push_back({bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
  }
  auto* deflater = static_cast<nghttp2_hd_deflater*>(deflater_);
  std::string block(nghttp2_hd_deflate_bound(deflater, list.data(), list.size()), '\0');
  const ssize_t size =
      nghttp2_hd_deflate_hd(deflater, bytes(block), block.size(), list.data(), list.size());
  block.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  return block;
}

}  // namespace outrigger::http::h2
