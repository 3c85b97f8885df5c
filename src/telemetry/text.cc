#include "telemetry/text.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace outrigger::telemetry {
namespace {

// REQUIRES: `text` begins with a well-formed sequence.
bool begins_with_control(std::string_view text) {
  const auto byte = static_cast<unsigned char>(text.front());
  return byte < 0x20 || byte == 0x7f || is_c1_control(text);
}

}  // namespace

void append_label_value(std::string& out, std::string_view text) {
  while (!text.empty()) {
    std::size_t length = 1;
    if (const char c = text.front(); c == '\\' || c == '"') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (length = utf8_length(text); length > 0 && !begins_with_control(text)) {
      out.append(text.substr(0, length));
    } else {
      length = std::max<std::size_t>(length, 1);
      out += "\xef\xbf\xbd";
    }
    text.remove_prefix(length);
  }
}

void append_number(std::string& out, double value) {
  constexpr double exact_max = 9007199254740992.0;  // 2^53
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else if (std::abs(value) < exact_max && value == std::floor(value)) {
    append_integer(out, static_cast<std::int64_t>(value));
  } else {
    // The shorter of the two forms would be "5e-04"; people and dashboards expect "0.0005".
    const bool plain = std::abs(value) >= 1e-6 && std::abs(value) < exact_max;
    std::array<char, 48> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value,
                                   plain ? std::chars_format::fixed : std::chars_format::scientific)
                         .ptr;
    out.append(digits.data(), static_cast<std::size_t>(end - digits.data()));
  }
}

}  // namespace outrigger::telemetry
