#include "config/scalars.h"

#include <array>
#include <charconv>
#include <numeric>
#include <optional>
#include <span>

#include "config/diagnostic.h"

namespace outrigger::config {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool all_digits(std::string_view text) {
  for (const char c : text) {
    if (!is_digit(c)) return false;
  }
  return !text.empty();
}

// A decimal number in front of a unit, exact: value = digits / 10^places.
struct Decimal {
  std::uint64_t digits = 0;
  int places = 0;
  std::string_view unit;
};

// At most 15 digits: more than any value needs, and no arithmetic on them overflows.
std::optional<Decimal> split_decimal(std::string_view text) {
  Decimal out;
  std::size_t i = 0;
  int count = 0;
  bool point = false;
  for (; i < text.size() && (is_digit(text[i]) || (text[i] == '.' && !point)); ++i) {
    if (text[i] == '.') {
      point = true;
      continue;
    }
    if (++count > 15) return std::nullopt;
    out.digits = out.digits * 10 + static_cast<std::uint64_t>(text[i] - '0');
    if (point) ++out.places;
  }
  if (count == 0 || text[0] == '.' || text[i - 1] == '.') return std::nullopt;
  if (text.size() > 1 && text[0] == '0' && is_digit(text[1])) return std::nullopt;
  out.unit = text.substr(i);
  return out;
}

enum class Scaled { ok, too_fine, too_large };

// value * unit, refused when it is not whole or beyond `most`.
Scaled scale(const Decimal& value, std::uint64_t unit, std::uint64_t most, std::uint64_t& out) {
  std::uint64_t divisor = 1;
  for (int i = 0; i < value.places; ++i) divisor *= 10;
  const std::uint64_t common = std::gcd(unit, divisor);
  unit /= common;
  divisor /= common;
  if (value.digits % divisor != 0) return Scaled::too_fine;
  if (value.digits / divisor > most / unit) return Scaled::too_large;
  out = value.digits / divisor * unit;
  return Scaled::ok;
}

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

const Unit* find_unit(std::span<const Unit> units, std::string_view name) {
  for (const Unit& unit : units) {
    if (unit.name == name) return &unit;
  }
  return nullptr;
}

constexpr std::array<Unit, 4> duration_units{
    {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}}};
constexpr std::array<Unit, 5> size_units{
    {{"B", 1}, {"KiB", 1ULL << 10}, {"MiB", 1ULL << 20}, {"GiB", 1ULL << 30}, {"TiB", 1ULL << 40}}};
constexpr std::uint64_t duration_max = 10ULL * 365 * 24 * 3'600'000;
constexpr std::uint64_t size_max = 1ULL << 50;

