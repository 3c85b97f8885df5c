#pragma once

// "10.0.0.0/8", "fd00::/8" or a single address: a set of IP addresses. A plain value.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace outrigger::proxy {

class Cidr {
 public:
  static Result<Cidr> parse(std::string_view text);
  // `address`: an IP literal without a port. An IPv4 address mapped into IPv6 counts as IPv4.
  bool contains(std::string_view address) const;

 private:
  std::array<std::uint8_t, 16> bytes_{};
  int bits_ = 0;
  int family_ = 0;
};

}  // namespace outrigger::proxy
