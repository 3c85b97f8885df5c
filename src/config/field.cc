#include "config/field.h"

#include <algorithm>

namespace outrigger::config {
namespace {

// "status:200" where a map was meant.
bool lacks_space_after_colon(const YamlNode& node) {
  if (!node.is_scalar() || node.quoted) return false;
  const std::size_t colon = node.text.find(':');
  return colon != std::string::npos && colon > 0 && colon + 1 < node.text.size();
}

std::string what_it_is(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::null:
      return "nothing";
    case YamlNode::Kind::scalar:
      return quoted(node.shown());
    case YamlNode::Kind::list:
      return "a list";
    case YamlNode::Kind::map:
      return "a map";
  }
  return "";
}

std::string with_article(const std::string& noun) {
  if (noun == "text") return noun;
  const bool vowel =
      !noun.empty() && std::string_view("aeiou").find(noun[0]) != std::string_view::npos;
  return (vowel ? "an " : "a ") + noun;
}

void unknown_key(Reader& reader, const RecordInfo& info, const YamlNode& key) {
  if (reader.full()) return;
  std::vector<std::string> known;
  for (const FieldInfo& field : info.fields) known.push_back(field.key);
  const std::string where = reader.path().empty() ? "at the top level" : "in " + reader.path();
  reader.plain_error(
      key.place, "unknown key " + quoted(key.text) + " " + where + did_you_mean(key.text, known));
}

std::size_t index_of(const RecordInfo& info, std::string_view key) {
  const auto found = std::find_if(info.fields.begin(), info.fields.end(),
                                  [&](const FieldInfo& field) { return field.key == key; });
  return static_cast<std::size_t>(found - info.fields.begin());
}

}  // namespace

bool Shape::is_scalar() const {
  return kind == Kind::text || kind == Kind::integer || kind == Kind::boolean ||
         kind == Kind::choice;
}

const FieldInfo* RecordInfo::find(std::string_view key) const {
  const std::size_t index = index_of(*this, key);
  return index < fields.size() ? &fields[index] : nullptr;
}

Reader::Step::Step(Reader& reader, std::string_view key)
    : reader_(reader), size_(reader.path_.size()) {
  if (!reader.path_.empty()) reader.path_ += '.';
  // A key of any length comes from outside; a message needs its beginning only.
  reader.path_ += key.substr(0, 80);
}

Reader::Step::Step(Reader& reader, std::size_t index)
    : reader_(reader), size_(reader.path_.size()) {
  reader.path_ += "[" + std::to_string(index) + "]";
}

void Reader::error(const YamlNode& at, const std::string& message) {
  plain_error(at.place, path_.empty() ? message : path_ + ": " + message);
}

void Reader::plain_error(const Place& at, const std::string& message) {
  report_.error(at, message);
}

void Reader::decode_error(const YamlNode& at, const std::string& noun, const std::string& message) {
  if (!at.filled_in()) return error(at, message);
  const bool plain = noun == "text" || noun.starts_with("one of ");
  error(at, "the value of " + quoted(at.shown()) + " is not " + (plain ? noun : "a valid " + noun));
}

void Reader::not_yet(const YamlNode& at, const std::string& what) {
  plain_error(at.place, what + " is not supported yet");
}

const std::string* Reader::scalar(const YamlNode& node, const std::string& noun) {
  if (node.broken) return nullptr;
  if (node.is_scalar()) return &node.text;
  if (node.is_null()) {
    error(node, "a value is missing; expected " + with_article(noun));
  } else {
    error(node, "expected " + with_article(noun) + ", not " + what_it_is(node));
  }
  return nullptr;
}

bool Reader::list(const YamlNode& node, const std::string& noun) {
  if (node.broken) return false;
  if (node.is_list() || node.is_null()) return true;
  error(node, "expected a list of " + noun + ", not " + what_it_is(node) +
                  "; begin each item with '- ' or put brackets around them");
  return false;
}

bool Reader::map(const YamlNode& node, const std::string& noun) {
  if (node.broken) return false;
  if (node.is_map() || node.is_null()) return true;
  if (lacks_space_after_colon(node)) {
    error(node, "write a space after the colon");
  } else {
    error(node, "expected " + noun + ", not " + what_it_is(node));
  }
  return false;
}

void read_record(Reader& reader, const RecordInfo& info, const YamlNode& node,
                 const std::function<void(std::size_t, const YamlNode&)>& read) {
  if (node.broken) return;
  const bool run_together = lacks_space_after_colon(node) &&
                            info.find(node.text.substr(0, node.text.find(':'))) != nullptr;
  if (node.is_scalar() && !info.main.empty() && !run_together) {
    read(index_of(info, info.main), node);
    return;
  }
  if (!reader.map(node, "a map of fields")) return;
  for (const YamlEntry& entry : node.entries) {
    const FieldInfo* field = info.find(entry.key.text);
    if (field == nullptr) unknown_key(reader, info, entry.key);
  }
  for (std::size_t i = 0; i < info.fields.size(); ++i) {
    const FieldInfo& field = info.fields[i];
    const YamlEntry* entry = node.find_entry(field.key);
    if (entry == nullptr) {
      if (field.flag == Flag::required) reader.error(node, "'" + field.key + "' is missing");
      continue;
    }
    const Reader::Step step(reader, field.key);
    if (field.flag == Flag::later) {
      reader.not_yet(entry->key, reader.path());
    } else {
      read(i, entry->value);
    }
  }
}

Position position_of(const Place& place) {
  const Diagnostic d = make_diagnostic(place, "");
  return {d.file, d.line, d.column};
}

}  // namespace outrigger::config
