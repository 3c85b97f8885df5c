#pragma once

// The parts of the language that are defined in files of their own.

#include <map>
#include <string>

#include "config/schema.h"
#include "config/values.h"

namespace outrigger::config {

// schema_services.cc
const Record<Breaker>& breaker_record();
const Record<Http2Ping>& http2_ping_record();
Value<std::map<std::string, std::string>> labels();
const Record<Retry>& retry_record();
const Record<Service>& defaults_record();
Value<Draft> services();

// schema_routes.cc
Value<Draft> routes();

}  // namespace outrigger::config
