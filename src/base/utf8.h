#pragma once

// Text from outside that people read: well-formed UTF-8, and without what moves a cursor or begins
// a line. Pure.

#include <cstddef>
#include <string>
#include <string_view>

namespace outrigger {

// Length of the well-formed UTF-8 sequence at the front (Unicode table 3-7: no overlong forms, no
// surrogates, nothing beyond U+10FFFF), or 0. REQUIRES: !text.empty()
std::size_t utf8_length(std::string_view text);

// U+0080 to U+009F, which some terminals obey as they obey ESC. `text` begins with a well-formed
// sequence.
inline bool is_c1_control(std::string_view text) {
  return text.size() >= 2 && text[0] == '\xC2' && static_cast<unsigned char>(text[1]) < 0xA0;
}

// Whether it holds any: C0 (tabs and line ends too), DEL or C1.
bool has_control(std::string_view text);

// Each control character, and each byte that is not UTF-8, becomes a '?'. Tabs stay.
std::string printable(std::string_view text);

}  // namespace outrigger
