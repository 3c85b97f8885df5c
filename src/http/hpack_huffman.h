#pragma once

// HPACK's Huffman code (RFC 7541 section 5.2 and appendix B), the decoding half: what we send is
// not coded, see hpack_encoder.h. Pure.

#include <cstddef>
#include <optional>
#include <string_view>

namespace outrigger::http {

// The most that so many coded bytes can become: the shortest code has five bits.
constexpr std::size_t huffman_decoded_max(std::size_t coded) {
  return coded * 8 / 5;
}

// Writes the text behind `coded` to `to`, which has room for huffman_decoded_max() bytes; returns
// its size. Nothing: the code for the end in it, or padding that is not the shortest one of ones.
std::optional<std::size_t> huffman_decode(std::string_view coded, char* to);

}  // namespace outrigger::http
