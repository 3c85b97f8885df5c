#include "policy/retry.h"

#include <algorithm>
#include <charconv>

namespace outrigger::policy {
namespace {

using config::RetryOn;
using http::Known;
using http::StreamEnd;

bool wants(const config::Retry& config, RetryOn what) {
  return std::find(config.retry_on.begin(), config.retry_on.end(), what) != config.retry_on.end();
}

// What an attempt's end gives as a reason to go on, and for which methods.
struct Wish {
  RetryCause cause = RetryCause::none;
  bool any_method = false;
  bool free = false;
};

std::optional<int> parse_grpc_status(std::string_view text) {
  int value = 0;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || at != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

bool is_grpc_wanted(const config::Retry& config, int code) {
  switch (code) {
    case 1:
      return wants(config, RetryOn::grpc_cancelled);
    case 4:
      return wants(config, RetryOn::grpc_deadline_exceeded);
    case 8:
      return wants(config, RetryOn::grpc_resource_exhausted);
    case 13:
      return wants(config, RetryOn::grpc_internal);
    case 14:
      return wants(config, RetryOn::grpc_unavailable);
    default:
      return false;
  }
}

bool is_status_wanted(const config::Retry& config, int status) {
  if (status >= 500 && status <= 599 && wants(config, RetryOn::server_error)) return true;
  if (status >= 502 && status <= 504 && wants(config, RetryOn::gateway_error)) return true;
  if (status == 409 && wants(config, RetryOn::retriable_4xx)) return true;
  return std::any_of(config.statuses.begin(), config.statuses.end(),
                     [&](const auto& r) { return status >= r.first && status <= r.last; });
}

// A request that went out and brought no answer: it may have been worked on.
Wish wish_without_answer(const config::Retry& config, RetryCause cause) {
  if (wants(config, RetryOn::reset)) return {cause, true};
  if (wants(config, RetryOn::reset_before_response)) return {cause};
  const bool as_5xx = wants(config, RetryOn::gateway_error) || wants(config, RetryOn::server_error);
  return as_5xx ? Wish{cause} : Wish{};
}

Wish wish_after_reset(const config::Retry& config, StreamEnd end) {
  switch (end) {
    case StreamEnd::refused:
      // A peer sidecar's way to attest, so either name asks for it.
      if (wants(config, RetryOn::refused_stream) || wants(config, RetryOn::not_processed)) {
        return {RetryCause::refused_stream, true};
      }
      return {};
    case StreamEnd::no_tunnel:
      return {RetryCause::refused_stream, true, true};
    case StreamEnd::wrong_version:
      // As if the connection could not be opened.
      return {RetryCause::connect_failure, true, true};
    case StreamEnd::stale:
      return {RetryCause::stale_connection, wants(config, RetryOn::reset), true};
    case StreamEnd::cancelled:
    case StreamEnd::peer_reset:
    case StreamEnd::connection_lost:
      return wish_without_answer(config, RetryCause::reset);
    case StreamEnd::complete:
    case StreamEnd::protocol_error:
    case StreamEnd::too_large:
    case StreamEnd::flood:
    case StreamEnd::idle:
    case StreamEnd::head_refused:  // by every endpoint of its kind
    case StreamEnd::local:
      return {};  // the next endpoint would do the same, or the time is up
  }
  return {};
}

Wish wish_after_answer(const config::Retry& config, const AttemptEnd& end) {
  if (end.not_processed && wants(config, RetryOn::not_processed)) {
    return {RetryCause::not_processed, true};
  }
  if (end.grpc_status && is_grpc_wanted(config, *end.grpc_status)) {
    return {RetryCause::grpc_status, true};
  }
  if (is_status_wanted(config, end.status)) return {RetryCause::status, true};
  if (end.retriable_header && wants(config, RetryOn::retriable_headers)) {
    return {RetryCause::header, true};
  }
  return {};
}

Wish wish_of(const config::Retry& config, const AttemptEnd& end) {
  switch (end.kind) {
    case AttemptEnd::Kind::answered:
      return wish_after_answer(config, end);
    case AttemptEnd::Kind::reset:
      return wish_after_reset(config, end.end);
    case AttemptEnd::Kind::connect_failed:
      return {RetryCause::connect_failure, true, true};
    case AttemptEnd::Kind::timed_out:
      return wish_without_answer(config, RetryCause::timeout);
  }
  return {};
}

Duration delay_of(const config::Retry& config, const AttemptEnd& end, const RetryState& state,
                  Random& random) {
  if (end.pushback) return end.pushback->delay;
  const Duration own = backoff(config, state.retries + 1, random);
  return std::max(own, end.retry_after.value_or(Duration::zero()));
}

}  // namespace

AttemptEnd read_answer(const config::Retry& config, const http::Head& answer, WallTime now) {
  AttemptEnd end;
  end.status = answer.status;
  for (const http::Field& field : answer.fields) {
    switch (field.known) {
      case Known::grpc_status:
        end.grpc_status = parse_grpc_status(field.value);
        break;
      case Known::grpc_retry_pushback_ms:
        end.pushback = parse_pushback(field.value);
        break;
      case Known::retry_after:
        end.retry_after = parse_retry_after(field.value, now);
        break;
      default:
        break;
    }
    for (const std::string& name : config.headers) {
      end.retriable_header |= http::equal_ignoring_case(name, field.name);
    }
  }
  return end;
}

void read_trailers(const http::Fields& trailers, AttemptEnd& end) {
  if (const auto* field = trailers.find(Known::grpc_status)) {
    end.grpc_status = parse_grpc_status(field->value);
  }
  if (const auto* field = trailers.find(Known::grpc_retry_pushback_ms)) {
    end.pushback = parse_pushback(field->value);
  }
}

Duration pause_asked(const AttemptEnd& end) {
  if (end.pushback && !end.pushback->stop) return end.pushback->delay;
  return end.retry_after.value_or(Duration::zero());
}

RetryDecision decide_retry(const config::Retry& config, const AttemptEnd& end,
                           const RetryState& state, Random& random) {
  const Wish wish = wish_of(config, end);
  RetryDecision decision{.cause = wish.cause};
  if (wish.cause == RetryCause::none) return decision;
  const auto refuse = [&](RetryRefusal why) {
    decision.refusal = why;
    return decision;
  };

  if (state.answer_begun) return refuse(RetryRefusal::answer_begun);
  if (!wish.any_method && !state.idempotent) return refuse(RetryRefusal::not_idempotent);
  if (!state.replayable) return refuse(RetryRefusal::body_gone);
  if (state.time_left && *state.time_left <= Duration::zero()) {
    return refuse(RetryRefusal::deadline);
  }
  if (wish.free) {
    decision.free = true;
    return state.free_tries < free_tries_max ? decision : refuse(RetryRefusal::limit);
  }

  if (state.retries >= config.max) return refuse(RetryRefusal::limit);
  if (end.pushback && end.pushback->stop) return refuse(RetryRefusal::pushback);
  decision.delay = delay_of(config, end, state, random);
  if (decision.delay > retry_delay_max) return refuse(RetryRefusal::pushback);
  if (state.time_left && decision.delay >= *state.time_left) return refuse(RetryRefusal::deadline);
  if (!state.budget_left) return refuse(RetryRefusal::budget);
  return decision;
}

bool may_send_again(const config::Retry& config, const RetryState& state, bool may_be_stale) {
  if (may_be_stale && state.free_tries < free_tries_max &&
      (state.idempotent || wants(config, RetryOn::reset))) {
    return true;
  }
  if (state.retries >= config.max) return false;
  return !config.statuses.empty() ||
         std::any_of(config.retry_on.begin(), config.retry_on.end(), [&state](RetryOn what) {
           return state.idempotent || what != RetryOn::reset_before_response;
         });
}

const char* to_string(RetryCause cause) {
  switch (cause) {
    case RetryCause::none:
      return "none";
    case RetryCause::connect_failure:
      return "connect_failure";
    case RetryCause::stale_connection:
      return "stale_connection";
    case RetryCause::refused_stream:
      return "refused_stream";
    case RetryCause::not_processed:
      return "not_processed";
    case RetryCause::reset:
      return "reset";
    case RetryCause::timeout:
      return "timeout";
    case RetryCause::status:
      return "status";
    case RetryCause::grpc_status:
      return "grpc_status";
    case RetryCause::header:
      return "header";
  }
  return "unknown";
}

const char* to_string(RetryRefusal refusal) {
  switch (refusal) {
    case RetryRefusal::none:
      return "none";
    case RetryRefusal::answer_begun:
      return "answer_begun";
    case RetryRefusal::not_idempotent:
      return "not_idempotent";
    case RetryRefusal::body_gone:
      return "body_gone";
    case RetryRefusal::limit:
      return "limit";
    case RetryRefusal::pushback:
      return "pushback";
    case RetryRefusal::deadline:
      return "deadline";
    case RetryRefusal::budget:
      return "budget";
  }
  return "unknown";
}

}  // namespace outrigger::policy
