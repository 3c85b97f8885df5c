#include "proxy/head_rules.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>

namespace outrigger::proxy {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";
constexpr std::string_view untraced_suffix = "-00";
constexpr std::size_t traceparent_size = 55;
constexpr std::string_view own_prefix = "x-outrigger-";

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

// Non-zero, as the trace context demands.
std::uint64_t nonzero(Random& random) {
  std::uint64_t value = random.next();
  while (value == 0) value = random.next();
  return value;
}

}  // namespace

void set_forwarded(const HeadContext& context) {
  http::Head& head = context.head;
  const std::string_view before =
      context.trusted_proxy ? head.fields.value(http::Known::x_forwarded_for) : std::string_view();
  const std::string_view chain = before.empty()
                                     ? context.peer_address
                                     : head.arena->concat(before, ", ", context.peer_address);
  head.fields.set(http::Known::x_forwarded_for, chain);
  if (!context.trusted_proxy || !head.fields.has(http::Known::x_forwarded_proto)) {
    head.fields.set(http::Known::x_forwarded_proto, context.peer_secure ? "https" : "http");
  }
  if (!context.trusted_proxy || !head.fields.has(http::Known::x_forwarded_host)) {
    head.fields.set(http::Known::x_forwarded_host, head.authority);
  }
  strip_identity(head);
  if (!context.client_cert.empty())
    head.fields.add(http::Known::x_forwarded_client_cert, context.client_cert);
}

void strip_identity(http::Head& head) {
  head.fields.remove(http::Known::x_forwarded_client_cert);
  strip_own(head);
}

void strip_own(http::Head& head) {
  for (std::size_t i = 0; i < head.fields.size();) {
    const http::Field& field = head.fields.begin()[i];
    const bool own = field.name.size() > own_prefix.size() &&
                     field.known != http::Known::x_outrigger_deadline_ms &&
                     http::equal_ignoring_case(field.name.substr(0, own_prefix.size()), own_prefix);
    if (own) {
      head.fields.remove(field.name);
    } else {
      ++i;
    }
  }
}

std::string_view ensure_request_id(http::Head& head, Random& random) {
  const std::string_view present = head.fields.value(http::Known::x_request_id);
  if (!present.empty()) return present;
  // A UUID of version 4 (RFC 9562): the version's four bits and the variant's two are fixed.
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

void ensure_traceparent(http::Head& head, Random& random) {
  if (head.fields.has(http::Known::traceparent)) return;
  char* text = static_cast<char*>(head.arena->allocate(traceparent_size, 1));
  text[0] = text[1] = '0';
  text[2] = '-';
  char* to = put_hex(put_hex(text + 3, nonzero(random)), random.next());
  *to++ = '-';
  to = put_hex(to, nonzero(random));
  untraced_suffix.copy(to, untraced_suffix.size());
  head.fields.add(http::Known::traceparent, {text, traceparent_size});
}

std::string_view trace_id_of(const http::Head& head) {
  const std::string_view value = head.fields.value(http::Known::traceparent);
  if (value.size() < traceparent_size || value[2] != '-' || value[35] != '-') return {};
  return value.substr(3, 32);
}

int grpc_status_of(const http::Fields& fields) {
  const std::string_view text = fields.value(http::Known::grpc_status);
  int status = -1;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), status);
  return code == std::errc() && end == text.data() + text.size() && status >= 0 ? status : -1;
}

}  // namespace outrigger::proxy
