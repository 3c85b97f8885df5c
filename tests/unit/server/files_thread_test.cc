#include "server/files_thread.h"

#include <gtest/gtest.h>

#include <future>
#include <vector>

namespace outrigger::server {
namespace {

TEST(FilesThread, RunsTasksInOrder) {
  std::vector<int> ran;
  std::promise<void> done;
  FilesThread thread;
  for (int i = 0; i < 3; ++i) thread.post([&ran, i](const auto&) { ran.push_back(i); });
  thread.post([&done](const auto&) { done.set_value(); });
  done.get_future().wait();
  EXPECT_EQ(ran, (std::vector<int>{0, 1, 2}));
}

TEST(FilesThread, ItsEndWaitsForNoTaskThatLooksAtTheFlag) {
  std::promise<void> entered;
  bool second = false;
  {
    FilesThread thread;
    thread.post([&entered](const std::atomic<bool>& abandoned) {
      entered.set_value();
      while (!abandoned) std::this_thread::yield();
    });
    thread.post([&second](const auto&) { second = true; });
    entered.get_future().wait();
  }
  EXPECT_FALSE(second);
}

}  // namespace
}  // namespace outrigger::server
