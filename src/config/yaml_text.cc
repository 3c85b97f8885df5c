#include "config/yaml_text.h"

#include <algorithm>
#include <cstdio>
#include <string>

#include "base/utf8.h"

namespace outrigger::config {
namespace {

unsigned char byte_at(std::string_view text, std::size_t i) {
  return static_cast<unsigned char>(text[i]);
}

Place place_of_offset(const Source& source, std::size_t offset) {
  const std::string_view before = std::string_view(source.text()).substr(0, offset);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const std::size_t start =
      before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  return {&source, static_cast<int>(line), static_cast<int>(offset - start) + 1, 1};
}

std::string hex(unsigned char byte) {
  char out[8];
  std::snprintf(out, sizeof out, "0x%02X", byte);
  return out;
}

// The first byte that no configuration holds, with why; npos when there is none.
std::size_t find_foreign_byte(std::string_view text, std::string& why) {
  bool indenting = true;
  for (std::size_t i = 0; i < text.size();) {
    const unsigned char byte = byte_at(text, i);
    const std::size_t length = utf8_length(text.substr(i));
    if (length == 0) {
      why = "this is not valid UTF-8 (byte " + hex(byte) + ")";
      return i;
    }
    const unsigned char next = i + 1 < text.size() ? byte_at(text, i + 1) : 0;
    if (byte == 0) {
      why = "a NUL byte";
      return i;
    }
    if (byte == '\r' && next != '\n') {
      why = "a carriage return without a line feed";
      return i;
    }
    const bool c1 = byte == 0xC2 && next < 0xA0;
    if ((byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7F || c1) {
      why = "a control character (" + hex(c1 ? next : byte) + ")";
      return i;
    }
    if (indenting && byte == 0xC2 && next == 0xA0) {
      why = "a no-break space; indent with plain spaces";
      return i;
    }
    indenting = byte == '\n' || (indenting && (byte == ' ' || byte == '-'));
    i += length;
  }
  return std::string_view::npos;
}

// Past the quote that closes the one at `start`, npos when nothing does.
std::size_t end_of_quoted(std::string_view text, std::size_t start) {
  const char quote = text[start];
  for (std::size_t i = start + 1; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      const bool doubled = quote == '\'' && i + 1 < text.size() && text[i + 1] == quote;
      if (!doubled) return i + 1;
      ++i;
    }
  }
  return std::string_view::npos;
}

// Past anchors, tags, blanks and comments in front of a scalar.
std::size_t skip_properties(std::string_view text, std::size_t at) {
  if (at >= text.size() || (text[at] != '&' && text[at] != '!')) return at;
  while (at < text.size()) {
    if (text[at] == '&' || text[at] == '!') {
      at = std::min(text.find_first_of(" \t\r\n,]}", at), text.size());
    } else if (text[at] == ' ' || text[at] == '\t' || text[at] == '\r' || text[at] == '\n') {
      ++at;
    } else if (text[at] == '#') {
      at = std::min(text.find('\n', at), text.size());
    } else {
      break;
    }
  }
  return at;
}

}  // namespace

std::size_t valid_utf8_prefix(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const std::size_t length = utf8_length(text.substr(i));
    if (length == 0) break;
    i += length;
  }
  return i;
}

bool check_text(const Source& source, Report& report) {
  std::string why;
  const std::size_t at = find_foreign_byte(source.text(), why);
  if (at == std::string_view::npos) return true;
  report.error(place_of_offset(source, at), std::move(why));
  return false;
}

bool ScalarText::is_null_word() const {
  const std::string_view word = rest.substr(0, rest.find_first_of(" \t,]}#"));
  return word == "~" || word == "null" || word == "Null" || word == "NULL";
}

ScalarText scalar_text(const Source& source, const Place& place) {
  const std::string_view text = source.text();
  const std::string_view line = source.line(place.line);
  ScalarText out;
  const auto column = static_cast<std::size_t>(place.column - 1);
  if (column >= line.size()) return out;
  const auto begin = static_cast<std::size_t>(line.data() - text.data()) + column;
  const std::size_t line_end = begin - column + line.size();
  const std::size_t at = skip_properties(text, begin);
  if (at >= text.size()) return out;
  if (at < line_end) {
    out.rest = text.substr(at, line_end - at);
  } else {
    // A tag or anchor stood alone on its line.
    out.rest = text.substr(at, std::min(text.find_first_of("\r\n", at), text.size()) - at);
  }
  std::size_t end = begin + 1;
  if (text[at] == '"' || text[at] == '\'') {
    end = end_of_quoted(text, at);
    out.unclosed = end == std::string_view::npos;
    if (out.unclosed) end = at + 1;
  } else if (text[at] != '|' && text[at] != '>') {
    out.plain = true;
    end = at + 1;
  }
  out.length = static_cast<int>(std::min(end, line_end) - begin);
  return out;
}

}  // namespace outrigger::config
