#pragma once

// Words for shapes, and the walk over all records of the language.

#include <string>
#include <vector>

#include "config/field.h"

namespace outrigger::config {

// "duration", "list of addresses", "one of a, b", "map: service to Service".
std::string describe(const Shape& shape);

// The record a shape is or holds, null when there is none.
const RecordInfo* record_of(const Shape& shape);

// How one writes the place of what a field holds: "services.NAME" for a map's, "routes[]" for a
// list's.
std::string path_into(const std::string& path, const FieldInfo& field);

// A record and everywhere it may stand.
struct RecordUse {
  const RecordInfo* record;
  std::vector<std::string> paths;
};
// All records that this version reads, the whole file first, each before what it holds.
std::vector<RecordUse> all_records();

}  // namespace outrigger::config
