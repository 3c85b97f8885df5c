#pragma once

// Checks of YAML text outside the parser: whether it is valid text, and where a scalar ends.

#include <cstddef>
#include <string_view>

#include "config/diagnostic.h"

namespace outrigger::config {

// How many bytes at the front of `text` are valid UTF-8 (RFC 3629: no surrogates, no overlong
// forms).
std::size_t valid_utf8_prefix(std::string_view text);

// Reports the first byte that is not text: invalid UTF-8, a control character, a lone carriage
// return, a no-break space in an indentation. True when there is none.
bool check_text(const Source& source, Report& report);

// A scalar as it stands in the file.
struct ScalarText {
  std::string_view rest;  // from its first character (tag and anchor skipped) to its line's end
  int length = 1;         // on its first line, in bytes from its place
  bool plain = false;     // neither quoted nor a block
  bool unclosed = false;  // a quote without its end

  bool begins_with(std::string_view text) const { return rest.starts_with(text); }
  // "~" or a spelling of null that YAML reads as no value.
  bool is_null_word() const;
};
ScalarText scalar_text(const Source& source, const Place& place);

}  // namespace outrigger::config
