#include "config/dump.h"

#include <array>
#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string_view>

namespace outrigger::config {
namespace {

enum class Variables { as_written, filled_in };

// What stands below a key of a route is the value of a header or of a query parameter.
bool may_hold_secrets(std::string_view route_key) {
  return route_key == "headers" || route_key == "query" || route_key == "request_headers" ||
         route_key == "response_headers";
}

nlohmann::ordered_json convert(const YamlNode& node, Variables variables, bool in_routes = false) {
  switch (node.kind) {
    case YamlNode::Kind::null:
      return nullptr;
    case YamlNode::Kind::scalar:
      return variables == Variables::filled_in ? node.text : node.shown();
    case YamlNode::Kind::list: {
      auto list = nlohmann::ordered_json::array();
      for (const YamlNode& item : node.items) list.push_back(convert(item, variables, in_routes));
      return list;
    }
    case YamlNode::Kind::map: {
      auto map = nlohmann::ordered_json::object();
      for (const YamlEntry& entry : node.entries) {
        const bool hidden = in_routes && may_hold_secrets(entry.key.text);
        map[entry.key.text] =
            convert(entry.value, hidden ? Variables::as_written : variables, in_routes);
      }
      return map;
    }
  }
  return nullptr;
}

nlohmann::ordered_json in_force(const YamlNode& root) {
  auto map = nlohmann::ordered_json::object();
  for (const YamlEntry& entry : root.entries) {
    const std::string& key = entry.key.text;
    map[key] = convert(entry.value, key == "node" ? Variables::as_written : Variables::filled_in,
                       key == "routes");
  }
  return map;
}

}  // namespace

std::string to_json(const YamlNode& root) {
  return convert(root, Variables::as_written).dump();
}

std::string hash_of(const YamlNode& root) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : in_force(root).dump())
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(hash));
  return text.data();
}

}  // namespace outrigger::config
