#pragma once

// Text to values: the units and notations of the configuration language. Pure functions; an Error
// says what is wrong and how to write it.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "config/model.h"

namespace outrigger::config {

// "250ms", "1.5s", "10m", "72h". A bare number has no unit and is an error; so is what is finer
// than a millisecond or longer than ten years.
Result<Millis> parse_duration(std::string_view text);
std::string show_duration(Millis value);

// "512B", "64KiB", "1.5MiB", "2GiB"; at most 1 PiB.
Result<std::uint64_t> parse_size(std::string_view text);
std::string show_size(std::uint64_t bytes);

// "5%", "0.1%" as hundredths of a percent (500, 10); 0% to 100%, no finer than 0.01%.
Result<std::uint32_t> parse_percent(std::string_view text);
std::string show_percent(std::uint32_t hundredths);

// "500/s", "30/m", "1000/h" as a count in a period.
struct Rate {
  std::uint64_t count = 0;
  Millis period{1000};
  bool operator==(const Rate&) const = default;
};
Result<Rate> parse_rate(std::string_view text);

// Decimal digits only: no sign, no leading zero, no separators.
Result<std::uint64_t> parse_integer(std::string_view text, std::uint64_t least, std::uint64_t most);

// "true" or "false", nothing else.
Result<bool> parse_bool(std::string_view text);

// Addresses to dial may be names and need a port; addresses to listen on are IP addresses, and port
// 0 lets the system choose.
enum class AddressUse { dial, listen };
// "10.0.0.7:15006", "[::1]:80", "orders.internal:80" or "unix:/run/app.sock".
Result<Address> parse_address(std::string_view text, AddressUse use = AddressUse::dial);

// "10.0.0.0/8", "::1" …: returned as given when it is an address or a CIDR.
Result<std::string> parse_cidr(std::string_view text);

// Whether an address can only be reached from this machine.
bool is_loopback(const Address& address);

}  // namespace outrigger::config
