#pragma once

// Digests and base64 for what is no encryption: the WebSocket handshake, x-forwarded-client-cert,
// gRPC's binary fields. Any thread.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace outrigger::tls {

using Sha1 = std::array<std::uint8_t, 20>;
using Sha256 = std::array<std::uint8_t, 32>;

Sha1 sha1(std::string_view bytes);
Sha256 sha256(std::string_view bytes);
// Lower-case hexadecimal.
std::string hex(std::string_view bytes);
std::string sha256_hex(std::string_view bytes);

// RFC 4648, section 4, with padding.
std::string base64_encode(std::string_view bytes);
// The inverse, strict: nullopt for a foreign character, wrong or missing padding, bits that no
// encoder leaves set. With `padding_optional` the padding may be left out as a whole (gRPC's -bin
// fields).
std::optional<std::string> base64_decode(std::string_view text, bool padding_optional = false);

template <std::size_t n>
std::string_view bytes_of(const std::array<std::uint8_t, n>& digest) {
  return {reinterpret_cast<const char*>(digest.data()), n};
}

}  // namespace outrigger::tls
