// The scanner alone: headers in pieces, stream IDs, buckets.

#include "http/h2_frame_scanner.h"

#include <gtest/gtest.h>

#include "support/h2_frames.h"

namespace outrigger::http {
namespace {

using Action = H2FrameScanner::Action;

class H2Scanner : public testing::Test {
 protected:
  H2Scanner() { begin(true); }
  void begin(bool server) {
    scanner.emplace(server, limits);
    std::string_view bytes = h2::magic;
    if (server) {
      EXPECT_TRUE(scanner->take_magic(bytes));
    }
    EXPECT_TRUE(scanner->magic_whole());
    EXPECT_EQ(judge(h2::settings()).action, Action::pass);
  }
  // Takes one complete frame; returns the last verdict.
  H2FrameScanner::Verdict judge(const std::string& frame, bool open = false,
                                std::int64_t window = 65535, std::uint64_t now_ms = 1) {
    EXPECT_EQ(scanner->take_header(frame), H2FrameHeader::size);
    EXPECT_TRUE(scanner->header_whole());
    const auto verdict = scanner->judge({open, window}, now_ms);
    if (verdict.action == Action::hold || verdict.action == Action::fail) return verdict;
    if (!scanner->in_payload()) return verdict;
    const auto second = scanner->take_payload(std::string_view(frame).substr(9));
    return second.action == Action::fail ? second : verdict;
  }
  H2Error code(const std::string& frame, bool open = false) { return judge(frame, open).code; }

