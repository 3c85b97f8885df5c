#pragma once

// The phase of the process's life cycle; set by the main thread, read by probes and admin pages on
// another.

#include <atomic>
#include <cstdint>

namespace outrigger::server {

enum class Phase : std::uint8_t {
  starting,  // ports are bound, not listening
  waiting,   // the admin port answers; names and registries have not all answered
  live,
  draining,
};

struct Life {
  std::atomic<Phase> phase{Phase::starting};
  std::atomic<bool> health_failed{false};  // an operator said so
  // As well; never taken back. The ports are closed, or stay so.
  std::atomic<bool> listeners_drained{false};
};

}  // namespace outrigger::server
