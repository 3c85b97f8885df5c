#include "proxy/head_rules.h"

#include <array>
#include <charconv>
#include <cstdint>

namespace outrigger::proxy {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";
constexpr std::string_view untraced_suffix = "-00";
constexpr std::size_t traceparent_size = 55;
constexpr std::string_view own_prefix = "x-outrigger-";

char* put_hex(char* to, std::uint64_t value) {
  for (int shift = 60; shift >= 0; shift -= 4) *to++ = hex_digits[(value >> shift) & 0xf];
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
  const std::string_view before = context.trusted_proxy ? head.fields.value(http::Known::x_forwarded_for) : std::string_view();
  const std::string_view chain =
      before.empty() ? context.peer_address : head.arena->concat(before, ", ", context.peer_address);
  head.fields.set(http::Known::x_forwarded_for, chain);
  if (!context.trusted_proxy || !head.fields.has(http::Known::x_forwarded_proto)) {
    head.fields.set(http::Known::x_forwarded_proto, context.peer_secure ? "https" : "http");
  }
  if (!context.trusted_proxy || !head.fields.has(http::Known::x_forwarded_host)) {
    head.fields.set(http::Known::x_forwarded_host, head.authority);
  }
  strip_identity(head);
  if (!context.client_cert.empty()) head.fields.add(http::Known::x_forwarded_client_cert, context.client_cert);
}

void strip_identity(http::Head& head) {
  head.fields.remove(http::Known::x_forwarded_client_cert);
  strip_own(head);
}

void strip_own(http::Head& head) {
  for (std::size_t i = 0; i < head.fields.size();) {
    const http::Field& field = head.fields.begin()[i];
    const bool own = field.name.size() > own_prefix.size() && field.known != http::Known::x_outrigger_deadline_ms &&
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
  std::array<char, 32> digits{};
  put_hex(put_hex(digits.data(), random.next()), random.next());
  digits[12] = '4';
  digits[16] = hex_digits[8 + (random.next() & 3)];
  constexpr std::size_t size = 36;
  char* text = static_cast<char*>(head.arena->allocate(size, 1));
  char* to = text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i == 8 || i == 12 || i == 16 || i == 20) *to++ = '-';
    *to++ = digits[i];
  }
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
