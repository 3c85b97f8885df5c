#include "config/reference.h"

#include <algorithm>
#include <vector>

#include "config/describe.h"
#include "config/diagnostic.h"
#include "config/schema.h"

namespace outrigger::config {
namespace {

// As GitHub makes it of a heading: lower case, "-" for a space, no other punctuation.
std::string anchor_of(const RecordInfo& record) {
  std::string out;
  for (char c : record.title) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == ' ') c = '-';
    const bool kept = c == '-' || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (kept) out += c;
  }
  return out;
}

// A bar would end the cell.
std::string cell(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

std::string type_cell(const FieldInfo& field) {
  std::string out = cell(describe(field.shape));
  const RecordInfo* record = record_of(field.shape);
  if (record == nullptr) return out;
  const std::size_t at = out.rfind(record->title);
  if (at == std::string::npos) return out;
  return out.replace(at, record->title.size(),
                     "[" + record->title + "](#" + anchor_of(*record) + ")");
}

void add_section(const RecordUse& use, std::string& out) {
  const RecordInfo& record = *use.record;
  out += "\n## " + record.title + "\n\n" + record.help + "\n";
  if (!use.paths.front().empty()) {
    out += "\nUsed at ";
    for (std::size_t i = 0; i < use.paths.size(); ++i) {
      out += (i == 0 ? "`" : ", `") + use.paths[i] + "`";
    }
    out += ".";
    if (!record.main.empty()) out += " A scalar stands for `" + record.main + "`.";
    out += "\n";
  }
  out += "\n| Field | Value | Default | What it is |\n|---|---|---|---|\n";
  std::string later;
  for (const FieldInfo& field : record.fields) {
    if (field.flag == Flag::later) {
      later += (later.empty() ? "`" : ", `") + field.key + "`";
      continue;
    }
    const std::string preset = field.flag == Flag::required ? "required"
                               : field.preset.empty()       ? ""
                                                            : "`" + cell(field.preset) + "`";
    out += "| `" + field.key + "` | " + type_cell(field) + " | " + preset + " | " +
           cell(field.help) + " |\n";
  }
  if (!later.empty()) out += "\nNot in this version yet: " + later + ".\n";
}

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> out;
  std::string word;
  bool index = false;
  for (const char c : path) {
    if (c == '[') index = true;
    if (c == '.' || c == '[') {
      if (!word.empty()) out.push_back(std::move(word));
      word.clear();
    } else if (!index) {
      word += c;
    }
    if (c == ']') index = false;
  }
  if (!word.empty()) out.push_back(std::move(word));
  return out;
}

std::string indented(const std::string& text, std::size_t by) {
  return std::string(by, ' ') + text;
}

std::string explain_record(const RecordInfo& record, const std::string& path) {
  std::string out = (path.empty() ? record.title : path) + "\n" + indented(record.help, 2) + "\n";
  if (!record.main.empty()) out += "  A scalar stands for " + record.main + ".\n";
  std::size_t width = 0;
  for (const FieldInfo& field : record.fields) width = std::max(width, field.key.size());
  out += "\n";
  for (const FieldInfo& field : record.fields) {
    std::string line = indented(field.key, 2);
    line.append(width + 4 - line.size() + 1, ' ');
    if (field.flag == Flag::later) {
      line += "(not in this version yet) " + field.help;
    } else {
      line += describe(field.shape);
      if (field.flag == Flag::required) line += ", required";
      if (!field.preset.empty()) line += ", default " + field.preset;
      line += "\n" + std::string(width + 5, ' ') + field.help;
    }
    out += line + "\n";
  }
  return out;
}

std::string explain_field(const FieldInfo& field, const std::string& path) {
  std::string out = path + "\n  " + field.help + "\n";
  if (field.flag == Flag::later) return out + "  Not in this version yet.\n";
  out += "  Value: " + describe(field.shape) + "\n";
  if (field.flag == Flag::required) out += "  Required.\n";
  if (!field.preset.empty()) out += "  Default: " + field.preset + "\n";
  return out;
}

Error unknown_field(const std::string& word, const RecordInfo& record, const std::string& path) {
  std::vector<std::string> known;
  for (const FieldInfo& field : record.fields) known.push_back(field.key);
  return Error{"there is no field " + quoted(word) + (path.empty() ? "" : " in " + path) +
               did_you_mean(word, known)};
}

}  // namespace

std::string reference_page() {
  std::string out =
      "# Configuration reference\n\n"
      "Every field that this version reads. This page is generated from the program's own tables\n"
      "(`outrigger explain` shows the same); [configuration.md](configuration.md) explains the\n"
      "language by example.\n";
  for (const RecordUse& use : all_records()) add_section(use, out);
  return out;
}

Result<std::string> explain(std::string_view path) {
  const std::vector<std::string> words = split_path(path);
  const RecordInfo* record = &root_record().info();
  const FieldInfo* field = nullptr;
  std::string walked;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (record == nullptr)
      return Error{walked + " has no fields, so there is no " + quoted(words[i])};
    field = record->find(words[i]);
    if (field == nullptr) return unknown_field(words[i], *record, walked);
    walked = path_into(walked, *field);
    if (field->flag == Flag::later) break;
    record = record_of(field->shape);
    // Below a map stands a name of the user's choosing.
    if (field->shape.kind == Shape::Kind::map) ++i;
  }
  if (field == nullptr) return explain_record(*record, "");
  if (record == nullptr || field->flag == Flag::later) return explain_field(*field, walked);
  return explain_record(*record, walked);
}

}  // namespace outrigger::config
