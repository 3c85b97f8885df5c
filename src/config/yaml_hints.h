#pragma once

// Turns a syntax error into advice: the pitfalls of YAML that people meet when they write
// addresses, patterns and variables without quotes.

#include <string>
#include <string_view>
#include <vector>

#include "config/diagnostic.h"

namespace outrigger::config {

struct Hint {
  Place place;
  std::string message;
};

// `what` is yaml-cpp's message, `open_flows` the brackets not yet closed, innermost last.
Hint hint_for_syntax_error(const Place& place, std::string_view what,
                           const std::vector<Place>& open_flows);

// For an unquoted value that went on in the next line.
std::string hint_for_long_plain(std::string_view first_line);

// For a list or map where a key was expected.
std::string hint_for_complex_key(const Place& place);

}  // namespace outrigger::config
