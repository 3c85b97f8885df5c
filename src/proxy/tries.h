#pragma once

// What the tries of one exchange have spent, and what the endpoints may have seen of the request.
// Part of an exchange; the worker's thread.

#include <cstdint>

#include "http/stream.h"
#include "policy/breaker.h"
#include "policy/retry.h"
#include "policy/retry_budget.h"
#include "proxy/attempt.h"
#include "upstream/cluster.h"

namespace outrigger::proxy {

class Tries {
 public:
  int retries() const { return retries_; }
  // Fills in what has been spent so far.
  void spent(policy::RetryState& state) const {
    state.retries = retries_;
    state.free_tries = free_;
  }

  void take_free() { ++free_; }
  // The right to one more try, from the breaker and the budget.
  enum class Took : std::uint8_t { yes, breaker_refused, budget_exhausted };
  Took take(upstream::Cluster& cluster, TimePoint now) {
    release();
    slot_ = cluster.breaker().retries.try_take();
    if (!slot_) return Took::breaker_refused;
    permit_ = cluster.retry_budget().try_take(now);
    if (!permit_) return Took::budget_exhausted;
    ++retries_;
    return Took::yes;
  }
  // The newest try has brought what it could, or the exchange is over: a stream that lives on is no
  // load that a retry adds.
  void release() {
    permit_.release();
    slot_.release();
  }

  // A try ended like this. `sent`: it had a stream.
  void ended(AttemptFailure failure, http::StreamEnd end, bool sent) {
    switch (failure) {
      case AttemptFailure::no_endpoint:
      case AttemptFailure::overflow:
      case AttemptFailure::connect_refused:
      case AttemptFailure::connect_timeout:
      case AttemptFailure::handshake:
        return;
      case AttemptFailure::timeout:
        seen_ = seen_ || sent;
        return;
      case AttemptFailure::stream:
        seen_ = seen_ ||
                (end != http::StreamEnd::refused && end != http::StreamEnd::no_tunnel &&
                 end != http::StreamEnd::head_refused && end != http::StreamEnd::wrong_version);
    }
  }
  void answered() { seen_ = true; }
  // No endpoint can have begun to work on it: safe to send elsewhere, whatever the method.
  bool unseen() const { return !seen_; }

 private:
  policy::RetryBudget::Permit permit_;
  policy::Permit slot_;
  int retries_ = 0;
  int free_ = 0;
  bool seen_ = false;  // by any of the tries that have ended
};

}  // namespace outrigger::proxy
