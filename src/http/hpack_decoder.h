#pragma once

// HPACK (RFC 7541), the decoder of one HTTP/2 connection: yields the fields of a complete block one
// by one. Every block of the connection must be decoded, in order and to its end, to keep the table
// in step with the peer's. Owned by its session; one thread.
//
//   decoder.begin(block);
//   while (decoder.next(field) == HpackDecoder::Step::field) …   // views live until the next call
//
// After `malformed` the connection is lost: COMPRESSION_ERROR (RFC 9113 section 4.3).

#include <cstdint>
#include <string_view>

#include "http/hpack_table.h"

namespace outrigger::http {

class HpackDecoder {
 public:
  enum class Step : std::uint8_t { field, end, malformed };

  explicit HpackDecoder(H2Memory& memory) : table_(memory) {}
  HpackDecoder(const HpackDecoder&) = delete;
  HpackDecoder& operator=(const HpackDecoder&) = delete;
  ~HpackDecoder() { drop_held(); }

  // `block` outlives the decoding.
  void begin(std::string_view block);
  Step next(HpackField& field);

  // For tests.
  std::uint32_t entries() const { return table_.count(); }
  std::uint32_t table_size() const { return table_.used(); }

 private:
  // A string as it stands in the block.
  struct Text {
    std::string_view bytes;
    bool coded = false;
    std::size_t size_max() const;
    // Writes it out; false when its code is broken.
    bool put(char* to, std::uint32_t& size) const;
  };

  bool indexed(HpackField& field);
  bool literal(HpackField& field);
  bool resize();
  bool look_up(std::uint32_t index, HpackField& field);
  bool take_integer(unsigned bits, std::uint32_t& value);
  bool take_text(Text& text);
  void drop_held();

  HpackTable table_;
  std::string_view rest_;
  HpackTable::Entry* held_ = nullptr;  // what the last field's views look at, if it is in no table
  std::uint32_t size_ = HpackTable::size_default;  // the peer's choice
  bool fields_begun_ = false;
};

}  // namespace outrigger::http
