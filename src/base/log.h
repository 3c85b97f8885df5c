#pragma once

// Log lines for people, on stderr, behind spdlog. Any thread; never on the request path (that is
// the access log's business). The caller writes, until start_writer(): from then on a thread of
// its own does, so that a pipe which is not being read blocks nothing else. The queue for it is
// bounded; lines beyond that are dropped and counted. Each room logs under its own name, whose
// level can be changed at run time.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"

namespace outrigger::log {

enum class Level { trace, debug, info, warn, error, off };
enum class Format { text, json };
using Pairs = std::vector<std::pair<std::string, std::string>>;

// Sets level and format of every room; before threads start, and again on reload.
void configure(Level level, Format format);
// Sets one room's level ("net", "tls", …); false when there is no such room.
bool set_level(std::string_view room, Level level);
void set_all(Level level);
// Room name and level, for the admin page.
Pairs levels();
// "info" -> Level::info; false when it is none.
bool parse_level(std::string_view text, Level& out);
// `fd`: for tests.
void start_writer(int fd = 2);
// Writes what is queued, as far as possible in this time; from then on callers write again.
void stop_writer(Duration patience);
// Lines dropped so far.
std::uint64_t dropped();
// Whether what goes to a descriptor may be coloured: it is a terminal, and NO_COLOR is not set or
// empty (https://no-color.org).
bool wants_color(int descriptor);

bool enabled(std::string_view room, Level level);
void write(std::string_view room, Level level, std::string_view message, const Pairs& fields = {});

inline void debug(std::string_view room, std::string_view message, const Pairs& fields = {}) {
  if (enabled(room, Level::debug)) write(room, Level::debug, message, fields);
}
inline void info(std::string_view room, std::string_view message, const Pairs& fields = {}) {
  write(room, Level::info, message, fields);
}
inline void warn(std::string_view room, std::string_view message, const Pairs& fields = {}) {
  write(room, Level::warn, message, fields);
}
inline void error(std::string_view room, std::string_view message, const Pairs& fields = {}) {
  write(room, Level::error, message, fields);
}

}  // namespace outrigger::log
