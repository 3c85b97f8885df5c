#pragma once

// A finished Scrape as text: Prometheus 0.0.4, OpenMetrics 1.0, JSON, and "name: value" lines.
// Pure functions; cold path.

#include <string>
#include <string_view>

#include "telemetry/scrape.h"

namespace outrigger::telemetry {

enum class Exposition { prometheus, openmetrics };

// What a scraper's Accept header asks for: OpenMetrics when it prefers it to plain text.
Exposition negotiate(std::string_view accept);
std::string_view content_type(Exposition format);

// Families without samples are left out. `filter`: only series whose text (name and labels) has it.
std::string render(const Scrape& scrape, Exposition format, std::string_view filter = {});
// {"stats": [{"name", "labels", "type", "value"} or with "histogram"]}
std::string render_json(const Scrape& scrape, std::string_view filter = {});
// One "name{labels}: value" a line; a histogram shows count, sum and quantiles.
std::string render_lines(const Scrape& scrape, std::string_view filter = {});

}  // namespace outrigger::telemetry
