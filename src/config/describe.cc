#include "config/describe.h"

#include <algorithm>

#include "config/schema.h"

namespace outrigger::config {
namespace {

std::string describe_choices(const Shape& shape) {
  std::string out;
  for (const Choice& choice : shape.choices) {
    if (choice.later) continue;
    out += (out.empty() ? "" : ", ") + choice.name;
  }
  return shape.choices.size() == 1 ? out : "one of " + out;
}

void visit(const RecordInfo& record, const std::string& path, std::vector<RecordUse>& out) {
  const auto known = std::find_if(out.begin(), out.end(),
                                  [&](const RecordUse& use) { return use.record == &record; });
  if (known == out.end()) {
    out.push_back({&record, {path}});
  } else {
    known->paths.push_back(path);
  }
  for (const FieldInfo& field : record.fields) {
    const RecordInfo* inner = record_of(field.shape);
    if (inner != nullptr && field.flag != Flag::later) visit(*inner, path_into(path, field), out);
  }
}

}  // namespace

std::string describe(const Shape& shape) {
  switch (shape.kind) {
    case Shape::Kind::unsupported:
      return "";
    case Shape::Kind::text:
      return shape.noun;
    case Shape::Kind::boolean:
      return "true or false";
    case Shape::Kind::integer:
      return "whole number from " + std::to_string(shape.least) + " to " +
             std::to_string(shape.most);
    case Shape::Kind::choice:
      return describe_choices(shape);
    case Shape::Kind::list:
      return "list: " + describe(*shape.element);
    case Shape::Kind::map:
      return "map: " + shape.key_noun + " to " + describe(*shape.element);
    case Shape::Kind::record:
      return shape.record->title;
  }
  return "";
}

const RecordInfo* record_of(const Shape& shape) {
  if (shape.record != nullptr) return shape.record;
  return shape.element == nullptr ? nullptr : record_of(*shape.element);
}

std::string path_into(const std::string& path, const FieldInfo& field) {
  std::string out = path.empty() ? field.key : path + "." + field.key;
  if (field.shape.kind == Shape::Kind::list) out += "[]";
  if (field.shape.kind == Shape::Kind::map) out += ".NAME";
  return out;
}

std::vector<RecordUse> all_records() {
  std::vector<RecordUse> out;
  visit(root_record().info(), "", out);
  return out;
}

}  // namespace outrigger::config
