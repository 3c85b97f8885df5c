#pragma once

// Escaping for what telemetry writes: JSON strings, label values, log fields. Input is any bytes;
// an output never contains a raw control character, and is valid UTF-8 where the format asks for
// it. `Out` is a std::string or anything else with append(data, size) and push_back(char).

#include <array>
#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>

#include "base/utf8.h"

namespace outrigger::telemetry {

template <typename Out>
void append_text(Out& out, std::string_view text) {
  out.append(text.data(), text.size());
}

template <typename Out>
void append_hex_byte(Out& out, unsigned char byte) {
  constexpr std::string_view digits = "0123456789abcdef";
  out.push_back(digits[byte >> 4]);
  out.push_back(digits[byte & 15]);
}

// The inside of a JSON string, without its quotes. What is not UTF-8 becomes U+FFFD.
template <typename Out>
void append_json_escaped(Out& out, std::string_view text) {
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text.front());
    std::size_t length = 1;
    if (byte == '"' || byte == '\\') {
      out.push_back('\\');
      out.push_back(text.front());
    } else if (byte < 0x20 || byte == 0x7f) {
      append_text(out, "\\u00");
      append_hex_byte(out, byte);
    } else if (byte < 0x80) {
      while (length < text.size() && text[length] >= 0x20 && text[length] < 0x7f &&
             text[length] != '"' && text[length] != '\\') {
        ++length;
      }
      append_text(out, text.substr(0, length));
    } else if (is_c1_control(text)) {
      length = 2;
      append_text(out, "\\u00");
      append_hex_byte(out, static_cast<unsigned char>(text[1]));
    } else if (length = utf8_length(text); length > 0) {
      append_text(out, text.substr(0, length));
    } else {
      length = 1;
      append_text(out, "\\ufffd");
    }
    text.remove_prefix(length);
  }
}

template <typename Out>
void append_json_string(Out& out, std::string_view text) {
  out.push_back('"');
  append_json_escaped(out, text);
  out.push_back('"');
}

// Printable ASCII as it is, quotes and backslashes with a backslash, all else as \xHH: nothing that
// a caller sends can begin a new line or steer a terminal.
template <typename Out>
void append_plain_escaped(Out& out, std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == '"' || byte == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (byte >= 0x20 && byte < 0x7f) {
      out.push_back(c);
    } else {
      append_text(out, "\\x");
      append_hex_byte(out, byte);
    }
  }
}

template <typename Out, typename Integer>
void append_integer(Out& out, Integer value) {
  std::array<char, 24> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  out.append(digits.data(), static_cast<std::size_t>(end - digits.data()));
}

// A label value of the Prometheus formats, without its quotes: backslash, quote and newline are
// escaped, other control characters and what is not UTF-8 become U+FFFD.
void append_label_value(std::string& out, std::string_view text);
// A sample's value: "NaN", "+Inf", or as few digits as read back the same, without exponent where
// the number is neither huge nor tiny.
void append_number(std::string& out, double value);

}  // namespace outrigger::telemetry