  CodecLimits limits;
  std::optional<H2FrameScanner> scanner;
};

TEST_F(H2Scanner, MagicInPieces) {
  H2FrameScanner s(true, limits);
  std::string_view first = h2::magic.substr(0, 7);
  EXPECT_TRUE(s.take_magic(first));
  EXPECT_TRUE(first.empty());
  EXPECT_FALSE(s.magic_whole());
  EXPECT_TRUE(s.in_head());
  const std::string rest = std::string(h2::magic.substr(7)) + "more";
  std::string_view second = rest;
  EXPECT_TRUE(s.take_magic(second));
  EXPECT_TRUE(s.magic_whole());
  EXPECT_EQ(second, "more");
  for (std::size_t i = 0; i < h2::magic.size(); ++i) {
    H2FrameScanner strict(true, limits);
    std::string wrong(h2::magic);
    wrong[i] = static_cast<char>(wrong[i] ^ 1);
    std::string_view bytes = wrong;
    EXPECT_FALSE(strict.take_magic(bytes)) << i;
  }
}

TEST_F(H2Scanner, HeadersInPieces) {
  const std::string frame = h2::headers(3, "abc");
  for (const char c : frame.substr(0, 9)) {
    EXPECT_FALSE(scanner->header_whole());
    EXPECT_EQ(scanner->take_header({&c, 1}), 1U);
  }
  ASSERT_TRUE(scanner->header_whole());
  EXPECT_EQ(scanner->header().length, 3U);
  EXPECT_EQ(scanner->header().stream, 3U);
  EXPECT_EQ(scanner->judge({}, 1).action, Action::pass);
  EXPECT_EQ(scanner->header_bytes(), frame.substr(0, 9));
  EXPECT_EQ(scanner->payload_left(), 3U);
  EXPECT_TRUE(scanner->in_head());
  scanner->take_payload("ab");
  EXPECT_TRUE(scanner->in_payload());
  scanner->take_payload("c");
  EXPECT_FALSE(scanner->in_payload());
  EXPECT_FALSE(scanner->in_head());
}

TEST_F(H2Scanner, AHeldHeaderComesAgain) {
  limits.new_streams_per_feed = 1;
  begin(true);
  scanner->begin_feed();
  EXPECT_EQ(judge(h2::headers(1, "x")).action, Action::pass);
  EXPECT_EQ(judge(h2::headers(3, "x")).action, Action::hold);
  scanner->put_back(9);
  scanner->begin_feed();
  EXPECT_EQ(judge(h2::headers(3, "x")).action, Action::pass);
}

TEST_F(H2Scanner, SkippedStreamsAreNotClosedOnes) {
  EXPECT_EQ(judge(h2::headers(9, "x")).action, Action::pass);
  EXPECT_EQ(judge(h2::headers(15, "x")).action, Action::pass);
  for (const std::uint32_t skipped : {1U, 3U, 7U, 11U, 13U}) {
    EXPECT_EQ(code(h2::headers(skipped, "x")), H2Error::protocol_error) << skipped;
    scanner->put_back(9);
  }
  for (const std::uint32_t closed : {9U, 15U}) {
    EXPECT_EQ(code(h2::headers(closed, "x")), H2Error::stream_closed) << closed;
    scanner->put_back(9);
    EXPECT_EQ(code(h2::data(closed, "x")), H2Error::stream_closed) << closed;
    scanner->put_back(9);
  }
  EXPECT_EQ(code(h2::data(17, "x")), H2Error::protocol_error);
}

TEST_F(H2Scanner, OurResetsAreTolerated) {
  judge(h2::headers(1, "x"));
  judge(h2::headers(3, "x"));
  scanner->reset_sent(1);
  const auto late = judge(h2::data(1, "x"));
  EXPECT_EQ(late.action, Action::pass);
  EXPECT_TRUE(late.odd);
  EXPECT_EQ(code(h2::data(3, "x")), H2Error::stream_closed);
  scanner->put_back(9);
  // Long ago: all that were opened before the oldest one that is remembered.
  for (std::uint32_t id = 101; id < 181; id += 2) {
    judge(h2::headers(id, "x"), false);
    scanner->reset_sent(id);
    scanner->begin_feed();
  }
  EXPECT_TRUE(judge(h2::data(3, "x")).odd);
}

TEST_F(H2Scanner, StreamsBeyondOurGoawayAreIgnored) {
  judge(h2::headers(1, "x"));
  scanner->goaway_sent(1);
  judge(h2::headers(3, "x"));
  EXPECT_EQ(judge(h2::data(3, "x")).action, Action::pass);
  EXPECT_EQ(code(h2::data(1, "x")), H2Error::stream_closed);
}

TEST_F(H2Scanner, TowardsAServer) {
  begin(false);
  EXPECT_EQ(code(h2::headers(1, "x")), H2Error::protocol_error);
  scanner->put_back(9);
  scanner->stream_opened(1);
  EXPECT_EQ(judge(h2::headers(1, "x"), true).action, Action::pass);
  EXPECT_EQ(code(h2::headers(1, "x")), H2Error::stream_closed);
  scanner->put_back(9);
  EXPECT_EQ(code(h2::headers(3, "x")), H2Error::protocol_error);
  scanner->put_back(9);
  EXPECT_EQ(code(h2::headers(2, "x")), H2Error::protocol_error);
  scanner->put_back(9);
  EXPECT_EQ(code(h2::push_promise(1, 2, "x"), true), H2Error::protocol_error);
}

TEST_F(H2Scanner, Windows) {
  judge(h2::headers(1, "x"));
  EXPECT_EQ(judge(h2::data(1, "1234"), true, 4).action, Action::pass);
  EXPECT_EQ(judge(h2::data(1, "12345"), true, 4).code, H2Error::flow_control_error);
}

TEST_F(H2Scanner, PrioritiesAndUnknownFramesAreDropped) {
  EXPECT_EQ(judge(h2::priority(1, 3)).action, Action::drop);
  EXPECT_EQ(judge(h2::frame(0x99, 0xff, 7, "x")).action, Action::drop);
  EXPECT_EQ(judge(h2::priority(7, 7)).code, H2Error::protocol_error);
}

TEST_F(H2Scanner, WindowUpdatesFollowWhatIsSent) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(judge(h2::window_update(0, 1)).action, Action::pass);
  scanner->data_sent();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(judge(h2::window_update(0, 1)).action, Action::pass);
  const auto verdict = judge(h2::window_update(0, 1));
  EXPECT_EQ(verdict.code, H2Error::enhance_your_calm);
  EXPECT_EQ(verdict.reason, StreamEnd::flood);
}

// gRPC's bandwidth estimators send a PING per round trip while data flows, in either direction.
TEST_F(H2Scanner, PingsAreChargedAgainstDataFirst) {
  for (int i = 0; i < 100'000; ++i) {
    if (i % 2 == 0) {
      scanner->data_sent();
    } else {
      scanner->data_seen(true);
    }
    ASSERT_EQ(judge(h2::ping()).action, Action::pass) << i;
  }
  // And none of it was taken from what may come without data.
  for (std::size_t i = 1; i < limits.ping_burst; ++i) {  // SETTINGS took one
    ASSERT_EQ(judge(h2::ping()).action, Action::pass) << i;
  }
  EXPECT_EQ(judge(h2::ping()).code, H2Error::enhance_your_calm);
}

TEST_F(H2Scanner, DataThatIsOnlyPaddingPaysForNoPing) {
  limits.empty_frames = 100'000;
  begin(true);
  std::size_t passed = 0;
  for (; passed < 1000; ++passed) {
    scanner->data_seen(false);
    if (judge(h2::ping()).action != Action::pass) break;
  }
  EXPECT_EQ(passed, limits.ping_burst - 1);
}

TEST_F(H2Scanner, AnswersToOurPingsAreFree) {
  for (std::size_t i = 0; i < 10 * limits.ping_burst; ++i) {
    scanner->ping_sent();
    ASSERT_EQ(judge(h2::ping("12345678", h2::ack)).action, Action::pass) << i;
  }
  for (std::size_t i = 1; i < limits.ping_burst; ++i) {
    ASSERT_EQ(judge(h2::ping()).action, Action::pass) << i;
  }
  EXPECT_EQ(judge(h2::ping()).code, H2Error::enhance_your_calm);
}

TEST_F(H2Scanner, AnswersThatNobodyAskedForAreCounted) {
  std::size_t passed = 0;
  while (passed < 1000 && judge(h2::ping("12345678", h2::ack)).action == Action::pass) ++passed;
  EXPECT_EQ(passed, limits.ping_burst - 1);
}

TEST(H2TokenBucket, FillsWithTime) {
  TokenBucket bucket(3, 2);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.take(1000));
  EXPECT_FALSE(bucket.take(1000));
  EXPECT_FALSE(bucket.take(1499));
  EXPECT_TRUE(bucket.take(1500));
  EXPECT_FALSE(bucket.take(1500));
  // A clock that stands still or goes back adds nothing; a long pause no more than the burst.
  EXPECT_FALSE(bucket.take(0));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.take(100'000'000'000));
  EXPECT_FALSE(bucket.take(100'000'000'000));
}

}  // namespace
}  // namespace outrigger::http
