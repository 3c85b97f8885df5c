#include "config/dump.h"

#include <array>
#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string_view>

#include "config/substitute.h"

namespace outrigger::config {
namespace {

enum class Values { as_written, filled_in, variables_only };

// What stands below a key of a route is the value of a header or of a query parameter.
bool may_hold_secrets(std::string_view route_key) {
  return route_key == "headers" || route_key == "query" || route_key == "request_headers" ||
         route_key == "response_headers";
}

std::string text_of(const YamlNode& scalar, Values values) {
  switch (values) {
    case Values::as_written:
      return scalar.shown();
    case Values::filled_in:
      return scalar.text;
    case Values::variables_only:
      return without_literals(scalar.shown());
  }
  return {};
}

// `secrets`: how values are told that may be some.
nlohmann::ordered_json convert(const YamlNode& node, Values values, Values secrets) {
  switch (node.kind) {
    case YamlNode::Kind::null:
      return nullptr;
    case YamlNode::Kind::scalar:
      return text_of(node, values);
    case YamlNode::Kind::list: {
      auto list = nlohmann::ordered_json::array();
      // The only list below a key that may hold secrets is of names: the headers to remove.
      if (values == Values::variables_only) values = Values::as_written;
      for (const YamlNode& item : node.items) list.push_back(convert(item, values, secrets));
      return list;
    }
    case YamlNode::Kind::map: {
      auto map = nlohmann::ordered_json::object();
      for (const YamlEntry& entry : node.entries) {
        const std::string& key = entry.key.text;
        map[key] = convert(entry.value, may_hold_secrets(key) ? secrets : values, secrets);
      }
      return map;
    }
  }
  return nullptr;
}

struct Shown {
  Values node;
  Values secrets;
  Values rest;
};

std::string convert(const YamlNode& root, const Shown& shown) {
  auto map = nlohmann::ordered_json::object();
  for (const YamlEntry& entry : root.entries) {
    const std::string& key = entry.key.text;
    const Values values = key == "node" ? shown.node : shown.rest;
    map[key] = convert(entry.value, values, key == "routes" ? shown.secrets : values);
  }
  return map.dump();
}

}  // namespace

std::string to_json(const YamlNode& root) {
  return convert(
      root,
      {.node = Values::as_written, .secrets = Values::variables_only, .rest = Values::as_written});
}

std::string hash_of(const YamlNode& root) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  const std::string in_force = convert(
      root, {.node = Values::as_written, .secrets = Values::as_written, .rest = Values::filled_in});
  for (const char c : in_force) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(hash));
  return text.data();
}

}  // namespace outrigger::config
