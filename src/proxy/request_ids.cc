#include "proxy/request_ids.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__SSSE3__)
#include <tmmintrin.h>
#endif

namespace outrigger::proxy {
namespace {

// 00-<32 digits: trace>-<16: parent>-<2: flags>
constexpr std::size_t traceparent_size = 55;
constexpr std::size_t trace_at = 3;
constexpr std::size_t trace_size = 32;
constexpr std::size_t parent_at = 36;
constexpr std::size_t parent_size = 16;
constexpr std::string_view untraced_suffix = "-00";
constexpr std::string_view hex_digits = "0123456789abcdef";

#if defined(__SSSE3__)

// Sixteen digits, all at once.
char* put_hex(char* to, std::uint64_t value) {
  alignas(16) static constexpr std::array<char, 16> digits = [] {
    std::array<char, 16> each{};
    for (std::size_t i = 0; i < each.size(); ++i) each[i] = hex_digits[i];
    return each;
  }();
  const std::uint64_t first_first = __builtin_bswap64(value);
  const __m128i low = _mm_cvtsi64_si128(static_cast<long long>(first_first));
  const __m128i high = _mm_srli_epi64(low, 4);
  const __m128i nibbles =
      _mm_and_si128(_mm_unpacklo_epi8(high, low), _mm_set1_epi8(15));  // of a byte, the high first
  _mm_storeu_si128(
      reinterpret_cast<__m128i*>(to),
      _mm_shuffle_epi8(_mm_load_si128(reinterpret_cast<const __m128i*>(digits.data())), nibbles));
  return to + 16;
}

#else

// Both digits of each byte.
constexpr auto hex_pairs = [] {
  std::array<std::array<char, 2>, 256> pairs{};
  for (std::size_t i = 0; i < pairs.size(); ++i)
    pairs[i] = {hex_digits[i >> 4], hex_digits[i & 15]};
  return pairs;
}();

char* put_hex(char* to, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8, to += 2)
    std::memcpy(to, hex_pairs[(value >> shift) & 0xff].data(), 2);
  return to;
}

#endif

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool is_zero(std::string_view id) {
  return id.find_first_not_of('0') == id.npos;
}

// Non-zero, as the trace context demands.
std::uint64_t nonzero(Random& random) {
  std::uint64_t value = random.next();
  while (value == 0) value = random.next();
  return value;
}

}  // namespace

std::string_view ensure_request_id(http::Head& head, Random& random) {
  const std::string_view present = head.fields.value(http::Known::x_request_id);
  if (!present.empty()) return present;
  // The version's four bits and the variant's two are fixed.
  std::array<char, 32> digits;
  put_hex(digits.data(), (random.next() & 0xffffffffffff0fffULL) | 0x4000);
  put_hex(digits.data() + 16, (random.next() & 0x3fffffffffffffffULL) | 0x8000000000000000ULL);
  constexpr std::size_t size = 36;
  char* text = static_cast<char*>(head.arena->allocate(size, 1));
  std::memcpy(text, digits.data(), 8);
  std::memcpy(text + 9, digits.data() + 8, 4);
  std::memcpy(text + 14, digits.data() + 12, 4);
  std::memcpy(text + 19, digits.data() + 16, 4);
  std::memcpy(text + 24, digits.data() + 20, 12);
  text[8] = text[13] = text[18] = text[23] = '-';
  const std::string_view id(text, size);
  head.fields.add(http::Known::x_request_id, id);
  return id;
}

bool is_traceparent(std::string_view value) {
  if (value.size() < traceparent_size) return false;
  for (std::size_t i = 0; i < traceparent_size; ++i) {
    const bool dash = i == trace_at - 1 || i == parent_at - 1 || i == parent_at + parent_size;
    if (dash ? value[i] != '-' : !is_hex(value[i])) return false;
  }
  if (value.starts_with("ff")) return false;
  const bool longer = value.size() > traceparent_size;
  if (longer && (value.starts_with("00") || value[traceparent_size] != '-')) return false;
  return !is_zero(value.substr(trace_at, trace_size)) &&
         !is_zero(value.substr(parent_at, parent_size));
}

void ensure_traceparent(http::Head& head, Random& random) {
  if (const http::Field* present = head.fields.find(http::Known::traceparent)) {
    const bool alone = std::none_of(present + 1, std::as_const(head.fields).end(), [](auto& field) {
      return field.known == http::Known::traceparent;
    });
    if (alone && is_traceparent(present->value)) return;
    head.fields.remove(http::Known::traceparent);
  }
  if (head.fields.has(http::Known::tracestate)) head.fields.remove(http::Known::tracestate);
  char* text = static_cast<char*>(head.arena->allocate(traceparent_size, 1));
  text[0] = text[1] = '0';
  text[2] = '-';
  char* to = put_hex(text + trace_at, nonzero(random));
  to = put_hex(to, random.next());
  *to++ = '-';
  to = put_hex(to, nonzero(random));
  untraced_suffix.copy(to, untraced_suffix.size());
  head.fields.add(http::Known::traceparent, {text, traceparent_size});
}

std::string_view trace_id_of(const http::Head& head) {
  const std::string_view value = head.fields.value(http::Known::traceparent);
  return is_traceparent(value) ? value.substr(trace_at, trace_size) : std::string_view{};
}

}  // namespace outrigger::proxy
