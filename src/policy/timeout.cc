#include "policy/timeout.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace outrigger::policy {
namespace {

struct Unit {
  char letter;
  std::int64_t nanoseconds;
};
// From the finest to the coarsest.
constexpr std::array<Unit, 6> units{{{'n', 1},
                                     {'u', 1'000},
                                     {'m', 1'000'000},
                                     {'S', 1'000'000'000},
                                     {'M', 60'000'000'000},
                                     {'H', 3'600'000'000'000}}};
constexpr std::int64_t grpc_value_max = 99'999'999;

// Digits only, at most `digits_max` of them.
std::optional<std::int64_t> parse_digits(std::string_view text, std::size_t digits_max) {
  if (text.empty() || text.size() > digits_max) return std::nullopt;
  std::int64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

std::string_view write_number(std::int64_t value, TimeoutText& room, char unit = '\0') {
  char* end = std::to_chars(room.data(), room.data() + room.size() - 1, value).ptr;
  if (unit != '\0') *end++ = unit;
  return {room.data(), static_cast<std::size_t>(end - room.data())};
}

}  // namespace

std::optional<Duration> parse_grpc_timeout(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const auto unit = std::find_if(units.begin(), units.end(),
                                 [&](const Unit& u) { return u.letter == text.back(); });
  const auto value = parse_digits(text.substr(0, text.size() - 1), 8);
  if (unit == units.end() || !value) return std::nullopt;
  if (*value > timeout_max.count() / unit->nanoseconds) return timeout_max;
  return Duration(*value * unit->nanoseconds);
}

std::optional<Duration> parse_deadline_ms(std::string_view text) {
  const auto value = parse_digits(text, 9);
  if (!value) return std::nullopt;
  return std::min<Duration>(milliseconds(*value), timeout_max);
}

std::string_view format_grpc_timeout(Duration left, TimeoutText& room) {
  const std::int64_t nanos = std::clamp<std::int64_t>(left.count(), 1, timeout_max.count());
  const Unit* unit = units.data();
  while (nanos / unit->nanoseconds > grpc_value_max) ++unit;  // ends: 72 h are 259,200 S
  return write_number(nanos / unit->nanoseconds, room, unit->letter);
}

std::string_view format_deadline_ms(Duration left, TimeoutText& room) {
  const auto millis = std::chrono::floor<milliseconds>(std::min(left, timeout_max));
  return write_number(std::max<std::int64_t>(millis.count(), 1), room);
}

TimeAllowed time_allowed(config::Millis route_timeout, const http::Head& request) {
  TimeAllowed allowed;
  if (route_timeout.count() > 0) allowed.answer = std::min<Duration>(route_timeout, timeout_max);
  const auto bound = [&](std::optional<Duration> callers) {
    if (callers) allowed.answer = std::min(allowed.answer.value_or(timeout_max), *callers);
  };
  if (const auto* field = request.fields.find(http::Known::grpc_timeout);
      field != nullptr && request.is_grpc()) {
    allowed.whole = parse_grpc_timeout(field->value);
    bound(allowed.whole);
  }
  if (const auto* field = request.fields.find(http::Known::x_outrigger_deadline_ms)) {
    bound(parse_deadline_ms(field->value));
  }
  return allowed;
}

void pass_on_deadline(const TimeAllowed& left, http::Head& request) {
  TimeoutText room;
  if (left.whole) {
    const std::string_view text = format_grpc_timeout(*left.whole, room);
    request.fields.set(http::Known::grpc_timeout, request.arena->copy(text));
  }
  if (left.answer) {
    const std::string_view text = format_deadline_ms(*left.answer, room);
    request.fields.set(http::Known::x_outrigger_deadline_ms, request.arena->copy(text));
  }
}

}  // namespace outrigger::policy
