#include "policy/backoff.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace outrigger::policy {
namespace {

constexpr Duration wait_max = hours(24);

std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (at != end || text.empty()) return std::nullopt;
  if (error == std::errc::result_out_of_range) return std::nullopt;
  return value;
}

// "Sun, 06 Nov 1994 08:49:37 GMT": every part has its place.
std::optional<WallTime> parse_date(std::string_view text) {
  constexpr std::array<std::string_view, 12> months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  if (text.size() != 29 || text.substr(3, 2) != ", " || text[7] != ' ' || text[11] != ' ' ||
      text[16] != ' ' || text[19] != ':' || text[22] != ':' || text.substr(25) != " GMT") {
    return std::nullopt;
  }
  const auto month = std::find(months.begin(), months.end(), text.substr(8, 3));
  const auto day = number(text.substr(5, 2)), year = number(text.substr(12, 4));
  const auto hour = number(text.substr(17, 2)), minute = number(text.substr(20, 2));
  const auto second = number(text.substr(23, 2));
  if (month == months.end() || !day || !year || !hour || !minute || !second) return std::nullopt;
  const std::chrono::year_month_day date{
      std::chrono::year(static_cast<int>(*year)),
      std::chrono::month(static_cast<unsigned>(month - months.begin()) + 1),
      std::chrono::day(static_cast<unsigned>(*day))};
  const bool in_range = *hour >= 0 && *hour < 24 && *minute >= 0 && *minute < 60 && *second >= 0 &&
                        *second <= 60;  // 60: a leap second
  if (!date.ok() || !in_range) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(*hour) + minutes(*minute) +
         seconds(*second);
}

}  // namespace

Duration backoff(const config::Retry& config, int retry, Random& random) {
  Duration ceiling = config.backoff_base;
  for (int i = 1; i < retry && ceiling < config.backoff_max; ++i) ceiling *= 2;
  ceiling = std::min<Duration>(ceiling, config.backoff_max);
  return std::chrono::duration_cast<Duration>(ceiling * random.unit());
}

std::optional<Duration> parse_retry_after(std::string_view text, WallTime now) {
  const bool digits = !text.empty() && std::all_of(text.begin(), text.end(),
                                                   [](char c) { return c >= '0' && c <= '9'; });
  if (digits) {
    const auto value = number(text);
    if (!value || *value > std::chrono::duration_cast<seconds>(wait_max).count()) return wait_max;
    return seconds(*value);
  }
  const auto date = parse_date(text);
  if (!date) return std::nullopt;
  if (*date <= now) return Duration::zero();
  // Compared in microseconds: the year 9999 is out of the reach of nanoseconds.
  constexpr auto longest = std::chrono::duration_cast<microseconds>(wait_max);
  return std::min<microseconds>(*date - now, longest);
}

Pushback parse_pushback(std::string_view text) {
  const auto value = number(text);
  if (!value || *value < 0) return {.stop = true};
  const auto limit = std::chrono::duration_cast<milliseconds>(wait_max).count();
  return {.delay = milliseconds(std::min<std::int64_t>(*value, limit))};
}

}  // namespace outrigger::policy
