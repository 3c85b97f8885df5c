#include "proxy/cidr.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstring>

namespace outrigger::proxy {
namespace {

constexpr std::array<std::uint8_t, 12> mapped_prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// AF_INET, AF_INET6, or 0 when it is no address.
int parse_address(std::string_view text, std::array<std::uint8_t, 16>& out) {
  const std::string copy(text);
  if (inet_pton(AF_INET, copy.c_str(), out.data()) == 1) return AF_INET;
  if (inet_pton(AF_INET6, copy.c_str(), out.data()) != 1) return 0;
  if (std::memcmp(out.data(), mapped_prefix.data(), mapped_prefix.size()) != 0) return AF_INET6;
  std::memmove(out.data(), out.data() + mapped_prefix.size(), 4);
  return AF_INET;
}

}  // namespace

Result<Cidr> Cidr::parse(std::string_view text) {
  Cidr result;
  const std::size_t slash = text.find('/');
  result.family_ = parse_address(text.substr(0, slash), result.bytes_);
  const Error wrong{"'" + std::string(text) +
                    "' is not an address or network; write 10.0.0.7 or 10.0.0.0/8"};
  if (result.family_ == 0) return wrong;
  const int bits_max = result.family_ == AF_INET ? 32 : 128;
  result.bits_ = bits_max;
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    const auto [end, code] =
        std::from_chars(digits.data(), digits.data() + digits.size(), result.bits_);
    if (code != std::errc() || end != digits.data() + digits.size() || digits.empty()) return wrong;
    if (result.bits_ < 0 || result.bits_ > bits_max) return wrong;
  }
  return result;
}

bool Cidr::contains(std::string_view address) const {
  std::array<std::uint8_t, 16> other{};
  if (parse_address(address, other) != family_) return false;
  const auto whole = static_cast<std::size_t>(bits_ / 8);
  if (std::memcmp(bytes_.data(), other.data(), whole) != 0) return false;
  const int rest = bits_ % 8;
  if (rest == 0) return true;
  const int shift = 8 - rest;
  return bytes_[whole] >> shift == other[whole] >> shift;
}

}  // namespace outrigger::proxy
