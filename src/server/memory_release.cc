#include "server/memory_release.h"

#include <utility>

namespace outrigger::server {

MemoryRelease::MemoryRelease(net::Loop& loop, std::function<void()> release)
    : loop_(loop),
      release_(std::move(release)),
      last_(loop.now() - interval),
      timer_(net::Timer::to<&MemoryRelease::look>(*this)) {}

void MemoryRelease::begin() {
  began_ = loop_.now();
  seen_ = freed_;
  loop_.timers().arm(timer_, quiet);
}

void MemoryRelease::look() {
  const TimePoint now = loop_.now();
  const bool going_on = freed_ - std::exchange(seen_, freed_) >= many;
  if ((going_on && now - began_ < interval) || now - last_ < interval)
    return loop_.timers().arm(timer_, quiet);
  freed_ = seen_ = 0;
  last_ = now;
  release_();
}

}  // namespace outrigger::server
