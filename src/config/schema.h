#pragma once

// The language: one table of fields for each struct of the model. Parsing, the JSON Schema, the
// reference page and `explain` are all driven by these tables; a field exists in one place.

#include <map>
#include <string>

#include "config/field.h"
#include "config/model.h"

namespace outrigger::config {

// A configuration while it is being read.
struct Draft : Config {
  Service defaults;
};

// The whole file. Its fields are read in the order of the table: `defaults` before `services`,
// `services` before `routes`.
const Record<Draft>& root_record();
const Record<Endpoint>& endpoint_record();

}  // namespace outrigger::config
