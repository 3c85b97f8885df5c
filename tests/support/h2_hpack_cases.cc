#include "support/h2_cases.h"
#include "support/h2_frames.h"

namespace outrigger::http::h2 {
namespace {

// "custom-key" and "custom-value", Huffman-coded as RFC 7541 appendix C.4.3 shows them.
const std::string huffman_name = "\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f";
const std::string huffman_value = "\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf";
constexpr std::uint64_t user_agent = 58;

void add_representation(std::vector<HpackPiece>& to, const std::string& name, int prefix_bits,
                        std::uint8_t first) {
  const std::string indexed_name = integer(user_agent, prefix_bits, first);
  const std::string new_name(1, static_cast<char>(first));
  to.push_back({name + ", indexed name", indexed_name + text("a")});
  to.push_back({name + ", indexed name, Huffman", indexed_name + huffman_value});
  to.push_back({name + ", new name", new_name + text("custom-key") + text("custom-value")});
  to.push_back({name + ", new name, Huffman", new_name + huffman_name + huffman_value});
}

}  // namespace

const std::vector<HpackPiece>& hpack_fields() {
  static const std::vector<HpackPiece> all = [] {
    std::vector<HpackPiece> pieces;
    add_representation(pieces, "6.2.1 added", 6, 0x40);
    add_representation(pieces, "6.2.2 not added", 4, 0x00);
    add_representation(pieces, "6.2.3 never added", 4, 0x10);
    return pieces;
  }();
  return all;
}

const std::vector<HpackPiece>& hpack_errors() {
  static const std::vector<HpackPiece> all = {
      {"2.3.3 an index beyond the tables", indexed(70)},
      {"2.3.3 a name's index beyond the tables", integer(70, 4, 0) + text("x")},
      {"2.3.3 the first index of an empty table", indexed(62)},
      {"4.2 a size update behind fields", table_size(1)},
      {"5.1 an integer without end", std::string(12, '\xff')},
      {"5.1 a length beyond the block", std::string("\x00\x7f\xff\x7f", 4)},
      {"5.2 Huffman padding of more than 7 bits",
       std::string("\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff", 12)},
      {"5.2 Huffman padding of zeros",
       std::string("\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90", 11)},
      {"5.2 Huffman with EOS",
       std::string("\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f", 15)},
      {"6.1 index 0", indexed(0)},
      {"6.2 half a field", std::string("\x00\x03x", 3)},
  };
  return all;
}

}  // namespace outrigger::http::h2
