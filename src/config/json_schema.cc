#include <nlohmann/json.hpp>
#include <string>

#include "config/describe.h"
#include "config/reference.h"
#include "config/schema.h"

namespace outrigger::config {
namespace {

using Json = nlohmann::ordered_json;

// Where a scalar may stand, so may one that has variables to be filled in.
constexpr const char* variable = R"(\$\{)";

Json variable_text() {
  return {{"type", "string"}, {"pattern", variable}};
}

std::string anchored(const std::string& pattern) {
  return "^(?:" + pattern + ")$|" + variable;
}

std::string definition_name(const RecordInfo& record) {
  std::string out = record.title;
  for (char& c : out) {
    if (c == ' ') c = '_';
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// Editors decode scalars by YAML's rules before they look here: what is text to us may be a number
// to them.
Json text_schema(const Shape& shape) {
  if (shape.pattern.empty()) return {{"type", {"string", "number", "boolean"}}};
  Json out{{"type", "string"}, {"pattern", anchored(shape.pattern)}};
  if (shape.digits) out["type"] = {"string", "integer"};
  return out;
}

Json choice_schema(const Shape& shape) {
  Json words = Json::array();
  for (const Choice& choice : shape.choices) {
    if (choice.later) continue;
    words.push_back(choice.name);
    if (shape.digits && shape.pattern.empty()) words.push_back(std::stoi(choice.name));
  }
  Json any = Json::array({{{"enum", words}}, variable_text()});
  if (!shape.pattern.empty()) {
    any.push_back({{"type", {"string", "integer"}}, {"pattern", anchored(shape.pattern)}});
  }
  return {{"anyOf", any}};
}

Json schema_of(const Shape& shape);

Json list_schema(const Shape& shape) {
  const Json item = schema_of(*shape.element);
  Json list{{"type", {"array", "null"}}, {"items", item}};
  const RecordInfo* record = shape.element->record;
  const bool scalar_item = record == nullptr ? shape.element->is_scalar() : !record->main.empty();
  if (!scalar_item) return list;
  const Json one = record == nullptr ? item : schema_of(record->find(record->main)->shape);
  return {{"anyOf", {list, one}}};
}

Json schema_of(const Shape& shape) {
  switch (shape.kind) {
    case Shape::Kind::unsupported:
      return Json::object();
    case Shape::Kind::text:
      return text_schema(shape);
    case Shape::Kind::integer:
      return {{"anyOf",
               {{{"type", "integer"}, {"minimum", shape.least}, {"maximum", shape.most}},
                {{"type", "string"}, {"pattern", anchored("[0-9]+")}}}}};
    case Shape::Kind::boolean:
      return {{"anyOf",
               {{{"type", "boolean"}}, {{"type", "string"}, {"pattern", anchored("true|false")}}}}};
    case Shape::Kind::choice:
      return choice_schema(shape);
    case Shape::Kind::list:
      return list_schema(shape);
    case Shape::Kind::map:
      return {{"type", {"object", "null"}}, {"additionalProperties", schema_of(*shape.element)}};
    case Shape::Kind::record:
      return {{"$ref", "#/definitions/" + definition_name(*shape.record)}};
  }
  return Json::object();
}

Json fields_schema(const RecordInfo& record) {
  Json properties = Json::object();
  Json required = Json::array();
  for (const FieldInfo& field : record.fields) {
    if (field.flag == Flag::later) continue;
    // Draft-07 ignores what stands beside a $ref, so that it is wrapped.
    const Json schema = schema_of(field.shape);
    Json property = schema.contains("$ref") ? Json{{"allOf", {schema}}} : schema;
    property["description"] =
        field.help + (field.preset.empty() ? "" : " Default: " + field.preset);
    properties[field.key] = std::move(property);
    if (field.flag == Flag::required) required.push_back(field.key);
  }
  Json out{{"type", {"object", "null"}},
           {"description", record.help},
           {"properties", std::move(properties)},
           {"additionalProperties", false}};
  if (!required.empty()) out["required"] = std::move(required);
  return out;
}

Json definition(const RecordInfo& record) {
  Json fields = fields_schema(record);
  if (record.main.empty()) return fields;
  return {{"anyOf", {std::move(fields), schema_of(record.find(record.main)->shape)}}};
}

}  // namespace

std::string json_schema() {
  Json out{{"$schema", "http://json-schema.org/draft-07/schema#"},
           {"title", "Outrigger configuration, version 1"}};
  out.update(fields_schema(root_record().info()));
  out["type"] = "object";
  Json definitions = Json::object();
  for (const RecordUse& use : all_records()) {
    if (use.record == &root_record().info()) continue;
    definitions[definition_name(*use.record)] = definition(*use.record);
  }
  out["definitions"] = std::move(definitions);
  return out.dump(2) + "\n";
}

}  // namespace outrigger::config
