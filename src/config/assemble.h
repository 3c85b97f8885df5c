#pragma once

// One tree from a file and what it includes: lists are appended, maps merged, and a duplicate is
// an error. Lives for one load; owns the texts that the tree's places point into.

#include <memory>
#include <string>
#include <vector>

#include "config/environment.h"
#include "config/field.h"
#include "config/yaml.h"

namespace outrigger::config {

class Assembler {
 public:
  Assembler(const Environment& environment, Report& report)
      : environment_(environment), report_(report) {}
  Assembler(const Assembler&) = delete;
  Assembler& operator=(const Assembler&) = delete;

  // False when the main file could not be read or parsed.
  bool read_file(const std::string& path, YamlNode& root);
  bool read_text(std::string text, const std::string& name, YamlNode& root);

  std::vector<std::string> files() const;

 private:
  static constexpr std::size_t files_max = 256;
  static constexpr int depth_max = 8;

  bool parse(const Source& source, YamlNode& root);
  void include_all(YamlNode& root, int depth);
  void include_pattern(YamlNode& root, const YamlNode& pattern, int depth);
  void include_file(YamlNode& root, const std::string& path, const YamlNode& from, int depth);
  void merge(YamlNode& into, YamlNode from, const RecordInfo& info);
  void merge_value(YamlEntry& into, YamlEntry from, const Shape* shape);
  void merge_names(YamlNode& into, YamlNode from);
  void given_twice(const YamlNode& key, const YamlNode& first);

  const Environment& environment_;
  Report& report_;
  std::vector<std::unique_ptr<const Source>> sources_;
};

}  // namespace outrigger::config
