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
#include <utility>
#include <vector>

#include "config/diagnostic.h"

namespace outrigger::config {

struct YamlLimits {
  std::size_t bytes_max = 4 * 1024 * 1024;
  std::size_t nodes_max = 500'000;  // aliases count what they stand for, and anchors what they name
  int depth_max = 32;
};

// A vector that takes up only a pointer while it is empty, as most of a tree's are.
template <typename T>
class YamlChildren {
 public:
  using value_type = T;

  YamlChildren() = default;
  YamlChildren(YamlChildren&&) noexcept = default;
  YamlChildren& operator=(YamlChildren&&) noexcept = default;
  YamlChildren(const YamlChildren& from) { *this = from; }
  YamlChildren& operator=(const YamlChildren& from) {
    auto copy = from.all_ ? std::make_unique<std::vector<T>>(*from.all_) : nullptr;
    all_ = std::move(copy);
    return *this;
  }

  std::size_t size() const { return all_ ? all_->size() : 0; }
  std::size_t capacity() const { return all_ ? all_->capacity() : 0; }
  T* begin() { return all_ ? all_->data() : nullptr; }
  T* end() { return begin() + size(); }
  const T* begin() const { return all_ ? all_->data() : nullptr; }
  const T* end() const { return begin() + size(); }
  T& operator[](std::size_t i) { return (*all_)[i]; }
  const T& operator[](std::size_t i) const { return (*all_)[i]; }
  void push_back(T child) {
    if (!all_) all_ = std::make_unique<std::vector<T>>();
    all_->push_back(std::move(child));
  }
  // Spare room is given back where there are many of a kind; a large list would have to be there
  // twice meanwhile.
  void shrink() {
    constexpr std::size_t large = 64;
    if (size() < large && size() < capacity()) all_->shrink_to_fit();
  }

 private:
  std::unique_ptr<std::vector<T>> all_;
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
  YamlChildren<YamlNode> items;     // list
  YamlChildren<YamlEntry> entries;  // map, in the order of the file

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
// be read to its end, or the report was abandoned; errors go to `report` either way. `source` must
// outlive the tree.
bool parse_yaml(const Source& source, const YamlLimits& limits, Report& report, YamlNode& root);

}  // namespace outrigger::config
