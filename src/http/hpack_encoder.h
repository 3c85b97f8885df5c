#pragma once

// HPACK (RFC 7541), the encoder of one HTTP/2 connection. It writes into the caller's memory; a
// block's fields must reach the peer in the order in which they were written, since the peer's
// table depends on it. Owned by its session; one thread.
//
//   to = encoder.begin(to);                   // at the start of each block
//   to = encoder.indexed(to, 8);              // :status 200, by its index in the static table
//   to = encoder.field(to, "server", "nginx", …);   // REQUIRES: the name in lower case
//
// Values are not Huffman-coded: ids that differ from request to request would cost both sides more
// instructions than all other fields together, to save a third of their bytes; repeated fields take
// one byte anyway.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "http/hpack_table.h"

namespace outrigger::http {

class HpackEncoder {
 public:
  // What begin() and a field write at the most, beside the field's text.
  static constexpr std::size_t begin_max = 12;
  static constexpr std::size_t field_max = 18;

  enum class Indexing : std::uint8_t {
    add,    // the peer shall remember it
    none,   // it differs each time; only its name is remembered
    never,  // a secret: no table on the way may hold it (section 7.1.3)
  };

  explicit HpackEncoder(H2Memory& memory) : table_(memory) {}
  HpackEncoder(const HpackEncoder&) = delete;
  HpackEncoder& operator=(const HpackEncoder&) = delete;

  // The peer's SETTINGS_HEADER_TABLE_SIZE; no more than the default is used. The next block
  // says so.
  void peer_allows(std::uint32_t table_size);

  char* begin(char* to);
  char* indexed(char* to, unsigned static_index);
  char* field(char* to, std::string_view name, std::string_view value, Indexing indexing);

  // For tests.
  std::size_t entries() const { return table_.count(); }
  std::uint32_t table_size() const { return table_.used(); }

 private:
  static constexpr std::uint64_t nowhere = ~0ULL;

  unsigned index_of(std::uint64_t number) const;
  std::uint64_t find(std::string_view name, std::string_view value, std::uint32_t hash);
  unsigned find_name(std::string_view name, std::uint32_t name_hash);
  void insert(std::string_view name, std::string_view value, std::uint32_t hash,
              std::uint32_t name_hash);

  HpackTable table_;
  std::uint64_t expected_ = 0;  // blocks repeat: what follows the last match is tried first
  std::uint32_t allowed_ = HpackTable::size_default;
  std::uint32_t lowest_ = HpackTable::size_default;  // since the last block
  bool resized_ = false;
};

}  // namespace outrigger::http
