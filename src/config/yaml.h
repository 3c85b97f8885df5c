#pragma once

// YAML text as a tree of our own, every key and value with its place. The only file of the project
// that knows yaml-cpp. Scalars stay text: what looks like a number or a boolean is decoded by the
// field that reads it.
//
// Refused, each with its line: a duplicate or merge key, tags, an alias that multiplies or contains
// itself, a second document, NUL and other control characters, invalid UTF-8, an unquoted value
// that runs over the end of its line, deep nesting, and files beyond the limits below.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/diagnostic.h"

namespace outrigger::config {

struct YamlLimits {
  std::size_t bytes_max = 4 * 1024 * 1024;
  std::size_t nodes_max = 500'000;  // aliases count what they stand for
  int depth_max = 32;
};

struct YamlEntry;

struct YamlNode {
  enum class Kind { null, scalar, list, map };

  Kind kind = Kind::null;
  bool quoted = false;  // a scalar in quotes or a block scalar
  bool broken = false;  // its variables could not be filled in, which has been reported
  Place place;
  std::string text;  // scalar
  // A scalar whose variables were filled in, as the file has it: what a variable holds may be a
  // secret, and is in no message and no dump.
  std::shared_ptr<const std::string> written;
  std::vector<YamlNode> items;     // list
  std::vector<YamlEntry> entries;  // map, in the order of the file

  bool is_null() const { return kind == Kind::null; }
  bool is_scalar() const { return kind == Kind::scalar; }
  bool is_list() const { return kind == Kind::list; }
  bool is_map() const { return kind == Kind::map; }
  // What may be shown of a scalar.
  const std::string& shown() const { return written == nullptr ? text : *written; }
  bool filled_in() const { return written != nullptr; }
  // The value of a key, null when it is absent. Linear: for maps of fields, not of data.
  const YamlNode* find(std::string_view key) const;
  const YamlEntry* find_entry(std::string_view key) const;
};

struct YamlEntry {
  YamlNode key;  // a scalar
  YamlNode value;
};

// Parses one document into `root`; an empty document is a null node. False when the text could not
// be read to its end, or the report was abandoned; errors go to `report` either way. `source` must outlive the tree.
bool parse_yaml(const Source& source, const YamlLimits& limits, Report& report, YamlNode& root);

}  // namespace outrigger::config
