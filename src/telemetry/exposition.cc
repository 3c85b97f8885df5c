#include "telemetry/exposition.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "telemetry/text.h"

namespace outrigger::telemetry {
namespace {

constexpr double micros_per_second = 1e6;
constexpr std::array<std::pair<std::string_view, double>, 5> quantiles = {
    {{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"p999", 0.999}}};

double in_seconds(std::uint64_t micros) {
  return static_cast<double>(micros) / micros_per_second;
}

// To the microsecond: what was recorded is no finer.
double quantile_seconds(const HistogramValue& value, double q) {
  return std::round(value.quantile(q)) / micros_per_second;
}

// OpenMetrics names a counter's family without the suffix that its samples have.
std::string_view family_name(const FamilyInfo& family, Exposition format) {
  std::string_view name = family.name;
  if (format == Exposition::openmetrics && family.type == MetricType::counter) {
    name.remove_suffix(std::string_view("_total").size());
  }
  return name;
}

// name="value",… without braces.
void append_labels(std::string& out, const Sample& sample) {
  const auto names = info(sample.family).labels();
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += ',';
    out.append(names[i]).append("=\"");
    append_label_value(out, sample.labels[i]);
    out += '"';
  }
}

std::string labels_of(const Sample& sample) {
  std::string out;
  append_labels(out, sample);
  return out;
}

// name{labels}, as people see it and filters match it.
std::string series_name(const Sample& sample) {
  std::string out(info(sample.family).name);
  if (!sample.labels.empty()) {
    out += '{';
    append_labels(out, sample);
    out += '}';
  }
  return out;
}

bool wanted(const Sample& sample, std::string_view filter) {
  return filter.empty() || series_name(sample).find(filter) != std::string::npos;
}

void append_header(std::string& out, const FamilyInfo& family, Exposition format) {
  const std::string_view name = family_name(family, format);
  out.append("# HELP ").append(name).append(" ").append(family.help).append("\n");
  out.append("# TYPE ").append(name).append(" ").append(to_string(family.type)).append("\n");
  if (format == Exposition::openmetrics && !family.unit.empty()) {
    out.append("# UNIT ").append(name).append(" ").append(family.unit).append("\n");
  }
}

void append_line(std::string& out, std::string_view name, std::string_view suffix,
                 std::string_view labels, double value) {
  out.append(name).append(suffix);
  if (!labels.empty()) out.append("{").append(labels).append("}");
  out += ' ';
  append_number(out, value);
  out += '\n';
}

// OpenMetrics asks for a decimal point in bucket bounds; Prometheus' own libraries write none.
std::string bound_text(std::uint64_t micros, Exposition format) {
  std::string out;
  append_number(out, in_seconds(micros));
  if (format == Exposition::openmetrics && out.find('.') == std::string::npos) out += ".0";
  return out;
}

void append_histogram(std::string& out, const Sample& sample, Exposition format) {
  const std::string_view name = info(sample.family).name;
  const HistogramValue& value = *sample.histogram;
  const std::string labels = labels_of(sample);
  const std::string before = labels.empty() ? "" : labels + ",";
  const auto bucket = [&](const std::string& bound, std::uint64_t count) {
    append_line(out, name, "_bucket", before + "le=\"" + bound + "\"", static_cast<double>(count));
  };
  for (const std::uint64_t bound : exported_bounds()) {
    bucket(bound_text(bound, format), value.at_most(bound));
  }
  bucket("+Inf", value.count());
  append_line(out, name, "_sum", labels, in_seconds(value.sum));
  append_line(out, name, "_count", labels, static_cast<double>(value.count()));
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
  });
  return out;
}

// Takes what is before the separator off the front.
std::string_view take(std::string_view& text, char separator) {
  const std::size_t at = std::min(text.find(separator), text.size());
  const std::string_view first = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return trim(first);
}

// One media range with its parameters (RFC 9110 section 12.5.1).
struct MediaRange {
  std::string type;
  std::string version;
  double quality = 1;
};

MediaRange parse_range(std::string_view text) {
  MediaRange out;
  out.type = lower(take(text, ';'));
  while (!text.empty()) {
    std::string_view value = take(text, ';');
    const std::string name = lower(take(value, '='));
    if (name == "version") out.version = value;
    if (name == "q" &&
        std::from_chars(value.data(), value.data() + value.size(), out.quality).ec != std::errc()) {
      out.quality = 0;
    }
  }
  return out;
}

