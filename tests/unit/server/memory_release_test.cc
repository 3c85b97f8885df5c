#include "server/memory_release.h"

#include <gtest/gtest.h>

#include "support/manual_loop.h"

namespace outrigger::server {
namespace {

struct MemoryReleaseTest : testing::Test {
  test::ManualLoop loop;
  int releases = 0;
  MemoryRelease release{loop, [this] { ++releases; }};
};

TEST_F(MemoryReleaseTest, a_few_connections_are_nothing) {
  release.freed(MemoryRelease::many - 1);
  loop.advance(seconds(60));
  EXPECT_EQ(releases, 0);
  release.freed(1);
  loop.advance(seconds(1));
  EXPECT_EQ(releases, 1);
}

TEST_F(MemoryReleaseTest, a_burst_is_followed_by_one_release_when_it_is_quiet) {
  for (int i = 0; i < 5; ++i) {
    release.freed(1000);
    loop.advance(milliseconds(100));
  }
  EXPECT_EQ(releases, 0);
  loop.advance(milliseconds(600));
  EXPECT_EQ(releases, 1);
  loop.advance(seconds(60));
  EXPECT_EQ(releases, 1);
}

TEST_F(MemoryReleaseTest, connections_that_never_cease_do_not_put_it_off_for_good) {
  for (int i = 0; i < 100; ++i) {
    release.freed(1000);
    loop.advance(milliseconds(100));
  }
  EXPECT_GE(releases, 3);
  EXPECT_LE(releases, 5);
}

// Fewer than `many` between two looks seem quiet, though they never cease.
TEST_F(MemoryReleaseTest, a_steady_trickle_releases_once_in_an_interval) {
  for (int i = 0; i < 100; ++i) {
    release.freed(MemoryRelease::many / 3);
    loop.advance(milliseconds(100));
  }
  EXPECT_GE(releases, 3);
  EXPECT_LE(releases, 5);
}

TEST_F(MemoryReleaseTest, a_second_burst_waits_until_the_interval_is_over) {
  release.freed(1000);
  loop.advance(milliseconds(300));
  EXPECT_EQ(releases, 1);
  release.freed(1000);
  loop.advance(milliseconds(1900));
  EXPECT_EQ(releases, 1);
  loop.advance(milliseconds(400));
  EXPECT_EQ(releases, 2);
}

}  // namespace
}  // namespace outrigger::server
