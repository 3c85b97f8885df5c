#include "http/hpack_huffman.h"

#include <array>
#include <cstdint>

namespace outrigger::http {
namespace {

// Bits of each byte's code, and of the end's. The code is canonical: codes of one length follow
// each other in the order of their bytes, and longer ones follow shorter ones, so that the lengths
// are all there is to it.
constexpr std::array<std::uint8_t, 257> code_bits{{
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6,  10, 10, 12, 13, 6,  8,  11, 10, 10, 8,  11, 8,  6,  6,  6,
    5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8,  15, 6,  12, 10, 13, 6,  7,  7,  7,  7,  7,  7,
    7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8,  13, 19, 13, 14, 6,
    15, 5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,  6,  7,  6,  5,  5,  6,  7,  7,
    7,  7,  7,  15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
}};
constexpr std::uint16_t end_symbol = 256;
constexpr unsigned short_bits = 8;
constexpr unsigned longest = 30;

struct Code {
  struct Short {
    std::uint8_t symbol = 0;
    std::uint8_t bits = 0;  // 0: a longer one
  };
  std::array<Short, 1U << short_bits> by_first_byte{};
  // Of each length: where its codes end when 32 bits are looked at, its first code, and where its
  // symbols begin.
  std::array<std::uint64_t, longest + 1> limit{};
  std::array<std::uint32_t, longest + 1> first{};
  std::array<std::uint16_t, longest + 1> begin{};
  std::array<std::uint16_t, 257> symbols{};
};

constexpr Code code = [] {
  Code c;
  std::uint32_t next = 0;
  std::uint16_t count = 0;
  for (unsigned bits = 1; bits <= longest; ++bits) {
    next <<= 1;
    c.first[bits] = next;
    c.begin[bits] = count;
    for (std::size_t symbol = 0; symbol < code_bits.size(); ++symbol) {
      if (code_bits[symbol] != bits) continue;
      c.symbols[count++] = static_cast<std::uint16_t>(symbol);
      if (bits <= short_bits) {
        const std::uint32_t from = next << (short_bits - bits);
        const std::uint32_t to = (next + 1) << (short_bits - bits);
        for (std::uint32_t i = from; i < to; ++i)
          c.by_first_byte[i] = {static_cast<std::uint8_t>(symbol), static_cast<std::uint8_t>(bits)};
      }
      ++next;
    }
    c.limit[bits] = std::uint64_t{next} << (32 - bits);
  }
  return c;
}();

}  // namespace

std::optional<std::size_t> huffman_decode(std::string_view coded, char* to) {
  char* const begin = to;
  std::uint64_t held = 0;  // its lowest `count` bits are still to be decoded
  unsigned count = 0;
  std::size_t at = 0;
  for (;;) {
    while (count <= 56 && at < coded.size()) {
      held = held << 8 | static_cast<unsigned char>(coded[at++]);
      count += 8;
    }
    if (count == 0) return static_cast<std::size_t>(to - begin);
    // The next 32 bits; behind the end there are ones, as there are in the padding.
    const auto window = static_cast<std::uint32_t>(
        count >= 32 ? held >> (count - 32) : held << (32 - count) | ((1ULL << (32 - count)) - 1));
    const Code::Short first = code.by_first_byte[window >> 24];
    if (first.bits != 0 && first.bits <= count) {
      *to++ = static_cast<char>(first.symbol);
      count -= first.bits;
      continue;
    }
    if (count < 8) {
      if (window != 0xffffffff) return {};
      return static_cast<std::size_t>(to - begin);
    }
    unsigned bits = short_bits + 1;
    while (bits < longest && window >= code.limit[bits]) ++bits;
    if (bits > count) return {};
    const std::uint16_t symbol =
        code.symbols[code.begin[bits] + ((window >> (32 - bits)) - code.first[bits])];
    if (symbol == end_symbol) return {};
    *to++ = static_cast<char>(symbol);
    count -= bits;
  }
}

}  // namespace outrigger::http
