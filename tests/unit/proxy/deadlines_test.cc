// Which deadline of an exchange comes next.

#include "proxy/deadlines.h"

#include <gtest/gtest.h>

namespace outrigger::proxy {
namespace {

TimePoint at(int second) {
  return TimePoint(seconds(second));
}

struct DeadlinesTest : testing::Test {
  Deadlines deadlines;
};

TEST_F(DeadlinesTest, without_any_there_is_no_next) {
  EXPECT_EQ(deadlines.look_again(), Deadlines::never);
  EXPECT_FALSE(deadlines.due(at(1'000'000)));
}

TEST_F(DeadlinesTest, the_earliest_is_next_and_the_gravest_is_told_first) {
  deadlines.request_began(at(0), seconds(20), seconds(5));
  deadlines.request_ended();
  deadlines.answer_expected(at(0), seconds(15));
  deadlines.attempt_began(at(0), seconds(3));
  EXPECT_EQ(deadlines.look_again(), at(3));
  EXPECT_FALSE(deadlines.due(at(2)));
  EXPECT_EQ(deadlines.due(at(3)), Deadline::attempt);
  EXPECT_EQ(deadlines.due(at(15)), Deadline::answer);
  EXPECT_EQ(deadlines.due(at(20)), Deadline::whole);
}

TEST_F(DeadlinesTest, a_try_and_the_pause_after_it_never_run_together) {
  deadlines.answer_expected(at(0), std::nullopt);
  deadlines.attempt_began(at(0), seconds(3));
  deadlines.paused(at(10));
  EXPECT_FALSE(deadlines.due(at(9)));
  EXPECT_EQ(deadlines.due(at(10)), Deadline::pause);
  deadlines.attempt_began(at(10), seconds(3));
  EXPECT_EQ(deadlines.look_again(), at(13));
  EXPECT_EQ(deadlines.due(at(13)), Deadline::attempt);
  deadlines.attempt_began(at(13), std::nullopt);
  EXPECT_EQ(deadlines.look_again(), Deadlines::never);
}

TEST_F(DeadlinesTest, a_trys_time_begins_once_the_request_is_there) {
  deadlines.request_began(at(0), std::nullopt, seconds(60));
  deadlines.attempt_began(at(0), seconds(3));
  EXPECT_FALSE(deadlines.due(at(30)));
  deadlines.answer_expected(at(30), seconds(15));
  EXPECT_EQ(deadlines.look_again(), at(33));
  EXPECT_EQ(deadlines.due(at(33)), Deadline::attempt);
}

TEST_F(DeadlinesTest, a_trys_time_runs_during_an_upload_only_while_the_caller_is_paused) {
  deadlines.request_began(at(0), std::nullopt, seconds(600));
  deadlines.attempt_began(at(0), seconds(3));
  deadlines.body_paused(at(10));
  EXPECT_EQ(deadlines[Deadline::attempt], at(13));
  deadlines.body_resumed(at(12));
  EXPECT_EQ(deadlines[Deadline::attempt], Deadlines::never);
  deadlines.body_paused(at(50));
  EXPECT_EQ(deadlines[Deadline::attempt], at(51));
  deadlines.answer_expected(at(50), std::nullopt);
  deadlines.body_resumed(at(50));
  EXPECT_EQ(deadlines[Deadline::attempt], at(51));
  deadlines.body_paused(at(50));
  deadlines.attempt_began(at(50), seconds(3));
  EXPECT_EQ(deadlines[Deadline::attempt], at(53)) << "the next try has all of it";
}

TEST_F(DeadlinesTest, a_try_that_ended_during_the_upload_has_no_time_left_to_begin) {
  for (const bool answered : {false, true}) {
    Deadlines d;
    d.request_began(at(0), std::nullopt, seconds(60));
    d.attempt_began(at(0), seconds(3));
    answered ? d.answer_began(at(1)) : d.paused(at(50));
    d.answer_expected(at(30), std::nullopt);
    EXPECT_EQ(d[Deadline::attempt], Deadlines::never) << answered;
  }
}

TEST_F(DeadlinesTest, idleness_counts_while_the_request_comes_and_while_the_answer_goes) {
  deadlines.request_began(at(0), std::nullopt, seconds(5));
  deadlines.moved(at(4));
  EXPECT_EQ(deadlines.look_again(), at(9));
  deadlines.request_ended();
  EXPECT_EQ(deadlines.look_again(), Deadlines::never);
  deadlines.moved(at(5));
  EXPECT_EQ(deadlines.look_again(), Deadlines::never) << "waiting for the answer is not idleness";
  deadlines.answer_began(at(60));
  EXPECT_EQ(deadlines.due(at(65)), Deadline::idle);
  deadlines.moved(at(64));
  EXPECT_EQ(deadlines.look_again(), at(69));
}

TEST_F(DeadlinesTest, a_request_that_ends_after_its_answer_began_leaves_idleness_running) {
  deadlines.request_began(at(0), std::nullopt, seconds(5));
  deadlines.answer_began(at(1));
  deadlines.request_ended();
  deadlines.answer_expected(at(1), seconds(1));
  EXPECT_EQ(deadlines.look_again(), at(6));
  EXPECT_EQ(deadlines.due(at(6)), Deadline::idle);
}

TEST_F(DeadlinesTest, a_body_that_keeps_the_rate_on_the_average_is_not_too_slow) {
  deadlines.body_began(at(0), 500);
  for (int second = 0; second < 100; second += 10) {
    deadlines.body_came(at(second), 5'000);
    EXPECT_FALSE(deadlines.due(at(second + 9))) << second;
  }
  EXPECT_FALSE(deadlines.due(at(129)));
  EXPECT_EQ(deadlines.due(at(130)), Deadline::body);
}

TEST_F(DeadlinesTest, a_body_below_the_rate_is_too_slow_after_30_seconds) {
  deadlines.body_began(at(0), 500);
  for (int second = 0; second < 30; ++second) deadlines.body_came(at(second), 1);
  EXPECT_FALSE(deadlines.due(at(30)));
  EXPECT_EQ(deadlines.due(at(31)), Deadline::body);
}

TEST_F(DeadlinesTest, a_burst_is_good_for_an_hour_at_the_most) {
  deadlines.body_began(at(0), 1);
  for (int i = 0; i < 100; ++i) deadlines.body_came(at(1), std::size_t{1} << 30);
  EXPECT_EQ(deadlines.look_again(), at(3'601));
}

TEST_F(DeadlinesTest, the_rate_does_not_count_while_we_make_the_caller_wait) {
  deadlines.body_began(at(0), 500);
  deadlines.body_paused(at(20));
  EXPECT_EQ(deadlines.look_again(), Deadlines::never);
  deadlines.body_came(at(21), 1'000);
  deadlines.body_resumed(at(500));
  EXPECT_EQ(deadlines.look_again(), at(512));
  deadlines.body_resumed(at(505));
  EXPECT_EQ(deadlines.look_again(), at(512));
}

TEST_F(DeadlinesTest, the_rate_ends_with_the_request_and_with_the_answers_beginning) {
  deadlines.body_began(at(0), 500);
  deadlines.body_paused(at(1));
  deadlines.request_ended();
  deadlines.body_resumed(at(2));
  EXPECT_EQ(deadlines[Deadline::body], Deadlines::never);
  Deadlines other;
  other.body_began(at(0), 500);
  other.answer_began(at(1));
  EXPECT_EQ(other[Deadline::body], Deadlines::never);
  other.body_began(at(2), 500);
  EXPECT_EQ(other[Deadline::body], Deadlines::never);
}

TEST_F(DeadlinesTest, once_the_answer_has_begun_only_the_end_and_idleness_count) {
  deadlines.request_began(at(0), seconds(100), seconds(50));
  deadlines.answer_expected(at(0), seconds(10));
  deadlines.attempt_began(at(0), seconds(5));
  deadlines.answer_began(at(1));
  EXPECT_EQ(deadlines.look_again(), at(51));
  deadlines.moved(at(90));
  EXPECT_EQ(deadlines.look_again(), at(100));
  EXPECT_EQ(deadlines.due(at(100)), Deadline::whole);
}

TEST_F(DeadlinesTest, the_answer_is_expected_once) {
  deadlines.request_began(at(0), std::nullopt, seconds(100));
  deadlines.answer_expected(at(0), seconds(15));
  deadlines.request_ended();
  deadlines.answer_expected(at(14), seconds(15));
  EXPECT_EQ(deadlines[Deadline::answer], at(15));
}

// The timer is set for soonest(): a deadline before it would be reported late.
TEST_F(DeadlinesTest, none_comes_before_the_soonest) {
  std::uint32_t dice = 7;
  int second = 0;
  for (int step = 0; step < 20'000; ++step) {
    dice = dice * 1664525 + 1013904223;
    const TimePoint now = at(second += static_cast<int>(dice >> 28));
    const auto allowed = dice % 3 == 0 ? std::nullopt : std::optional<Duration>(seconds(dice % 97));
    switch ((dice >> 16) % 12) {
      case 0:
        deadlines.request_began(now, allowed, seconds(dice % 89));
        break;
      case 1:
        deadlines.body_began(now, 1 + dice % 1000);
        break;
      case 2:
        deadlines.body_came(now, dice % 10'000);
        break;
      case 3:
        deadlines.body_paused(now);
        break;
      case 4:
        deadlines.body_resumed(now);
        break;
      case 5:
        deadlines.request_ended();
        break;
      case 6:
        deadlines.answer_expected(now, allowed);
        break;
      case 7:
        deadlines.attempt_began(now, allowed);
        break;
      case 8:
        deadlines.paused(now + seconds(dice % 5));
        break;
      case 9:
        deadlines.moved(now);
        break;
      case 10:
        deadlines.look_again();
        break;
      default:
        if (dice % 50 == 0) {
          deadlines = Deadlines();
        } else if (dice % 10 == 0) {
          deadlines.answer_began(now);
        }
    }
    Deadlines copy = deadlines;
    ASSERT_LE(deadlines.soonest(), copy.look_again()) << "at step " << step;
  }
}

}  // namespace
}  // namespace outrigger::proxy