void append_json_labels(std::string& out, const Sample& sample) {
  const auto names = info(sample.family).labels();
  out += '{';
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += ',';
    append_json_string(out, names[i]);
    out += ':';
    append_json_string(out, sample.labels[i]);
  }
  out += '}';
}

// JSON has no infinities.
void append_json_number(std::string& out, double value) {
  if (value - value != 0) {
    out += "null";
  } else {
    append_number(out, value);
  }
}

void append_json_histogram(std::string& out, const HistogramValue& value) {
  out += "{\"count\":";
  append_integer(out, value.count());
  out += ",\"sum\":";
  append_number(out, in_seconds(value.sum));
  for (const auto& [name, q] : quantiles) {
    out.append(",\"").append(name).append("\":");
    append_number(out, quantile_seconds(value, q));
  }
  out += '}';
}

}  // namespace

Exposition negotiate(std::string_view accept) {
  double openmetrics = 0;
  double plain = 0;
  while (!accept.empty()) {
    const MediaRange range = parse_range(take(accept, ','));
    if (range.type == "application/openmetrics-text") {
      // Versions 0.0.1 and 1.0.0 are the same text; what is newer is somebody else's.
      if (range.version.empty() || range.version == "1.0.0" || range.version == "0.0.1") {
        openmetrics = std::max(openmetrics, range.quality);
      }
    } else if (range.type == "text/plain" || range.type == "text/*" || range.type == "*/*") {
      plain = std::max(plain, range.quality);
    }
  }
  return openmetrics > 0 && openmetrics >= plain ? Exposition::openmetrics : Exposition::prometheus;
}

std::string_view content_type(Exposition format) {
  return format == Exposition::openmetrics
             ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
             : "text/plain; version=0.0.4; charset=utf-8";
}

std::string render(const Scrape& scrape, Exposition format, std::string_view filter) {
  std::string out;
  Family current = Family::count_;
  for (const Sample& sample : scrape.samples()) {
    if (!wanted(sample, filter)) continue;
    const FamilyInfo& family = info(sample.family);
    if (sample.family != current) {
      append_header(out, family, format);
      current = sample.family;
    }
    if (sample.histogram != nullptr) {
      append_histogram(out, sample, format);
    } else {
      append_line(out, family.name, "", labels_of(sample), sample.value);
    }
  }
  if (format == Exposition::openmetrics) out += "# EOF\n";
  return out;
}

std::string render_json(const Scrape& scrape, std::string_view filter) {
  std::string out = "{\"stats\":[";
  bool first = true;
  for (const Sample& sample : scrape.samples()) {
    if (!wanted(sample, filter)) continue;
    const FamilyInfo& family = info(sample.family);
    out += first ? "\n" : ",\n";
    first = false;
    out.append("{\"name\":\"").append(family.name).append("\",\"type\":\"");
    out.append(to_string(family.type)).append("\",\"labels\":");
    append_json_labels(out, sample);
    if (sample.histogram != nullptr) {
      out += ",\"histogram\":";
      append_json_histogram(out, *sample.histogram);
    } else {
      out += ",\"value\":";
      append_json_number(out, sample.value);
    }
    out += '}';
  }
  out += "\n]}\n";
  return out;
}

std::string render_lines(const Scrape& scrape, std::string_view filter) {
  std::string out;
  for (const Sample& sample : scrape.samples()) {
    const std::string name = series_name(sample);
    if (!filter.empty() && name.find(filter) == std::string::npos) continue;
    out.append(name).append(": ");
    if (sample.histogram == nullptr) {
      append_number(out, sample.value);
    } else {
      out += "count=";
      append_integer(out, sample.histogram->count());
      out += " sum=";
      append_number(out, in_seconds(sample.histogram->sum));
      for (const auto& [label, q] : quantiles) {
        out.append(" ").append(label).append("=");
        append_number(out, quantile_seconds(*sample.histogram, q));
      }
    }
    out += '\n';
  }
  return out;
}

}  // namespace outrigger::telemetry
