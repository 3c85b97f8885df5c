#include "net/timer.h"

#include <algorithm>
#include <bit>

namespace outrigger::net {
namespace {

constexpr std::uint64_t never = ~0ULL;

}  // namespace

std::uint64_t TimerWheel::tick_of(TimePoint t) const {
  if (t <= base_) return 0;
  return static_cast<std::uint64_t>((t - base_ + tick - Duration(1)) / tick);
}

void TimerWheel::arm_at(Timer& timer, TimePoint deadline) {
  timer.unlink();
  timer.deadline_ = deadline;
  place(timer, std::max(tick_of(deadline), current_ + 1));
}

void TimerWheel::place(Timer& timer, std::uint64_t at) {
  // The last level holds whatever is farther away; it is placed again when its slot comes.
  constexpr std::uint64_t span_max = (1ULL << (level_bits * levels)) - 1;
  at = std::min(at, current_ + span_max);
  const std::uint64_t distance = at - current_;
  int level = 0;
  while (level + 1 < levels && distance >= (1ULL << (level_bits * (level + 1)))) ++level;
  const std::uint64_t slot = (at >> (level_bits * level)) & (slots - 1);
  wheel_[static_cast<std::size_t>(level)][slot].push_back(timer);
  occupied_[static_cast<std::size_t>(level)][slot / 64] |= 1ULL << (slot % 64);
  const std::uint64_t event =
      level == 0 ? at : (at >> (level_bits * level)) << (level_bits * level);
  if (event < earliest_) {
    earliest_ = event;
    rearmed_ = true;
  }
}

// The distance, 1 to 256, from slot `from` to the next occupied one; 0 when the level is empty.
std::uint64_t TimerWheel::next_occupied(int level, std::uint64_t from) const {
  const auto& bits = occupied_[static_cast<std::size_t>(level)];
  for (std::uint64_t step = 1; step <= slots;) {
    const std::uint64_t slot = (from + step) & (slots - 1);
    const std::uint64_t word = bits[slot / 64] >> (slot % 64);
    const std::uint64_t left_in_word = 64 - slot % 64;
    if (word != 0) {
      step += static_cast<std::uint64_t>(std::countr_zero(word));
      return step <= slots ? step : 0;
    }
    step += left_in_word;
  }
  return 0;
}

std::uint64_t TimerWheel::find_earliest() const {
  std::uint64_t result = never;
  for (int level = 0; level < levels; ++level) {
    const std::uint64_t position = current_ >> (level_bits * level);
    const std::uint64_t step = next_occupied(level, position & (slots - 1));
    if (step != 0) result = std::min(result, (position + step) << (level_bits * level));
  }
  return result;
}

void TimerWheel::cascade(int level, std::uint64_t position) {
  const std::uint64_t slot = position & (slots - 1);
  List moving;
  moving.take_all(wheel_[static_cast<std::size_t>(level)][slot]);
  occupied_[static_cast<std::size_t>(level)][slot / 64] &= ~(1ULL << (slot % 64));
  while (!moving.empty()) {
    Timer& timer = moving.pop_front();
    place(timer, std::max(tick_of(timer.deadline_), current_));
  }
}

int TimerWheel::advance(TimePoint now) {
  now_ = std::max(now_, now);
  const auto target = static_cast<std::uint64_t>((now_ - base_) / tick);
  int ran = 0;
  while (earliest_ <= target) {
    current_ = earliest_;
    for (int level = levels - 1; level > 0; --level) {
      if ((current_ & ((1ULL << (level_bits * level)) - 1)) == 0) {
        cascade(level, current_ >> (level_bits * level));
      }
    }
    const std::uint64_t slot = current_ & (slots - 1);
    List due;
    due.take_all(wheel_[0][slot]);
    occupied_[0][slot / 64] &= ~(1ULL << (slot % 64));
    while (!due.empty()) {
      Timer& timer = due.pop_front();
      ++ran;
      timer.callback_(timer.argument_);
    }
    earliest_ = find_earliest();
  }
  current_ = std::max(current_, target);
  return ran;
}

std::optional<TimePoint> TimerWheel::next() const {
  if (earliest_ == never) return std::nullopt;
  return base_ + static_cast<std::int64_t>(earliest_) * tick;
}

}  // namespace outrigger::net
