#pragma once

// Classes of bytes and fast scans over them: sixteen at a time with SSSE3, one at a time elsewhere.
// A scan returns the first byte that is not of the class, or `end`; it never reads beyond `end`.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSSE3__)
#include <tmmintrin.h>
#endif

namespace outrigger::http::bytes {

using Class = std::array<bool, 256>;

template <typename Predicate>
constexpr Class make_class(Predicate belongs) {
  Class c{};
  for (int i = 0; i < 256; ++i) c[static_cast<std::size_t>(i)] = belongs(i);
  return c;
}

constexpr bool is_alphanumeric(int c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// RFC 9110 section 5.6.2.
inline constexpr Class token = make_class([](int c) {
  switch (c) {
    case '!':
    case '#':
    case '$':
    case '%':
    case '&':
    case '\'':
    case '*':
    case '+':
    case '-':
    case '.':
    case '^':
    case '_':
    case '`':
    case '|':
    case '~':
      return true;
    default:
      return is_alphanumeric(c);
  }
});

// What a field's name consists of in HTTP/2 (RFC 9113 section 8.2.1).
inline constexpr Class lower_token =
    make_class([](int c) { return token[static_cast<std::size_t>(c)] && !(c >= 'A' && c <= 'Z'); });
// What a field's value is made of: blanks, visible bytes, and bytes above 127.
inline constexpr Class value =
    make_class([](int c) { return c == '\t' || (c >= ' ' && c != 0x7f); });
// What a target is made of: visible bytes but '#', and bytes above 127, which clients send raw.
inline constexpr Class target = make_class([](int c) { return c > ' ' && c != 0x7f && c != '#'; });

// All but '_', which CGI takes for '-'.
inline constexpr Class no_underscore = make_class([](int c) { return c != '_'; });

inline bool has(const Class& c, char byte) {
  return c[static_cast<unsigned char>(byte)];
}

#if defined(__SSSE3__)

// A bit for each of the sixteen bytes that is not of the class.
template <const Class& members>
unsigned outside(__m128i block) {
  if constexpr (members == value) {
    const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1f)), block);
    const __m128i bad =
        _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('\t')), control),
                     _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7f)));
    return static_cast<unsigned>(_mm_movemask_epi8(bad));
  } else if constexpr (members == no_underscore) {
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(block, _mm_set1_epi8('_'))));
  } else if constexpr (members == target) {
    const __m128i blank = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(' ')), block);
    const __m128i bad = _mm_or_si128(_mm_or_si128(blank, _mm_cmpeq_epi8(block, _mm_set1_epi8('#'))),
                                     _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7f)));
    return static_cast<unsigned>(_mm_movemask_epi8(bad));
  } else {
    // ASCII classes: the low nibble picks a row of eight bits, the high nibble one of them; bytes
    // above 127 pick none.
    struct Table {
      alignas(16) std::array<std::uint8_t, 16> row{};
      alignas(16) std::array<std::uint8_t, 16> bit{};
    };
    static constexpr Table table = [] {
      Table t;
      for (std::size_t c = 0; c < 128; ++c) {
        if (members[c]) t.row[c & 15] = static_cast<std::uint8_t>(t.row[c & 15] | (1U << (c >> 4)));
      }
      for (std::size_t high = 0; high < 8; ++high)
        t.bit[high] = static_cast<std::uint8_t>(1U << high);
      return t;
    }();
    const __m128i nibble = _mm_set1_epi8(15);
    const __m128i rows =
        _mm_shuffle_epi8(_mm_load_si128(reinterpret_cast<const __m128i*>(table.row.data())),
                         _mm_and_si128(block, nibble));
    const __m128i bits =
        _mm_shuffle_epi8(_mm_load_si128(reinterpret_cast<const __m128i*>(table.bit.data())),
                         _mm_and_si128(_mm_srli_epi16(block, 4), nibble));
    const __m128i none = _mm_cmpeq_epi8(_mm_and_si128(rows, bits), _mm_setzero_si128());
    return static_cast<unsigned>(_mm_movemask_epi8(none));
  }
}

#endif

template <const Class& members>
const char* scan(const char* at, const char* end) {
#if defined(__SSSE3__)
  for (; end - at >= 16; at += 16) {
    const unsigned bad = outside<members>(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
    if (bad != 0) return at + std::countr_zero(bad);
  }
#endif
  while (at != end && has(members, *at)) ++at;
  return at;
}

// Whether all bytes are of the class; short texts are loaded as two overlapping words.
template <const Class& members>
bool all(const char* at, std::size_t size) {
#if defined(__SSSE3__)
  const auto word = [](const char* from) {
    long long w;
    std::memcpy(&w, from, sizeof(w));
    return w;
  };
  if (size >= 16) {
    const char* last = at + size - 16;
    for (; at < last; at += 16) {
      if (outside<members>(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at))) != 0)
        return false;
    }
    return outside<members>(_mm_loadu_si128(reinterpret_cast<const __m128i*>(last))) == 0;
  }
  if (size >= 8) {
    return outside<members>(_mm_set_epi64x(word(at + size - 8), word(at))) == 0;
  }
#endif
  for (std::size_t i = 0; i < size; ++i) {
    if (!has(members, at[i])) return false;
  }
  return true;
}

}  // namespace outrigger::http::bytes
