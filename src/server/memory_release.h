#pragma once

// Decides when a worker gives its free memory back: pools are kept while there is traffic to use
// them, so that requests allocate nothing, and given up once many connections have closed or come
// to rest and it has become quiet. One for each worker; its thread.
//
//   freed(1) for each connection that has closed   -> release(), once, a moment after the last

#include <cstddef>
#include <functional>

#include "base/time.h"
#include "net/loop.h"

namespace outrigger::server {

class MemoryRelease {
 public:
  static constexpr std::size_t many = 64;  // connections; fewer have not held enough
  static constexpr Duration quiet = milliseconds(250);
  // Between two releases at least; a release comes after so long though connections go on closing.
  static constexpr Duration interval = seconds(2);

  // `release` gives back what can be given back.
  MemoryRelease(net::Loop& loop, std::function<void()> release);

  // So many connections have closed, or come to rest.
  void freed(std::size_t connections) {
    freed_ += connections;
    if (freed_ >= many && !timer_.armed()) begin();
  }

 private:
  void begin();
  void look();

  net::Loop& loop_;
  std::function<void()> release_;
  TimePoint last_;  // release
  net::Timer timer_;
  TimePoint began_{};
  std::size_t freed_ = 0;  // since the last release
  std::size_t seen_ = 0;   // of them, when looked at last
};

}  // namespace outrigger::server
