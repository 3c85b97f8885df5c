#include "policy/timeout.h"

#include <gtest/gtest.h>

namespace outrigger::policy {
namespace {

using namespace std::chrono_literals;
using http::Known;

TEST(GrpcTimeout, IsParsed) {
  struct Case {
    const char* text;
    Duration value;
  };
  const Case cases[] = {
      {"1H", 1h},
      {"2M", 2min},
      {"3S", 3s},
      {"100m", 100ms},
      {"5u", 5us},
      {"7n", 7ns},
      {"0S", 0s},
      {"00000001m", 1ms},
      {"99999999n", 99'999'999ns},
      {"72H", 72h},
      {"73H", timeout_max},
      {"99999999H", timeout_max},
      {"99999999M", timeout_max},
      {"99999999S", timeout_max},
      {"99999999m", 99'999'999ms},
  };
  for (const Case& c : cases) EXPECT_EQ(parse_grpc_timeout(c.text), c.value) << c.text;
}

TEST(GrpcTimeout, RefusesWhatIsMalformed) {
  for (const char* text : {"", "1", "m", "S1", "1s", "1h", "-1S", "+1S", " 1S", "1 S", "1S ",
                           "1.5S", "100000000n", "000000001S", "1mS", "0x1S", "١S", "1S\n"}) {
    EXPECT_EQ(parse_grpc_timeout(text), std::nullopt) << text;
  }
}

TEST(GrpcTimeout, IsFormattedInAtMostEightDigitsRoundedDown) {
  struct Case {
    Duration value;
    const char* text;
  };
  const Case cases[] = {
      {1ns, "1n"},        {0ns, "1n"},
      {-5s, "1n"},        {99'999'999ns, "99999999n"},
      {100ms, "100000u"}, {100'000'999ns, "100000u"},
      {15s, "15000000u"}, {100s, "100000m"},
      {10h, "36000000m"}, {72h, "259200S"},
      {1000h, "259200S"},
  };
  for (const Case& c : cases) {
    TimeoutText room;
    EXPECT_EQ(format_grpc_timeout(c.value, room), c.text);
  }
}

TEST(GrpcTimeout, NeverGrowsOnItsWay) {
  for (Duration d = 1ns; d < timeout_max; d = d * 3 + 7ns) {
    TimeoutText room;
    const auto back = parse_grpc_timeout(format_grpc_timeout(d, room));
    ASSERT_TRUE(back);
    EXPECT_LE(*back, d);
    EXPECT_GE(*back, d - d / 1000);
  }
}

TEST(DeadlineMs, IsParsedAndFormatted) {
  EXPECT_EQ(parse_deadline_ms("250"), 250ms);
  EXPECT_EQ(parse_deadline_ms("0"), 0ms);
  EXPECT_EQ(parse_deadline_ms("999999999"), timeout_max);
  for (const char* text : {"", "-1", "+1", "1.0", " 1", "1 ", "1ms", "1000000000", "1e3"}) {
    EXPECT_EQ(parse_deadline_ms(text), std::nullopt) << text;
  }
  TimeoutText room;
  EXPECT_EQ(format_deadline_ms(1999us, room), "1");
  EXPECT_EQ(format_deadline_ms(1us, room), "1");
  EXPECT_EQ(format_deadline_ms(-1s, room), "1");
  EXPECT_EQ(format_deadline_ms(15s, room), "15000");
  EXPECT_EQ(format_deadline_ms(1000h, room), "259200000");
}

struct AllowedCase {
  const char* name;
  config::Millis route;
  const char* grpc_timeout;  // null: absent; sets the gRPC content type
  const char* deadline_ms;
  std::optional<Duration> answer;
  std::optional<Duration> whole;
};

TEST(TimeAllowed, IsTheShorterOfRouteAndCaller) {
  constexpr auto none = std::nullopt;
  const AllowedCase cases[] = {
      {"route only", 15s, nullptr, nullptr, 15s, none},
      {"nobody", 0s, nullptr, nullptr, none, none},
      {"caller shorter", 15s, nullptr, "200", 200ms, none},
      {"caller longer", 1s, nullptr, "20000", 1s, none},
      {"caller alone", 0s, nullptr, "20000", 20s, none},
      {"grpc shorter", 15s, "200m", nullptr, 200ms, 200ms},
      {"grpc longer: the stream lives on", 15s, "1H", nullptr, 15s, 1h},
      {"grpc alone", 0s, "1H", nullptr, 1h, 1h},
      {"both", 15s, "2S", "1500", 1500ms, 2s},
      {"malformed is absent", 15s, "soon", "later", 15s, none},
      {"zero is at once", 15s, nullptr, "0", 0s, none},
      {"a route's month is three days", config::Millis(720h), nullptr, nullptr, timeout_max, none},
  };
  BlockPool pool;
  for (const AllowedCase& c : cases) {
    Arena arena(pool);
    http::Head head(arena);
    if (c.grpc_timeout != nullptr) {
      head.fields.add(Known::content_type, "application/grpc");
      head.fields.add(Known::grpc_timeout, c.grpc_timeout);
    }
    if (c.deadline_ms != nullptr) head.fields.add(Known::x_outrigger_deadline_ms, c.deadline_ms);
    const TimeAllowed allowed = time_allowed(c.route, head);
    EXPECT_EQ(allowed.answer, c.answer) << c.name;
    EXPECT_EQ(allowed.whole, c.whole) << c.name;
  }
}

TEST(TimeAllowed, GrpcTimeoutOfAnythingElseSaysNothing) {
  BlockPool pool;
  Arena arena(pool);
  http::Head head(arena);
  head.fields.add(Known::grpc_timeout, "1m");
  EXPECT_EQ(time_allowed(15s, head).answer, Duration(15s));
}

TEST(PassOnDeadline, TellsWhatIsLeft) {
  BlockPool pool;
  Arena arena(pool);
  http::Head plain(arena);
  plain.fields.add(Known::x_outrigger_deadline_ms, "9000");
  pass_on_deadline({.answer = 1500ms, .whole = {}}, plain);
  EXPECT_EQ(plain.fields.value(Known::x_outrigger_deadline_ms), "1500");
  EXPECT_FALSE(plain.fields.has(Known::grpc_timeout));

  http::Head grpc(arena);
  grpc.fields.add(Known::grpc_timeout, "1H");
  pass_on_deadline({.answer = 14s, .whole = 3599s}, grpc);
  EXPECT_EQ(grpc.fields.value(Known::grpc_timeout), "3599000m");
  EXPECT_EQ(grpc.fields.value(Known::x_outrigger_deadline_ms), "14000");

  http::Head endless(arena);
  pass_on_deadline({}, endless);
  EXPECT_TRUE(endless.fields.empty());
}

}  // namespace
}  // namespace outrigger::policy
