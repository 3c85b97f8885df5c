#include "config/values.h"

#include <algorithm>
#include <cmath>

#include "base/utf8.h"

namespace outrigger::config {
namespace {

constexpr std::size_t name_max = 253;

bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// RFC 9110, section 5.6.2.
bool is_token_character(char c) {
  return is_lower(c) || is_upper(c) || is_digit(c) ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

Result<std::string> check_name(const std::string& text) {
  const auto allowed = [](char c) {
    return is_lower(c) || is_upper(c) || is_digit(c) || c == '.' || c == '_' || c == '-';
  };
  const bool begins =
      !text.empty() && (is_lower(text[0]) || is_upper(text[0]) || is_digit(text[0]));
  if (!begins || !std::all_of(text.begin(), text.end(), allowed)) {
    return Error{quoted(text) + " is not a name; use letters, digits, '.', '_' and '-'"};
  }
  if (text.size() > name_max) {
    return Error{"a name is limited to " + std::to_string(name_max) + " characters"};
  }
  return text;
}

Result<std::string> check_spiffe_pattern(const std::string& pattern) {
  constexpr std::string_view scheme = "spiffe://";
  constexpr std::size_t id_max = 2048;
  const bool below = pattern.ends_with("/*");
  const std::string text = below ? pattern.substr(0, pattern.size() - 2) : pattern;
  if (!text.starts_with(scheme)) {
    return Error{quoted(pattern) + " is not a SPIFFE ID; write spiffe://trust-domain/path"};
  }
  const std::string_view rest = std::string_view(text).substr(scheme.size());
  const std::string_view domain = rest.substr(0, rest.find('/'));
  const auto domain_character = [](char c) {
    return is_lower(c) || is_digit(c) || c == '.' || c == '-' || c == '_';
  };
  const auto path_character = [](char c) {
    return is_lower(c) || is_upper(c) || is_digit(c) || c == '.' || c == '-' || c == '_' ||
           c == '/';
  };
  const std::string_view path = rest.substr(domain.size());
  // What tls::SpiffeId reads too: there "." and ".." are no segments.
  constexpr std::size_t domain_max = 255;
  const auto has_segment = [&path](std::string_view segment) {
    return (std::string(path) + "/").find("/" + std::string(segment) + "/") != std::string::npos;
  };
  const bool well_formed = !domain.empty() && domain.size() <= domain_max && !has_segment(".") &&
                           !has_segment("..") && (below || path.size() > 1) &&
                           !path.ends_with('/') && path.find("//") == std::string_view::npos &&
                           text.size() <= id_max &&
                           std::all_of(domain.begin(), domain.end(), domain_character) &&
                           std::all_of(path.begin(), path.end(), path_character);
  if (!well_formed) {
    const bool star = text.find('*') != std::string::npos;
    return Error{quoted(pattern) + " is not a well-formed SPIFFE ID" +
                 (star ? "; '*' is only allowed alone, after the last '/'" : "")};
  }
  return pattern;
}

Shape text_shape(std::string noun, std::string pattern) {
  return {.kind = Shape::Kind::text, .noun = std::move(noun), .pattern = std::move(pattern)};
}

std::string show_text(const std::string& value) {
  return value;
}

Value<Address> address(AddressUse use) {
  return scalar<Address>(
      text_shape("address", R"((unix:/.+|[^ ]+:[0-9]{1,5}))"),
      [use](const std::string& from) { return parse_address(from, use); },
      [](const Address& value) { return value.host.empty() ? std::string() : value.to_string(); });
}

}  // namespace

Result<std::string> check_line(const std::string& text) {
  constexpr std::size_t line_max = 4096;
  if (text.empty()) return Error{"the text is empty"};
  if (text.size() > line_max) {
    return Error{"the text is longer than " + std::to_string(line_max) + " bytes"};
  }
  if (has_control(text)) {
    return Error{"the text contains a newline or another control character"};
  }
  return text;
}

Result<std::string> check_service_name(const std::string& text) {
  auto checked = check_name(text);
  if (!checked) return checked;
  std::string lower = text;
  for (char& c : lower) {
    if (is_upper(c)) c = static_cast<char>(c - 'A' + 'a');
  }
  if (lower != text) {
    return Error{"service names are lower case, like host names; write " + lower};
  }
  return text;
}

Result<std::string> check_header_name(const std::string& text) {
  constexpr std::size_t header_name_max = 256;
  const bool token = !text.empty() && std::all_of(text.begin(), text.end(), is_token_character);
  if (!token || text.size() > header_name_max) {
    return Error{quoted(text) + " is not a header name"};
  }
  std::string lower = text;
  for (char& c : lower) {
    if (is_upper(c)) c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

Result<std::string> check_upgrade(const std::string& text) {
  constexpr std::size_t upgrade_max = 64;
  const auto is_token = [](std::string_view part) {
    return !part.empty() && std::all_of(part.begin(), part.end(), is_token_character);
  };
  const std::string_view whole = text;
  const std::size_t slash = whole.find('/');
  const bool version = slash != whole.npos;
  if (text.size() > upgrade_max || !is_token(whole.substr(0, slash)) ||
      (version && !is_token(whole.substr(slash + 1)))) {
    return Error{quoted(text) + " is not the name of a protocol, such as websocket or SPDY/3.1"};
  }
  std::string lower = text;
  for (char& c : lower) {
    if (is_upper(c)) c = static_cast<char>(c - 'A' + 'a');
  }
  if (lower == "h2" || lower == "h2c" || lower.starts_with("http/")) {
    return Error{
        quoted(text) +
        " is HTTP itself and needs no upgrade; requests inside it would bypass the routes"};
  }
  return text;
}

Result<std::string> check_header_value(const std::string& text) {
  constexpr std::size_t value_max = 8 * 1024;
  const auto forbidden = [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F;
  };
  const bool blank_edge = !text.empty() && (text.front() == ' ' || text.front() == '\t' ||
                                            text.back() == ' ' || text.back() == '\t');
  if (blank_edge || text.size() > value_max || std::any_of(text.begin(), text.end(), forbidden)) {
    return Error{
        "this is not a header value: it contains a newline or control character, begins or ends "
        "with a space, or is longer than 8KiB"};
  }
  return text;
}

std::string plural(const std::string& noun) {
  const std::size_t end = std::min(noun.find(" of "), noun.size());
  return noun.substr(0, end) + (noun[end - 1] == 's' ? "es" : "s") + noun.substr(end);
}

Value<std::string> text(std::string noun, TextCheck check, std::string pattern) {
  return scalar<std::string>(text_shape(std::move(noun), std::move(pattern)), std::move(check),
                             show_text);
}

Value<std::string> text(std::string noun) {
  return text(std::move(noun), check_line);
}

Value<std::string> name() {
  return text("name", check_name, "[A-Za-z0-9][A-Za-z0-9._-]*");
}

Value<std::string> service_name() {
  return text("service name", check_service_name, "[a-z0-9][a-z0-9._-]*");
}

Value<std::string> file_path() {
  return {text_shape("path", ""),
          [](Reader& reader, const YamlNode& node, std::string& out) {
            const std::string* given = reader.scalar(node, "path");
            if (given == nullptr) return;
            auto checked = check_line(*given);
            if (!checked) return reader.decode_error(node, "path", checked.error().message);
            const bool relative = (*given)[0] != '/' && node.place.source != nullptr;
            out = relative ? node.place.source->directory() + *given : *given;
          },
          show_text};
}

Value<std::string> spiffe_id_pattern() {
  return text("SPIFFE ID", check_spiffe_pattern, "spiffe://[^/]+/.+");
}

Value<std::string> cidr() {
  return text("address or network", [](const std::string& from) { return parse_cidr(from); });
}

Value<std::string> upgrade_protocol() {
  return text("protocol", check_upgrade);
}

Value<std::string> one_of(std::vector<std::string> words) {
  std::vector<Choice> choices;
  for (std::string& word : words) choices.push_back({std::move(word), false});
  Shape shape{.kind = Shape::Kind::choice, .noun = "word"};
  shape.choices = choices;
  const auto check = [choices](const std::string& given) -> Result<std::string> {
    for (const Choice& each : choices) {
      if (each.name == given) return given;
    }
    return Error{not_a_choice(given, choices)};
  };
  return scalar<std::string>(std::move(shape), check, show_text);
}

Value<bool> boolean() {
  return scalar<bool>({.kind = Shape::Kind::boolean, .noun = "boolean"}, parse_bool,
                      [](const bool& value) { return std::string(value ? "true" : "false"); });
}

Value<Millis> duration(Millis least) {
  return scalar<Millis>(
      text_shape("duration", R"([0-9]+(\.[0-9]+)?(ms|s|m|h))"),
      [least](const std::string& from) -> Result<Millis> {
        auto value = parse_duration(from);
        if (value && *value < least) {
          return Error{quoted(from) + " is too short; it is at least " + show_duration(least)};
        }
        return value;
      },
      [](const Millis& value) { return show_duration(value); });
}

Value<std::uint64_t> size() {
  return scalar<std::uint64_t>(text_shape("size", R"([0-9]+(\.[0-9]+)?(B|KiB|MiB|GiB|TiB))"),
                               parse_size,
                               [](const std::uint64_t& value) { return show_size(value); });
}

Value<double> share() {
  return scalar<double>(
      text_shape("percentage", R"([0-9]+(\.[0-9]+)?%)"),
      [](const std::string& from) -> Result<double> {
        const auto hundredths = parse_percent(from);
        if (!hundredths) return hundredths.error();
        return static_cast<double>(*hundredths) / 10'000.0;
      },
      [](const double& value) {
        return show_percent(static_cast<std::uint32_t>(std::lround(value * 10'000.0)));
      });
}

Value<Address> dial_address() {
  return address(AddressUse::dial);
}
Value<Address> listen_address() {
  return address(AddressUse::listen);
}

std::string wanted(const Shape& shape) {
  if (shape.kind != Shape::Kind::choice) return shape.noun;
  std::string list;
  for (const Choice& each : shape.choices) list += (list.empty() ? "" : ", ") + each.name;
  return "one of " + list;
}

std::string not_a_choice(const std::string& given, const std::vector<Choice>& choices) {
  std::string list;
  std::vector<std::string> names;
  for (const Choice& each : choices) {
    list += (list.empty() ? "" : ", ") + each.name;
    names.push_back(each.name);
  }
  return quoted(given) + " is none of " + list + did_you_mean(given, names);
}

}  // namespace outrigger::config
