#include "net/loop.h"

#include <algorithm>
#include <cstdio>

#include "base/check.h"
#include "net/pipe.h"

namespace outrigger::net {

void RetireList::add(std::unique_ptr<Retirable> object) {
  if (!object) return;
  Retirable* raw = object.release();
  if (last_ == nullptr) {
    first_ = raw;
  } else {
    last_->next_retired_ = raw;
  }
  last_ = raw;
}

void RetireList::run() {
  while (first_ != nullptr) {
    std::unique_ptr<Retirable> object(first_);
    first_ = object->next_retired_;
    if (first_ == nullptr) last_ = nullptr;
  }
}

Loop::Loop(TimePoint now, std::uint64_t seed)
    : now_(now),
      pipes_(std::make_unique<PipePool>()),
      timers_(now),
      random_(seed),
      scratch_(std::make_unique<char[]>(scratch_size)),
      plain_scratch_(std::make_unique<char[]>(scratch_size)) {}

Loop::~Loop() {
  retired_.run();
}

std::string_view Loop::http_date() {
  const std::string_view date(date_.data(), date_.size());
  if (now_ < date_until_) return date;
  const WallTime wall = wall_now();
  const auto second = std::chrono::floor<std::chrono::seconds>(wall);
  const auto day = std::chrono::floor<std::chrono::days>(second);
  const std::chrono::year_month_day ymd(day);
  const std::chrono::hh_mm_ss time(second - day);
  constexpr std::array<const char*, 7> days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<const char*, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                               "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%s, %02u %s %04d %02d:%02d:%02d GMT",
                days[std::chrono::weekday(day).c_encoding()], static_cast<unsigned>(ymd.day()),
                months[static_cast<unsigned>(ymd.month()) - 1], static_cast<int>(ymd.year()),
                static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                static_cast<int>(time.seconds().count()));
  std::copy_n(text.begin(), date_.size(), date_.begin());
  date_until_ = now_ + std::chrono::seconds(1) - (wall - second);
  return date;
}

void Loop::finish_turn() {
  // A hook may give work to other connections, so that new hooks come while these run. This ends:
  // hooks only send and notify; further input is read in the next turn.
  while (!turn_end_.empty()) [[unlikely]] turn_end_.pop_front().on_turn_end();
  retired_.run();
}

void Loop::run_next_turn_hooks() {
  IntrusiveList<YieldingHook> now_due;
  now_due.take_all(next_turn_);
  while (!now_due.empty()) now_due.pop_front().on_next_turn();
}

}  // namespace outrigger::net
