#pragma once

// Whether a failed attempt is followed by another one. A pure function: the caller keeps the
// counts, asks the budget and runs the timer.
//
// Three kinds of retry, from the safest to the boldest:
//
//   free      The connection could not be opened, or a kept-alive one turned out to be dead: up to
//             three other tries at once, not counted as retries. The dead one only for idempotent
//             methods, since a request that was written may have been read (RFC 9110
//             section 9.2.2).
//   provable  REFUSED_STREAM, or a peer that attests it never began: any method.
//   wished    Whatever else the configuration names. Resets and timeouts under
//             reset_before_response, gateway_error and 5xx are for idempotent methods only;
//             `reset`, statuses and gRPC codes mean what they say, for any method.
//
// Nothing is retried once a part of an answer has gone to the caller.

#include <cstdint>
#include <optional>

#include "base/random.h"
#include "base/time.h"
#include "config/model.h"
#include "http/head.h"
#include "http/stream.h"
#include "policy/backoff.h"

namespace outrigger::policy {

// How an attempt ended, as far as retrying goes.
struct AttemptEnd {
  enum class Kind : std::uint8_t { answered, reset, connect_failed, timed_out };
  Kind kind = Kind::answered;
  http::StreamEnd end = http::StreamEnd::complete;  // when reset
  // The peer attests that it did not begin: a marked 503.
  bool not_processed = false;
  int status = 0;
  std::optional<int> grpc_status{};
  bool retriable_header = false;
  std::optional<Duration> retry_after{};
  std::optional<Pushback> pushback{};
};

// Reads an answer's head: status, grpc-status of a trailers-only answer, Retry-After, pushback and
// the configured headers. `not_processed` is the caller's to set.
AttemptEnd read_answer(const config::Retry& config, const http::Head& answer, WallTime now);
// Adds what only trailers tell: grpc-status and pushback.
void read_trailers(const http::Fields& trailers, AttemptEnd& end);

// How long the endpoint asked not to be called; nothing when it did not.
Duration pause_asked(const AttemptEnd& end);

// What has been spent already, and what is still possible.
struct RetryState {
  int retries = 0;            // made so far for this request
  int free_tries = 0;         // made so far
  bool idempotent = false;    // http::is_idempotent() of the method
  bool replayable = true;     // all the caller has sent is still kept
  bool answer_begun = false;  // a part of an answer has gone to the caller
  bool budget_left = true;    // RetryBudget would give a permit
  std::optional<Duration> time_left{};
};

enum class RetryCause : std::uint8_t {
  none,
  connect_failure,
  stale_connection,
  refused_stream,
  not_processed,
  reset,
  timeout,
  status,
  grpc_status,
  header,
};
const char* to_string(RetryCause cause);

// Why not, though there was a cause.
enum class RetryRefusal : std::uint8_t {
  none,
  answer_begun,
  not_idempotent,
  body_gone,
  limit,
  pushback,
  deadline,
  budget,
};
const char* to_string(RetryRefusal refusal);

struct RetryDecision {
  RetryCause cause = RetryCause::none;  // none: the answer, or the failure, stands
  RetryRefusal refusal = RetryRefusal::none;
  bool free = false;  // count it in free_tries, and ask no budget
  Duration delay{};

  bool retry() const { return cause != RetryCause::none && refusal == RetryRefusal::none; }
};

inline constexpr int free_tries_max = 3;
// A peer that asks for a longer pause than this is not waited for.
inline constexpr Duration retry_delay_max = seconds(30);

RetryDecision decide_retry(const config::Retry& config, const AttemptEnd& end,
                           const RetryState& state, Random& random);

// Whether any end of a try whose request has begun to leave could lead to another one: if not, its
// body need not be kept. `may_be_stale`: it goes out on a reused HTTP/1 connection.
bool may_send_again(const config::Retry& config, const RetryState& state, bool may_be_stale);

}  // namespace outrigger::policy
