#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>

#include "base/utf8.h"

namespace outrigger::log {
namespace {

constexpr std::array room_names = {"base",   "config",   "net",       "tls",       "http",
                                   "policy", "upstream", "discovery", "telemetry", "tcp",
                                   "proxy",  "admin",    "server",    "cli"};
constexpr std::array level_names = {"trace", "debug", "info", "warn", "error", "off"};

struct State {
  std::array<std::atomic<int>, room_names.size()> levels;
  std::atomic<Format> format{Format::text};
  std::shared_ptr<spdlog::logger> logger;

  State() {
    for (auto& l : levels) l = static_cast<int>(Level::info);
    auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
    if (std::getenv("NO_COLOR") != nullptr) sink->set_color_mode(spdlog::color_mode::never);
    logger = std::make_shared<spdlog::logger>("outrigger", sink);
    logger->set_level(spdlog::level::trace);
    logger->flush_on(spdlog::level::trace);
    apply_pattern();
  }
  void apply_pattern() const {
    logger->set_pattern(format == Format::json ? "%v" : "%Y-%m-%dT%H:%M:%S.%e%z %^%-5l%$ %v");
  }
};

State& state() {
  static State s;
  return s;
}

std::size_t index_of(std::string_view room) {
  for (std::size_t i = 0; i < room_names.size(); ++i) {
    if (room == room_names[i]) return i;
  }
  return room_names.size();
}

spdlog::level::level_enum to_spdlog(Level level) {
  constexpr std::array map = {spdlog::level::trace, spdlog::level::debug, spdlog::level::info,
                              spdlog::level::warn,  spdlog::level::err,   spdlog::level::off};
  return map[static_cast<std::size_t>(level)];
}

void append_hex(std::string& out, const char* form, char c) {
  std::array<char, 8> escape{};
  std::snprintf(escape.data(), escape.size(), form, static_cast<unsigned char>(c));
  out += escape.data();
}

bool is_control(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  return first < 0x20 || first == 0x7F || is_c1_control(text);
}

// Names, addresses and reasons in a line may come from peers and registries: whatever they hold, a
// line stays one line, a JSON object stays one, and a terminal that shows it is not steered.
void append_json(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      out += "\\ufffd";
    } else if (is_control(text)) {
      append_hex(out, "\\u%04x", text[length - 1]);
    } else {
      if (text.front() == '"' || text.front() == '\\') out += '\\';
      out.append(text.substr(0, length));
    }
    text.remove_prefix(std::max<std::size_t>(1, length));
  }
  out += '"';
}

// `marks` are characters that get a backslash.
void append_plain(std::string& out, std::string_view text, std::string_view marks = "") {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      append_hex(out, "\\x%02x", text.front());
    } else if (is_control(text)) {
      for (const char c : text.substr(0, length)) append_hex(out, "\\x%02x", c);
    } else {
      if (marks.find(text.front()) != std::string_view::npos) out += '\\';
      out.append(text.substr(0, length));
    }
    text.remove_prefix(std::max<std::size_t>(1, length));
  }
}

// As in logfmt: what is not one plain word stands in quotes.
void append_word(std::string& out, std::string_view text) {
  bool plain = !text.empty() && text.find_first_of(" \"=\\") == std::string_view::npos;
  for (std::string_view rest = text; plain && !rest.empty();) {
    const std::size_t length = utf8_length(rest);
    plain = length > 0 && !is_control(rest);
    rest.remove_prefix(std::max<std::size_t>(1, length));
  }
  if (plain) {
    out += text;
    return;
  }
  out += '"';
  append_plain(out, text, "\"\\");
  out += '"';
}

}  // namespace

void configure(Level level, Format format) {
  set_all(level);
  state().format = format;
  state().apply_pattern();
}

bool set_level(std::string_view room, Level level) {
  const std::size_t i = index_of(room);
  if (i == room_names.size()) return false;
  state().levels[i] = static_cast<int>(level);
  return true;
}

void set_all(Level level) {
  for (auto& l : state().levels) l = static_cast<int>(level);
}

Pairs levels() {
  Pairs out;
  for (std::size_t i = 0; i < room_names.size(); ++i) {
    out.emplace_back(room_names[i],
                     level_names[static_cast<std::size_t>(state().levels[i].load())]);
  }
  return out;
}

bool parse_level(std::string_view text, Level& out) {
  for (std::size_t i = 0; i < level_names.size(); ++i) {
    if (text == level_names[i]) {
      out = static_cast<Level>(i);
      return true;
    }
  }
  return false;
}

void reopen() {
  state().logger->flush();
}

bool enabled(std::string_view room, Level level) {
  const std::size_t i = index_of(room);
  return i < room_names.size() &&
         static_cast<int>(level) >= state().levels[i].load(std::memory_order_relaxed);
}

void write(std::string_view room, Level level, std::string_view message, const Pairs& fields) {
  if (!enabled(room, level)) return;
  State& s = state();
  std::string line;
  if (s.format == Format::json) {
    line = "{\"time\":\"";
    const auto now =
        std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
    const std::time_t whole = std::chrono::system_clock::to_time_t(now);
    std::tm utc{};
    gmtime_r(&whole, &utc);
    std::array<char, 40> stamp{};
    const std::size_t length = std::strftime(stamp.data(), stamp.size(), "%Y-%m-%dT%H:%M:%S", &utc);
    std::snprintf(stamp.data() + length, stamp.size() - length, ".%03dZ\"",
                  static_cast<int>(now.time_since_epoch().count() % 1000));
    line += stamp.data();
    line += ",\"level\":\"";
    line += level_names[static_cast<std::size_t>(level)];
    line += "\",\"room\":";
    append_json(line, room);
    line += ",\"message\":";
    append_json(line, message);
    for (const auto& [key, value] : fields) {
      line += ',';
      append_json(line, key);
      line += ':';
      append_json(line, value);
    }
    line += '}';
  } else {
    line.append(room).append(": ");
    append_plain(line, message);
    for (const auto& [key, value] : fields) {
      line.append(" ").append(key).append("=");
      append_word(line, value);
    }
  }
  s.logger->log(to_spdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace outrigger::log