// The largest unit that shows `value` without a fraction.
std::string show_in_units(std::uint64_t value, std::span<const Unit> units) {
  const Unit* best = &units.front();
  for (const Unit& unit : units) {
    if (value != 0 && value % unit.factor == 0) best = &unit;
  }
  return std::to_string(value / best->factor) + std::string(best->name);
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace

Result<Millis> parse_duration(std::string_view text) {
  const auto value = split_decimal(text);
  if (!value)
    return Error{quoted(text) + " is not a duration; write for example 250ms, 1.5s or 2h"};
  const std::string number(text.substr(0, text.size() - value->unit.size()));
  if (value->unit.empty()) {
    return Error{quoted(text) + " has no unit; write " + number + "ms, " + number + "s, " + number +
                 "m or " + number + "h"};
  }
  const Unit* unit = find_unit(duration_units, value->unit);
  if (unit == nullptr) {
    return Error{"unknown unit " + quoted(value->unit) + " in a duration; use ms, s, m or h"};
  }
  std::uint64_t millis = 0;
  switch (scale(*value, unit->factor, duration_max, millis)) {
    case Scaled::too_fine:
      return Error{quoted(text) + " is finer than a millisecond"};
    case Scaled::too_large:
      return Error{quoted(text) + " is longer than ten years"};
    case Scaled::ok:
      break;
  }
  return Millis(static_cast<std::int64_t>(millis));
}

std::string show_duration(Millis value) {
  return show_in_units(static_cast<std::uint64_t>(value.count()), duration_units);
}

Result<std::uint64_t> parse_size(std::string_view text) {
  const auto value = split_decimal(text);
  if (!value) return Error{quoted(text) + " is not a size; write for example 64KiB or 10MiB"};
  const std::string number(text.substr(0, text.size() - value->unit.size()));
  if (value->unit.empty()) {
    return Error{quoted(text) + " has no unit; write " + number + "B, " + number + "KiB, " +
                 number + "MiB or " + number + "GiB"};
  }
  const Unit* unit = find_unit(size_units, value->unit);
  if (unit == nullptr) {
    return Error{"unknown unit " + quoted(value->unit) + " in a size; use B, KiB, MiB, GiB or TiB"};
  }
  std::uint64_t bytes = 0;
  switch (scale(*value, unit->factor, size_max, bytes)) {
    case Scaled::too_fine:
      return Error{quoted(text) + " is not a whole number of bytes"};
    case Scaled::too_large:
      return Error{quoted(text) + " is larger than 1024TiB"};
    case Scaled::ok:
      break;
  }
  return bytes;
}

std::string show_size(std::uint64_t bytes) {
  return show_in_units(bytes, size_units);
}

Result<std::uint32_t> parse_percent(std::string_view text) {
  const auto value = split_decimal(text);
  if (!value) return Error{quoted(text) + " is not a percentage; write for example 5% or 0.1%"};
  if (value->unit.empty()) {
    return Error{quoted(text) + " has no unit; write " + std::string(text) + "%"};
  }
  if (value->unit != "%") return Error{quoted(text) + " is not a percentage; write for example 5%"};
  std::uint64_t hundredths = 0;
  switch (scale(*value, 100, 10'000, hundredths)) {
    case Scaled::too_fine:
      return Error{quoted(text) + " is finer than 0.01%"};
    case Scaled::too_large:
      return Error{quoted(text) + " is more than 100%"};
    case Scaled::ok:
      break;
  }
  return static_cast<std::uint32_t>(hundredths);
}

std::string show_percent(std::uint32_t hundredths) {
  std::string out = std::to_string(hundredths / 100);
  if (hundredths % 100 != 0) {
    std::string rest = std::to_string(100 + hundredths % 100).substr(1);
    if (rest.back() == '0') rest.pop_back();
    out += "." + rest;
  }
  return out + "%";
}

Result<Rate> parse_rate(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string_view count = text.substr(0, slash);
  const auto number = parse_integer(count, 1, 1'000'000'000);
  if (!number) return Error{quoted(text) + " is not a rate; write for example 500/s or 30/m"};
  if (slash == std::string_view::npos) {
    const std::string shown(text);
    return Error{quoted(text) + " has no period; write " + shown + "/s, " + shown + "/m or " +
                 shown + "/h"};
  }
  const std::string_view per = text.substr(slash + 1);
  const Unit* unit = per == "ms" ? nullptr : find_unit(duration_units, per);
  if (unit == nullptr) {
    return Error{"unknown period " + quoted(per) + " in a rate; use s, m or h"};
  }
  return Rate{*number, Millis(static_cast<std::int64_t>(unit->factor))};
}

Result<std::uint64_t> parse_integer(std::string_view text, std::uint64_t least,
                                    std::uint64_t most) {
  if (!all_digits(text)) return Error{quoted(text) + " is not a whole number"};
  if (text.size() > 1 && text[0] == '0') {
    const std::size_t digit = text.find_first_not_of('0');
    return Error{quoted(text) + " has a leading zero; write " +
                 std::string(digit == std::string_view::npos ? "0" : text.substr(digit))};
  }
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most) {
    return Error{quoted(text) + " is out of range; expected a whole number from " +
                 std::to_string(least) + " to " + std::to_string(most)};
  }
  return value;
}

Result<bool> parse_bool(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  const std::string word = lower(text);
  const bool yes = word == "yes" || word == "on" || word == "true" || word == "1" || word == "y";
  const bool no = word == "no" || word == "off" || word == "false" || word == "0" || word == "n";
  if (yes || no)
    return Error{quoted(text) + " is not a boolean; write " + (yes ? "true" : "false")};
  return Error{quoted(text) + " is neither true nor false"};
}

}  // namespace outrigger::config
