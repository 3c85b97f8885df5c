#include "net/loop.h"

#include "base/check.h"

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
      timers_(now),
      random_(seed),
      scratch_(std::make_unique<char[]>(scratch_size)),
      plain_scratch_(std::make_unique<char[]>(scratch_size)) {}

Loop::~Loop() {
  retired_.run();
}

void Loop::finish_turn() {
  // A hook may give work to other connections, so that new hooks come while these run.
  while (!turn_end_.empty()) turn_end_.pop_front().on_turn_end();
  retired_.run();
}

void Loop::run_next_turn_hooks() {
  IntrusiveList<TurnHook> now_due;
  now_due.take_all(next_turn_);
  while (!now_due.empty()) now_due.pop_front().on_turn_end();
}

}  // namespace outrigger::net
