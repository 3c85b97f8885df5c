#include "config/yaml_hints.h"

#include <algorithm>
#include <optional>

namespace outrigger::config {
namespace {

constexpr std::string_view blanks = " \t";

struct Spot {
  const Place& place;
  std::string_view line;
  std::size_t at;  // offset of the error in `line`, at most its size

  char here() const { return at < line.size() ? line[at] : '\0'; }
  std::string_view before() const { return line.substr(0, at); }
  Hint hint(std::size_t from, std::size_t length, std::string message) const {
    Place marked = place;
    marked.column = static_cast<int>(from) + 1;
    marked.length = static_cast<int>(std::max<std::size_t>(1, length));
    return {marked, std::move(message)};
  }
  Hint hint(std::string message) const { return hint(at, 1, std::move(message)); }
};

// What a person meant as one value: up to a blank or the end of the collection around it.
std::string_view word_at(std::string_view line, std::size_t from) {
  const std::size_t end = line.find_first_of(" \t,]}", from);
  return line.substr(from, end == std::string_view::npos ? end : end - from);
}

std::string quote_it(std::string_view word) {
  return "quote it: \"" + std::string(word) + "\"";
}

std::size_t first_non_blank(std::string_view line) {
  return std::min(line.find_first_not_of(blanks), line.size());
}

// "status:200" standing alone on a line: a key whose colon lacks its space.
bool lacks_space_after_colon(std::string_view line) {
  const std::size_t start = first_non_blank(line);
  const std::string_view word = line.substr(start);
  const std::size_t colon = word.find(':');
  if (colon == std::string_view::npos || colon + 1 >= word.size()) return false;
  if (word.find_first_of(" \t\"'{[") < colon) return false;
  return word.find(": ") == std::string_view::npos && word[colon + 1] != ' ' && word.back() != ':';
}

std::optional<Hint> hint_for_tab(const Spot& spot) {
  const std::size_t tab = spot.line.substr(0, first_non_blank(spot.line)).find('\t');
  if (tab == std::string_view::npos) return std::nullopt;
  return spot.hint(tab, 1, "a tab; indent with spaces");
}

// {zone: ${ZONE:-a}}: the braces of the variable are taken for YAML's.
std::optional<Hint> hint_for_variable(const Spot& spot) {
  if (spot.here() != '{' || spot.at == 0 || spot.line[spot.at - 1] != '$') return std::nullopt;
  const std::size_t from = spot.at - 1;
  const std::size_t close = spot.line.find('}', spot.at);
  const std::size_t end = close == std::string_view::npos ? spot.line.size() : close + 1;
  const std::string_view variable = spot.line.substr(from, end - from);
  return spot.hint(from, variable.size(),
                   "a variable inside braces or brackets needs quotes; " + quote_it(variable));
}

// listen: [::]:15006 begins a list.
std::optional<Hint> hint_for_ipv6(const Spot& spot) {
  if (spot.here() != ':' || spot.at == 0 || spot.line[spot.at - 1] != ']') return std::nullopt;
  const std::size_t from = spot.before().rfind('[');
  if (from == std::string_view::npos) return std::nullopt;
  std::string_view rest = spot.line.substr(spot.at);
  rest = rest.substr(0, rest.find_first_of(" \t,]}"));
  const std::string_view address = spot.line.substr(from, spot.at - from + rest.size());
  return spot.hint(from, address.size(),
                   "an address in brackets needs quotes; " + quote_it(address));
}

// '*' begins an alias and '&' an anchor, wherever a value may begin.
std::optional<Hint> hint_for_sigil(const Spot& spot, std::string_view what) {
  const bool alias = what.find("alias") != std::string_view::npos ||
                     what.find("the referenced anchor") != std::string_view::npos;
  const bool anchor = !alias && what.find("anchor") != std::string_view::npos;
  if (!alias && !anchor) return std::nullopt;
  const char sigil = alias ? '*' : '&';
  const std::size_t upto = std::min(spot.at, spot.line.empty() ? 0 : spot.line.size() - 1);
  const std::size_t from = spot.line.rfind(sigil, upto);
  if (from == std::string_view::npos) return std::nullopt;
  const std::string_view word = word_at(spot.line, from);
  return spot.hint(from, word.size(),
                   std::string("an unquoted '") + sigil + "' begins " +
                       (alias ? "an alias, and nothing has that name; " : "an anchor; ") +
                       quote_it(word));
}

// A ':' where no key can stand.
Hint hint_for_colon(const Spot& spot) {
  const Source& source = *spot.place.source;
  for (int number = spot.place.line - 1; number > 0; --number) {
    const std::string_view above = source.line(number);
    if (first_non_blank(above) == above.size()) continue;
    if (!lacks_space_after_colon(above)) break;
    const std::size_t from = first_non_blank(above);
    const Place place{&source, number, static_cast<int>(from) + 1,
                      static_cast<int>(above.size() - from)};
    return {place, "write a space after the colon"};
  }
  if (spot.before().find(": ") != std::string_view::npos) {
    return spot.hint("an unquoted value cannot contain ': '; quote the whole value");
  }
  return spot.hint("a ':' without a key; check the indentation of this line and the one above");
}

Hint hint_for_open_flow(const Spot& spot, const std::vector<Place>& open_flows) {
  if (open_flows.empty()) return spot.hint("a bracket is missing");
  const Place& opener = open_flows.back();
  const std::string_view line = opener.source->line(opener.line);
  const auto column = static_cast<std::size_t>(opener.column - 1);
  const bool map = column < line.size() && line[column] == '{';
  const std::string open = map ? "'{'" : "'['";
  const std::string close = map ? "'}'" : "']'";
  const Source& source = *spot.place.source;
  if (spot.place.line >= source.line_count() && spot.at >= spot.line.size()) {
    return {opener, "this " + open + " is never closed"};
  }
  std::string message = "a ',' or " + close + " is missing here";
  if (opener.line != spot.place.line) {
    message += "; the " + open + " of line " + std::to_string(opener.line) + " is still open";
  } else {
    message += ", or the value needs quotes";
  }
  return spot.hint(std::move(message));
}

Hint hint_for_block_end(const Spot& spot) {
  if (first_non_blank(spot.line) >= spot.at) {
    return spot.hint("the indentation of this line matches nothing above it");
  }
  return spot.hint("unexpected text after the value; quote the whole value if this is intended");
}

}  // namespace

Hint hint_for_syntax_error(const Place& place, std::string_view what,
                           const std::vector<Place>& open_flows) {
  const std::string_view line = place.source->line(place.line);
  const Spot spot{place, line, std::min(line.size(), static_cast<std::size_t>(place.column - 1))};
  const auto says = [&](std::string_view text) {
    return what.find(text) != std::string_view::npos;
  };
  if (auto hint = hint_for_tab(spot)) return *hint;
  if (auto hint = hint_for_variable(spot)) return *hint;
  if (auto hint = hint_for_ipv6(spot)) return *hint;
  if (auto hint = hint_for_sigil(spot, what)) return *hint;
  if (says("unknown token")) {
    const std::string_view word = word_at(line, spot.at);
    return spot.hint(
        spot.at, word.size(),
        std::string("a value cannot begin with '") + spot.here() + "'; " + quote_it(word));
  }
  if (says("illegal map value")) return hint_for_colon(spot);
  if (says("flow not found")) return hint_for_open_flow(spot, open_flows);
  if (says("illegal flow end")) return spot.hint("this bracket closes nothing");
  if (says("illegal block entry")) {
    return spot.hint(
        "a list item must begin on its own line; quote the '-' if it is part of the value");
  }
  if (says("end of map not found") || says("end of sequence not found")) {
    return hint_for_block_end(spot);
  }
  if (says("escape")) {
    return spot.hint(
        "no such escape in double quotes; write \\\\ for a backslash, or use single quotes");
  }
  return spot.hint("this is not YAML: " + std::string(what));
}

std::string hint_for_long_plain(std::string_view first_line) {
  if (lacks_space_after_colon(first_line)) return "write a space after the colon";
  return "this unquoted value continues on the next line: a bracket, a comma or indentation is "
         "missing; quote it if this is intended";
}

std::string hint_for_complex_key(const Place& place) {
  const std::string_view line = place.source->line(place.line);
  const auto at = static_cast<std::size_t>(place.column - 1);
  std::string message = "a key must be a scalar";
  if (at < line.size() && (line[at] == '[' || line[at] == '{')) {
    message += "; this bracket needs quotes, or is never closed";
  }
  return message;
}

}  // namespace outrigger::config
