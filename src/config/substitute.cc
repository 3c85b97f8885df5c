#include "config/substitute.h"

#include <memory>
#include <string>
#include <string_view>

#include "config/yaml_text.h"

namespace outrigger::config {
namespace {

constexpr std::size_t secret_bytes_max = 64 * 1024;
constexpr std::size_t text_bytes_max = 1024 * 1024;

bool is_variable_name(std::string_view name) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && !(c >= '0' && c <= '9')) return false;
  }
  return true;
}

Result<std::string> content_of(const std::string& path, const YamlNode& node,
                               const Environment& environment) {
  if (path.empty()) return Error{"${file:} needs a path"};
  const bool relative = path[0] != '/' && node.place.source != nullptr;
  const std::string full = relative ? node.place.source->directory() + path : path;
  auto content = environment.read_file(full, secret_bytes_max);
  if (!content) return content.error();
  std::string text = *std::move(content);
  // Editors and echo end a file with a line end that is not meant.
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  if (text.find('\0') != std::string::npos || valid_utf8_prefix(text) != text.size()) {
    return Error{full + " does not hold text"};
  }
  return text;
}

Result<std::string> value_of(std::string_view expression, const YamlNode& node,
                             const Environment& environment) {
  if (expression.find("${") != std::string_view::npos) {
    return Error{"a variable cannot stand inside another; give it a plain default"};
  }
  if (expression.starts_with("file:")) {
    return content_of(std::string(expression.substr(5)), node, environment);
  }
  const std::size_t dash = expression.find(":-");
  const std::string name(expression.substr(0, dash));
  if (!is_variable_name(name)) {
    return Error{quoted("${" + std::string(expression) + "}") +
                 " names no variable; write $${ for a plain ${"};
  }
  const auto value = environment.variable(name);
  if (dash != std::string_view::npos) {
    // As in a shell, an empty variable takes the default too.
    if (!value || value->empty()) return std::string(expression.substr(dash + 2));
  } else if (!value) {
    return Error{"the environment variable " + name + " is not set; write ${" + name +
                 ":-default} to do without"};
  }
  if (valid_utf8_prefix(*value) != value->size()) {
    return Error{"the environment variable " + name + " does not hold text"};
  }
  return *value;
}

Result<std::string> substituted(const YamlNode& node, const Environment& environment) {
  std::string out;
  std::string_view rest = node.text;
  while (true) {
    const std::size_t open = rest.find("${");
    if (open == std::string_view::npos) break;
    if (open > 0 && rest[open - 1] == '$') {
      out.append(rest.substr(0, open - 1)).append("${");
      rest.remove_prefix(open + 2);
      continue;
    }
    const std::size_t close = rest.find('}', open);
    if (close == std::string_view::npos) {
      return Error{"'${' without its '}'; write $${ for a plain ${"};
    }
    auto value = value_of(rest.substr(open + 2, close - open - 2), node, environment);
    if (!value) return value.error();
    out.append(rest.substr(0, open)).append(*value);
    rest.remove_prefix(close + 1);
    if (out.size() > text_bytes_max) return Error{"too long after its variables were filled in"};
  }
  out.append(rest);
  return out;
}

void substitute_keys(const YamlNode& key, Report& report) {
  if (key.text.find("${") == std::string::npos) return;
  report.error(key.place, "variables are filled into values, not into keys");
}

}  // namespace

void substitute(YamlNode& root, const Environment& environment, Report& report) {
  if (root.is_scalar() && root.text.find("${") != std::string::npos) {
    auto text = substituted(root, environment);
    if (text) {
      root.written = std::make_shared<const std::string>(std::move(root.text));
      root.text = *std::move(text);
    } else {
      root.broken = true;
      report.error(root.place, text.error().message);
    }
  }
  for (YamlNode& item : root.items) substitute(item, environment, report);
  for (YamlEntry& entry : root.entries) {
    substitute_keys(entry.key, report);
    substitute(entry.value, environment, report);
  }
}

std::string without_literals(std::string_view written) {
  constexpr std::string_view hidden = "***";
  std::string out;
  const auto hide = [&](std::string_view literal) {
    if (!literal.empty() && !out.ends_with(hidden)) out += hidden;
  };
  while (!written.empty()) {
    const std::size_t open = written.find("${");
    const bool plain = open != std::string_view::npos && open > 0 && written[open - 1] == '$';
    const std::size_t close = plain ? open + 1 : written.find('}', open);
    if (open == std::string_view::npos || close == std::string_view::npos) break;
    hide(written.substr(0, plain ? close + 1 : open));
    if (!plain) {
      const std::string_view variable = written.substr(open, close - open);
      const std::size_t dash =
          variable.starts_with("${file:") ? variable.npos : variable.find(":-");
      out += variable.substr(0, dash);
      if (dash != variable.npos) {
        out += ":-";
        hide(variable.substr(dash + 2));
      }
      out += '}';
    }
    written.remove_prefix(close + 1);
  }
  hide(written);
  return out;
}

}  // namespace outrigger::config
