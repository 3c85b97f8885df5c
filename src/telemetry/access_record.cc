#include "telemetry/access_record.h"

#include <algorithm>
#include <chrono>

#include "telemetry/text.h"

namespace outrigger::telemetry {
namespace {

void append_padded(LineBuilder& out, std::int64_t value, int width) {
  std::int64_t power = 1;
  for (int i = 1; i < width; ++i) power *= 10;
  for (; power > 0; power /= 10) out.push_back(static_cast<char>('0' + value / power % 10));
}

// RFC 3339 in UTC, with microseconds.
void append_time(LineBuilder& out, WallTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  append_padded(out, static_cast<int>(date.year()), 4);
  out.push_back('-');
  append_padded(out, static_cast<unsigned>(date.month()), 2);
  out.push_back('-');
  append_padded(out, static_cast<unsigned>(date.day()), 2);
  out.push_back('T');
  append_padded(out, clock.hours().count(), 2);
  out.push_back(':');
  append_padded(out, clock.minutes().count(), 2);
  out.push_back(':');
  append_padded(out, clock.seconds().count(), 2);
  out.push_back('.');
  append_padded(out, clock.subseconds().count(), 6);
  out.push_back('Z');
}

// Milliseconds with three decimals.
void append_millis(LineBuilder& out, Duration duration) {
  const std::int64_t micros =
      std::max<std::int64_t>(0, std::chrono::duration_cast<microseconds>(duration).count());
  append_integer(out, micros / 1000);
  out.push_back('.');
  append_padded(out, micros % 1000, 3);
}

// logfmt omits the quotes around a value that is one plain word.
bool plain_word(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
  });
}

// Writes a record's fields one after the other, as JSON or logfmt: both are keys and values.
class PairWriter {
 public:
  PairWriter(LineBuilder& line, bool json) : line_(line), json_(json) {}

  void text(std::string_view key, std::string_view value, std::size_t max = access_text_max) {
    if (value.empty()) return;
    value = value.substr(0, max);
    begin(key);
    if (json_) {
      append_json_string(line_, value);
    } else if (plain_word(value)) {
      append_text(line_, value);
    } else {
      line_.push_back('"');
      append_plain_escaped(line_, value);
      line_.push_back('"');
    }
  }
  template <typename Integer>
  void number(std::string_view key, Integer value) {
    begin(key);
    append_integer(line_, value);
  }
  void millis(std::string_view key, Duration value) {
    begin(key);
    append_millis(line_, value);
  }
  void time(std::string_view key, WallTime value) {
    begin(key);
    if (json_) line_.push_back('"');
    append_time(line_, value);
    if (json_) line_.push_back('"');
  }

 private:
  void begin(std::string_view key) {
    if (!first_) line_.push_back(json_ ? ',' : ' ');
    first_ = false;
    if (json_) line_.push_back('"');
    append_text(line_, key);
    append_text(line_, json_ ? "\":" : "=");
  }

  LineBuilder& line_;
  const bool json_;
  bool first_ = true;
};

std::string_view without_query(std::string_view path) {
  return path.substr(0, path.find('?'));
}

void write_pairs(PairWriter out, const AccessRecord& r) {
  out.time("time", r.time);
  out.text("direction", to_string(r.direction));
  out.text("service", r.service);
  out.text("route", r.route);
  out.text("endpoint", r.endpoint);
  out.text("locality", r.locality);
  out.text("method", r.method);
  out.text("path", without_query(r.path), access_path_max);
  if (!r.method.empty() || r.status != 0) out.number("status", r.status);
  if (r.grpc_status >= 0) out.number("grpc_status", r.grpc_status);
  out.text("flag", letters(r.flag));
  out.number("bytes_in", r.bytes_in);
  out.number("bytes_out", r.bytes_out);
  out.millis("duration_ms", r.duration);
  if (r.upstream_duration) out.millis("upstream_ms", *r.upstream_duration);
  out.number("attempts", r.attempts);
  out.text("peer", r.peer, access_peer_max);
  out.text("trace_id", r.trace_id);
  out.text("request_id", r.request_id);
  out.text("protocol_in", r.protocol_in);
  out.text("protocol_out", r.protocol_out);
  out.text("tls_version", r.tls_version);
}

// One column of the text format; text with spaces is quoted so that no reader sees extra columns.
void write_word(LineBuilder& out, std::string_view text, std::size_t max = access_text_max) {
  out.push_back(' ');
  if (text.empty()) {
    out.push_back('-');
    return;
  }
  text = text.substr(0, max);
  if (plain_word(text)) {
    append_text(out, text);
    return;
  }
  out.push_back('"');
  append_plain_escaped(out, text);
  out.push_back('"');
}

void write_text(LineBuilder& out, const AccessRecord& r) {
  const auto number = [&out](auto value) {
    out.push_back(' ');
    append_integer(out, value);
  };
  append_time(out, r.time);
  write_word(out, to_string(r.direction));
  append_text(out, " \"");
  if (!r.method.empty()) {
    append_plain_escaped(out, r.method.substr(0, access_text_max));
    out.push_back(' ');
    append_plain_escaped(out, without_query(r.path).substr(0, access_path_max));
    out.push_back(' ');
  }
  append_plain_escaped(out, r.protocol_in.substr(0, access_text_max));
  out.push_back('"');
  number(r.status);
  if (r.grpc_status >= 0) {
    number(r.grpc_status);
  } else {
    append_text(out, " -");
  }
  write_word(out, letters(r.flag));
  number(r.bytes_in);
  number(r.bytes_out);
  out.push_back(' ');
  append_millis(out, r.duration);
  out.push_back(' ');
  if (r.upstream_duration) {
    append_millis(out, *r.upstream_duration);
  } else {
    out.push_back('-');
  }
  number(r.attempts);
  for (const std::string_view word : {r.service, r.route, r.endpoint, r.locality}) {
    write_word(out, word);
  }
  write_word(out, r.peer, access_peer_max);
  for (const std::string_view word : {r.request_id, r.trace_id, r.protocol_out, r.tls_version}) {
    write_word(out, word);
  }
}

}  // namespace

void format_access(LineBuilder& line, config::AccessLog::Format format,
                   const AccessRecord& record) {
  switch (format) {
    case config::AccessLog::Format::json:
      line.push_back('{');
      write_pairs(PairWriter(line, true), record);
      append_text(line, "}\n");
      return;
    case config::AccessLog::Format::logfmt:
      write_pairs(PairWriter(line, false), record);
      line.push_back('\n');
      return;
    case config::AccessLog::Format::text:
      write_text(line, record);
      line.push_back('\n');
      return;
  }
}

bool is_error(const AccessRecord& record) {
  return record.flag != Flag::none || record.grpc_status > 0 || record.status >= 500 ||
         (!record.method.empty() && record.status == 0);
}

}  // namespace outrigger::telemetry
