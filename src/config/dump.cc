#include "config/dump.h"

#include <array>
#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace outrigger::config {
namespace {

nlohmann::ordered_json convert(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::null:
      return nullptr;
    case YamlNode::Kind::scalar:
      return node.shown();
    case YamlNode::Kind::list: {
      auto list = nlohmann::ordered_json::array();
      for (const YamlNode& item : node.items) list.push_back(convert(item));
      return list;
    }
    case YamlNode::Kind::map: {
      auto map = nlohmann::ordered_json::object();
      for (const YamlEntry& entry : node.entries) map[entry.key.text] = convert(entry.value);
      return map;
    }
  }
  return nullptr;
}

}  // namespace

std::string to_json(const YamlNode& root) {
  return convert(root).dump();
}

std::string hash_of(const std::string& json) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : json) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(hash));
  return text.data();
}

}  // namespace outrigger::config
