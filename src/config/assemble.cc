#include "config/assemble.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "config/schema.h"
#include "config/substitute.h"

namespace outrigger::config {
namespace {

// Turns a value into the list it stands for, so that lists of several files can be joined.
void make_list(YamlNode& node) {
  if (node.is_list()) return;
  YamlNode list;
  list.kind = YamlNode::Kind::list;
  list.place = node.place;
  if (!node.is_null()) list.items.push_back(std::move(node));
  node = std::move(list);
}

bool is_pattern(const std::string& path) {
  return path.find_first_of("*?[") != std::string::npos;
}

// "consul:outrigger/web": a key of a registry, not a file.
bool is_registry_key(const std::string& path) {
  const std::size_t colon = path.find(':');
  return colon != std::string::npos && colon < path.find('/');
}

}  // namespace

bool Assembler::read_file(const std::string& path, YamlNode& root) {
  auto text = environment_.read_file(path, YamlLimits{}.bytes_max);
  if (!text) {
    const Source unread(path, "");
    report_.error({&unread, 0, 0, 0}, text.error().message);
    return false;
  }
  return read_text(*std::move(text), path, root);
}

bool Assembler::read_text(std::string text, const std::string& name, YamlNode& root) {
  sources_.push_back(std::make_unique<const Source>(name, std::move(text)));
  if (!parse(*sources_.back(), root)) return false;
  include_all(root, 0);
  return true;
}

std::vector<std::string> Assembler::files() const {
  std::vector<std::string> out;
  for (const auto& source : sources_) out.push_back(source->name());
  return out;
}

bool Assembler::parse(const Source& source, YamlNode& root) {
  root.place = {&source, 1, 1, 1};
  if (!parse_yaml(source, YamlLimits{}, report_, root)) return false;
  substitute(root, environment_, report_);
  return true;
}

void Assembler::include_all(YamlNode& root, int depth) {
  const YamlNode* include = root.find("include");
  if (include == nullptr || include->is_null()) return;
  // A copy: merging appends to the map that holds it.
  YamlNode patterns = *include;
  make_list(patterns);
  for (const YamlNode& pattern : patterns.items) {
    if (!pattern.is_scalar() || pattern.text.empty()) {
      report_.error(pattern.place, "include: expected a path or pattern");
    } else {
      include_pattern(root, pattern, depth);
    }
  }
}

void Assembler::include_pattern(YamlNode& root, const YamlNode& pattern, int depth) {
  if (is_registry_key(pattern.text)) {
    report_.error(pattern.place, "include: a key of a registry is not supported yet");
    return;
  }
  const bool relative = pattern.text[0] != '/';
  const std::string path =
      relative ? pattern.place.source->directory() + pattern.text : pattern.text;
  if (!is_pattern(pattern.text)) return include_file(root, path, pattern, depth);
  for (const std::string& file : environment_.glob(path)) include_file(root, file, pattern, depth);
}

void Assembler::include_file(YamlNode& root, const std::string& path, const YamlNode& from,
                             int depth) {
  const auto known = [&path](const auto& source) { return source->name() == path; };
  if (std::any_of(sources_.begin(), sources_.end(), known)) {
    report_.error(from.place, "include: " + quoted(from.shown()) + " is already included");
    return;
  }
  if (sources_.size() >= files_max || depth >= depth_max) {
    report_.error(from.place, "include: too many files, or included too deeply");
    return;
  }
  auto text = environment_.read_file(path, YamlLimits{}.bytes_max);
  if (!text) {
    report_.error(from.place, "include: " + text.error().message);
    return;
  }
  sources_.push_back(std::make_unique<const Source>(path, *std::move(text)));
  YamlNode included;
  if (!parse(*sources_.back(), included) || included.is_null()) return;
  if (!included.is_map()) {
    report_.error(included.place, "an included file must be a map of fields, like the main file");
    return;
  }
  include_all(included, depth + 1);
  if (root.is_map()) merge(root, std::move(included), root_record().info());
}

void Assembler::merge(YamlNode& into, YamlNode from, const RecordInfo& info) {
  for (YamlEntry& entry : from.entries) {
    const bool root = &info == &root_record().info();
    if (root && entry.key.text == "include") continue;
    if (root && entry.key.text == "version" && entry.value.text == "1") continue;
    const auto same =
        std::find_if(into.entries.begin(), into.entries.end(),
                     [&](const YamlEntry& each) { return each.key.text == entry.key.text; });
    if (same == into.entries.end()) {
      into.entries.push_back(std::move(entry));
      continue;
    }
    const FieldInfo* field = info.find(entry.key.text);
    merge_value(*same, std::move(entry), field == nullptr ? nullptr : &field->shape);
  }
}

void Assembler::merge_value(YamlEntry& into, YamlEntry from, const Shape* shape) {
  if (from.value.is_null()) return;
  if (into.value.is_null()) {
    into = std::move(from);
    return;
  }
  const Shape::Kind kind = shape == nullptr ? Shape::Kind::unsupported : shape->kind;
  const bool maps = into.value.is_map() && from.value.is_map();
  if (kind == Shape::Kind::list && (into.value.is_map() || from.value.is_map())) {
    const YamlNode& wrong = into.value.is_map() ? into.key : from.key;
    report_.error(wrong.place, wrong.text + ": expected a list, not a map");
  } else if (kind == Shape::Kind::list) {
    make_list(into.value);
    make_list(from.value);
    std::move(from.value.items.begin(), from.value.items.end(),
              std::back_inserter(into.value.items));
  } else if (kind == Shape::Kind::record && maps) {
    merge(into.value, std::move(from.value), *shape->record);
  } else if (kind == Shape::Kind::map && maps) {
    merge_names(into.value, std::move(from.value));
  } else {
    given_twice(from.key, into.key);
  }
}

void Assembler::merge_names(YamlNode& into, YamlNode from) {
  std::unordered_map<std::string, std::size_t> known;
  for (std::size_t i = 0; i < into.entries.size(); ++i) known.emplace(into.entries[i].key.text, i);
  for (YamlEntry& entry : from.entries) {
    const auto [same, fresh] = known.emplace(entry.key.text, into.entries.size());
    if (fresh) {
      into.entries.push_back(std::move(entry));
    } else {
      given_twice(entry.key, into.entries[same->second].key);
    }
  }
}

void Assembler::given_twice(const YamlNode& key, const YamlNode& first) {
  report_.error(key.place, "key " + quoted(key.text) + " is given twice; it is already in " +
                               first.place.source->name() + ":" + std::to_string(first.place.line));
}

}  // namespace outrigger::config
