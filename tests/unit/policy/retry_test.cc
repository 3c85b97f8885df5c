#include "policy/retry.h"

#include <gtest/gtest.h>

#include "policy/backoff.h"

namespace outrigger::policy {
namespace {

using namespace std::chrono_literals;
using config::RetryOn;
using http::Known;
using http::StreamEnd;
using Kind = AttemptEnd::Kind;
using Cause = RetryCause;
using Refusal = RetryRefusal;

AttemptEnd answered(int status) {
  return {.status = status};
}
AttemptEnd grpc(int code) {
  return {.status = 200, .grpc_status = code};
}
AttemptEnd reset(StreamEnd end) {
  return {.kind = Kind::reset, .end = end};
}
const AttemptEnd connect_failed{.kind = Kind::connect_failed};
const AttemptEnd timed_out{.kind = Kind::timed_out};
const AttemptEnd attested{.not_processed = true, .status = 503};

config::Retry retry_on(std::vector<RetryOn> what) {
  config::Retry config;
  config.retry_on = std::move(what);
  return config;
}

struct Case {
  const char* name;
  config::Retry config;
  AttemptEnd end;
  bool idempotent;
  Cause cause;
  Refusal refusal = Refusal::none;
  bool free = false;
};

TEST(DecideRetry, ByWhatIsWishedAndWhatIsSafe) {
  const config::Retry defaults;
  config::Retry ranges = retry_on({});
  ranges.statuses = {{500, 500}, {520, 529}};
  config::Retry none = retry_on({});
  const auto all_resets = {StreamEnd::cancelled, StreamEnd::peer_reset, StreamEnd::connection_lost};
  std::vector<Case> cases = {
      // The defaults: what is provably safe for any method.
      {"200", defaults, answered(200), true, Cause::none},
      {"503 is an answer", defaults, answered(503), true, Cause::none},
      {"refused, POST", defaults, reset(StreamEnd::refused), false, Cause::refused_stream},
      {"attested 503, POST", defaults, attested, false, Cause::not_processed},
      {"connect failure, POST", defaults, connect_failed, false, Cause::connect_failure,
       Refusal::none, true},
      {"stale, GET", defaults, reset(StreamEnd::stale), true, Cause::stale_connection,
       Refusal::none, true},
      {"stale, POST", defaults, reset(StreamEnd::stale), false, Cause::stale_connection,
       Refusal::not_idempotent},
      {"timeout, GET", defaults, timed_out, true, Cause::timeout},
      {"timeout, POST", defaults, timed_out, false, Cause::timeout, Refusal::not_idempotent},
      {"grpc unavailable unasked", defaults, grpc(14), true, Cause::none},
      // What another endpoint would not do better.
      {"protocol error", defaults, reset(StreamEnd::protocol_error), true, Cause::none},
      {"too large", defaults, reset(StreamEnd::too_large), true, Cause::none},
      {"idle", defaults, reset(StreamEnd::idle), true, Cause::none},
      {"local", defaults, reset(StreamEnd::local), true, Cause::none},
      // Nothing configured: only what is not a retry.
      {"refused unwished", none, reset(StreamEnd::refused), true, Cause::none},
      {"attested unwished", none, attested, true, Cause::none},
      {"reset unwished", none, reset(StreamEnd::peer_reset), true, Cause::none},
      {"connect failure is free", none, connect_failed, false, Cause::connect_failure,
       Refusal::none, true},
      // Each name covers exactly what it says.
      {"refused under not_processed", retry_on({RetryOn::not_processed}), reset(StreamEnd::refused),
       false, Cause::refused_stream},
      {"reset, POST", retry_on({RetryOn::reset}), reset(StreamEnd::peer_reset), false,
       Cause::reset},
      {"reset covers stale, POST", retry_on({RetryOn::reset}), reset(StreamEnd::stale), false,
       Cause::stale_connection, Refusal::none, true},
      {"reset covers timeouts, POST", retry_on({RetryOn::reset}), timed_out, false, Cause::timeout},
      {"gateway error 502, POST", retry_on({RetryOn::gateway_error}), answered(502), false,
       Cause::status},
      {"gateway error 504", retry_on({RetryOn::gateway_error}), answered(504), true, Cause::status},
      {"gateway error not 501", retry_on({RetryOn::gateway_error}), answered(501), true,
       Cause::none},
      {"gateway error not 505", retry_on({RetryOn::gateway_error}), answered(505), true,
       Cause::none},
      {"gateway error, reset GET", retry_on({RetryOn::gateway_error}), reset(StreamEnd::peer_reset),
       true, Cause::reset},
      {"gateway error, reset POST", retry_on({RetryOn::gateway_error}),
       reset(StreamEnd::peer_reset), false, Cause::reset, Refusal::not_idempotent},
      {"5xx: 500", retry_on({RetryOn::server_error}), answered(500), false, Cause::status},
      {"5xx: 599", retry_on({RetryOn::server_error}), answered(599), false, Cause::status},
      {"5xx: not 499", retry_on({RetryOn::server_error}), answered(499), true, Cause::none},
      {"retriable 4xx: 409", retry_on({RetryOn::retriable_4xx}), answered(409), true,
       Cause::status},
      {"retriable 4xx: not 404", retry_on({RetryOn::retriable_4xx}), answered(404), true,
       Cause::none},
      {"status 500", ranges, answered(500), true, Cause::status},
      {"status 501", ranges, answered(501), true, Cause::none},
      {"range low", ranges, answered(520), true, Cause::status},
      {"range high", ranges, answered(529), true, Cause::status},
      {"range beyond", ranges, answered(530), true, Cause::none},
      {"header unwished", defaults, {.status = 200, .retriable_header = true}, true, Cause::none},
      {"header",
       retry_on({RetryOn::retriable_headers}),
       {.status = 200, .retriable_header = true},
       false,
       Cause::header},
  };
  for (const StreamEnd end : all_resets) {
    cases.push_back({"reset before response, GET", defaults, reset(end), true, Cause::reset});
    cases.push_back({"reset before response, POST", defaults, reset(end), false, Cause::reset,
                     Refusal::not_idempotent});
  }
  const std::pair<RetryOn, int> codes[] = {{RetryOn::grpc_cancelled, 1},
                                           {RetryOn::grpc_deadline_exceeded, 4},
                                           {RetryOn::grpc_resource_exhausted, 8},
                                           {RetryOn::grpc_internal, 13},
                                           {RetryOn::grpc_unavailable, 14}};
  for (const auto& [on, code] : codes) {
    for (int other = 0; other <= 16; ++other) {
      cases.push_back({"grpc", retry_on({on}), grpc(other), false,
                       other == code ? Cause::grpc_status : Cause::none});
    }
  }

  Random random(1);
  for (const Case& c : cases) {
    const RetryDecision d = decide_retry(c.config, c.end, {.idempotent = c.idempotent}, random);
    EXPECT_EQ(d.cause, c.cause) << c.name << ": " << to_string(d.cause);
    EXPECT_EQ(d.refusal, c.refusal) << c.name << ": " << to_string(d.refusal);
    EXPECT_EQ(d.free, c.free) << c.name;
    EXPECT_EQ(d.retry(), c.cause != Cause::none && c.refusal == Refusal::none) << c.name;
    if (c.free) {
      EXPECT_EQ(d.delay, 0ms) << c.name;
    }
  }
}

struct StateCase {
  const char* name;
  AttemptEnd end;
  RetryState state;
  Refusal refusal;
};

TEST(DecideRetry, ByWhatIsStillPossible) {
  const AttemptEnd refused = reset(StreamEnd::refused);
  AttemptEnd later = refused, much_later = refused, pushed = refused, stopped = refused;
  later.retry_after = 2s;
  much_later.retry_after = 31s;
  pushed.pushback = Pushback{.delay = 2s};
  stopped.pushback = Pushback{.stop = true};
  const StateCase cases[] = {
      {"first", refused, {}, Refusal::none},
      {"limit", refused, {.retries = 1}, Refusal::limit},
      {"answer begun", refused, {.answer_begun = true}, Refusal::answer_begun},
      {"body gone", refused, {.replayable = false}, Refusal::body_gone},
      {"no budget", refused, {.budget_left = false}, Refusal::budget},
      {"no time", refused, {.time_left = 0s}, Refusal::deadline},
      {"time", refused, {.time_left = 1s}, Refusal::none},
      {"retry-after fits", later, {.time_left = 3s}, Refusal::none},
      {"retry-after beyond the deadline", later, {.time_left = 2s}, Refusal::deadline},
      {"retry-after without deadline", later, {}, Refusal::none},
      {"retry-after too long", much_later, {}, Refusal::pushback},
      {"pushback fits", pushed, {.time_left = 3s}, Refusal::none},
      {"pushback beyond the deadline", pushed, {.time_left = 1s}, Refusal::deadline},
      {"pushback says stop", stopped, {}, Refusal::pushback},
      {"free ones ask no budget and no limit",
       connect_failed,
       {.retries = 9, .free_tries = 2, .budget_left = false},
       Refusal::none},
      {"free ones end too", connect_failed, {.free_tries = 3}, Refusal::limit},
      {"free ones need the body", connect_failed, {.replayable = false}, Refusal::body_gone},
      {"free ones need time", connect_failed, {.time_left = -1s}, Refusal::deadline},
      {"free after the answer began",
       connect_failed,
       {.answer_begun = true},
       Refusal::answer_begun},
  };
  Random random(1);
  for (const StateCase& c : cases) {
    const RetryDecision d = decide_retry(config::Retry{}, c.end, c.state, random);
    EXPECT_NE(d.cause, Cause::none) << c.name;
    EXPECT_EQ(d.refusal, c.refusal) << c.name << ": " << to_string(d.refusal);
  }
  EXPECT_EQ(decide_retry({}, later, {}, random).delay, 2s);
  EXPECT_EQ(decide_retry({}, pushed, {}, random).delay, 2s);
}

TEST(DecideRetry, ZeroTurnsRetriesOffButNotTheFreeTries) {
  config::Retry config;
  config.max = 0;
  Random random(1);
  EXPECT_EQ(decide_retry(config, reset(StreamEnd::refused), {}, random).refusal, Refusal::limit);
  EXPECT_TRUE(decide_retry(config, connect_failed, {}, random).retry());
}

TEST(SendAgain, ABodyIsKeptOnlyWhereAnotherTryCouldUseIt) {
  struct Keep {
    const char* name;
    config::Retry config;
    RetryState state;
    bool may_be_stale;
    bool keep;
  };
  config::Retry none = retry_on({RetryOn::refused_stream});
  none.max = 0;
  config::Retry statuses = retry_on({});
  statuses.statuses = {{429, 429}};
  const std::vector<Keep> cases{
      {"retries are off", none, {}, false, false},
      {"a stale connection and an idempotent method", none, {.idempotent = true}, true, true},
      {"a stale connection and another method", none, {}, true, false},
      {"free tries are used up", none, {.free_tries = 3, .idempotent = true}, true, false},
      {"the default, any method", config::Retry(), {}, false, true},
      {"retries are used up", config::Retry(), {.retries = 1}, false, false},
      {"resets, idempotent",
       retry_on({RetryOn::reset_before_response}),
       {.idempotent = true},
       false,
       true},
      {"resets, not idempotent", retry_on({RetryOn::reset_before_response}), {}, false, false},
      {"a status", statuses, {}, false, true},
      {"nothing is wanted", retry_on({}), {.idempotent = true}, false, false}};
  for (const Keep& c : cases)
    EXPECT_EQ(may_send_again(c.config, c.state, c.may_be_stale), c.keep) << c.name;
}

TEST(PauseAsked, PushbackGoesBeforeRetryAfter) {
  EXPECT_EQ(pause_asked({}), Duration::zero());
  EXPECT_EQ(pause_asked({.retry_after = 3s}), Duration(3s));
  EXPECT_EQ(pause_asked({.retry_after = 3s, .pushback = Pushback{.delay = 1s}}), Duration(1s));
  EXPECT_EQ(pause_asked({.pushback = Pushback{.stop = true}}), Duration::zero());
}

TEST(ReadAnswer, FindsWhatRetriesGoBy) {
  BlockPool pool;
  Arena arena(pool);
  http::Head head(arena);
  head.status = 503;
  head.fields.add("Retry-After", "3");
  head.fields.add("grpc-status", "14");
  head.fields.add("grpc-retry-pushback-ms", "250");
  head.fields.add("X-Try-Again", "");
  config::Retry config;
  AttemptEnd end = read_answer(config, head, WallTime{});
  EXPECT_EQ(end.status, 503);
  EXPECT_EQ(end.grpc_status, 14);
  EXPECT_EQ(end.retry_after, Duration(3s));
  ASSERT_TRUE(end.pushback);
  EXPECT_EQ(end.pushback->delay, 250ms);
  EXPECT_FALSE(end.retriable_header);
  config.headers = {"x-other", "x-try-again"};
  EXPECT_TRUE(read_answer(config, head, WallTime{}).retriable_header);

  AttemptEnd streamed = answered(200);
  http::Fields trailers(arena);
  trailers.add("grpc-status", "8");
  trailers.add("grpc-retry-pushback-ms", "no");
  read_trailers(trailers, streamed);
  EXPECT_EQ(streamed.grpc_status, 8);
  EXPECT_TRUE(streamed.pushback->stop);
}

TEST(ReadAnswer, MalformedGrpcStatusIsNone) {
  BlockPool pool;
  for (const char* text : {"", "x", "-1", "1 ", "99999999999"}) {
    Arena arena(pool);
    http::Head head(arena);
    head.status = 200;
    head.fields.add("grpc-status", text);
    EXPECT_EQ(read_answer({}, head, WallTime{}).grpc_status, std::nullopt) << text;
  }
}

TEST(Backoff, IsFullJitterUnderADoublingCeiling) {
  const config::Retry config;  // 25 ms to 250 ms
  const Duration ceilings[] = {25ms, 50ms, 100ms, 200ms, 250ms, 250ms};
  Random random(7);
  for (int retry = 1; retry <= 6; ++retry) {
    const Duration ceiling = ceilings[retry - 1];
    Duration least = 1h, most = 0s, sum = 0s;
    for (int i = 0; i < 10'000; ++i) {
      const Duration d = backoff(config, retry, random);
      least = std::min(least, d);
      most = std::max(most, d);
      sum += d;
    }
    EXPECT_LT(least, ceiling / 100);
    EXPECT_GT(most, ceiling * 99 / 100);
    EXPECT_LE(most, ceiling);
    EXPECT_NEAR(static_cast<double>((sum / 10'000).count()),
                static_cast<double>(ceiling.count()) / 2,
                static_cast<double>(ceiling.count()) / 50);
  }
  EXPECT_LE(backoff(config, 1'000'000, random), 250ms);
}

TEST(RetryAfter, IsSecondsOrADate) {
  const WallTime now = std::chrono::sys_days(std::chrono::year(1994) / 11 / 6) + 8h + 49min + 30s;
  struct Date {
    const char* text;
    std::optional<Duration> value;
  };
  const Date cases[] = {
      {"0", 0s},
      {"120", 120s},
      {"86400", 24h},
      {"86401", 24h},
      {"99999999999999999999999", 24h},
      {"Sun, 06 Nov 1994 08:49:37 GMT", 7s},
      {"Sun, 06 Nov 1994 08:49:29 GMT", 0s},
      {"Sun, 06 Nov 1904 08:49:29 GMT", 0s},
      {"Fri, 31 Dec 9999 23:59:59 GMT", 24h},
      {"Fri, 31 Dec 0000 23:59:59 GMT", 0s},
      {"", std::nullopt},
      {"-1", std::nullopt},
      {"+1", std::nullopt},
      {"1.5", std::nullopt},
      {"1 ", std::nullopt},
      {"soon", std::nullopt},
      {"Sun, 06 Nov 1994 08:49:37 UTC", std::nullopt},
      {"Sun, 06 Nov 1994 24:00:00 GMT", std::nullopt},
      {"Sun, 06 Nov 1994 08:60:00 GMT", std::nullopt},
      {"Sun, 06 Nov 1994 08:49:61 GMT", std::nullopt},
      {"Sun, 31 Feb 1994 08:49:37 GMT", std::nullopt},
      {"Sun, 00 Nov 1994 08:49:37 GMT", std::nullopt},
      {"Sun, 06 Foo 1994 08:49:37 GMT", std::nullopt},
      {"Sun, -6 Nov 1994 08:49:37 GMT", std::nullopt},
      {"Sunday, 06-Nov-94 08:49:37 GMT", std::nullopt},
      {"Sun, 06 Nov 1994 08:49:37 GMT ", std::nullopt},
  };
  for (const Date& c : cases) EXPECT_EQ(parse_retry_after(c.text, now), c.value) << c.text;
}

TEST(Pushback, StopsOnWhatIsNotANumberOfMilliseconds) {
  EXPECT_EQ(parse_pushback("0").delay, 0ms);
  EXPECT_EQ(parse_pushback("1500").delay, 1500ms);
  EXPECT_EQ(parse_pushback("999999999999").delay, 24h);
  for (const char* text : {"", "-1", "x", "1s", "1.0", " 1", "99999999999999999999"}) {
    EXPECT_TRUE(parse_pushback(text).stop) << text;
  }
}

}  // namespace
}  // namespace outrigger::policy
