#pragma once

// Descriptions of the language, generated from its tables: the JSON Schema for editors, the
// reference page and `outrigger explain`.

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace outrigger::config {

// JSON Schema, draft-07, with a final line end.
std::string json_schema();

// docs/configuration-reference.md
std::string reference_page();

// What stands at a path: "services.orders.retry", "routes[0].match", "inbound.listen", or "" for
// the whole file. An Error names the nearest field.
Result<std::string> explain(std::string_view path);

}  // namespace outrigger::config
