#include "telemetry/access_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "telemetry/exposition.h"

namespace outrigger::telemetry {
namespace {

constexpr Duration patience = seconds(30);

struct AccessLogTest : testing::Test {
  AccessLogTest() {
    std::string name = (std::filesystem::temp_directory_path() / "outrigger_log_XXXXXX").string();
    directory = ::mkdtemp(name.data());
    options.path = directory + "/access.log";
  }
  ~AccessLogTest() override {
    log.reset();
    std::filesystem::remove_all(directory);
  }

  void open(int lanes = 1, std::size_t ring_bytes = AccessLog::ring_bytes_default) {
    auto opened = AccessLog::open(options, lanes, 1, ring_bytes);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    log = std::move(*opened);
  }
  void write(std::string_view path, int status = 200, Duration duration = {}, int lane = 0) {
    log->lane(lane).write({.method = "GET", .path = path, .status = status, .duration = duration});
  }
  // The disk is full in the middle of the first line: that is what the limit looks like.
  void open_with_a_line_cut() {
    const auto before = ::signal(SIGXFSZ, SIG_IGN);
    rlimit limit{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
    rlimit small = limit;
    small.rlim_cur = 100;
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    open();
    for (int i = 0; i < 3; ++i) write("/lost");
    EXPECT_TRUE(log->flush(patience));
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
    ::signal(SIGXFSZ, before);
  }
  std::vector<std::string> lines(const std::string& path) {
    std::vector<std::string> out;
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) out.push_back(line);
    return out;
  }
  std::vector<std::string> lines() { return lines(options.path); }
  std::string counters() {
    Scrape scrape;
    log->collect(scrape);
    scrape.finish();
    return render_lines(scrape);
  }
  static std::string counters_of(int written, int queue_full, int failed) {
    const std::string dropped = "outrigger_access_log_dropped_lines_total{cause=\"";
    return "outrigger_access_log_lines_total: " + std::to_string(written) + "\n" + dropped +
           "queue_full\"}: " + std::to_string(queue_full) + "\n" + dropped +
           "write_failed\"}: " + std::to_string(failed) + "\n";
  }

  std::string directory;
  config::AccessLog options;
  std::unique_ptr<AccessLog> log;
};

TEST_F(AccessLogTest, writes_to_a_file_and_appends) {
  std::ofstream(options.path) << "there before\n";
  open();
  write("/one");
  write("/two");
  ASSERT_TRUE(log->flush(patience));
  ASSERT_EQ(lines().size(), 3U);
  EXPECT_EQ(nlohmann::json::parse(lines()[1])["path"], "/one");
  EXPECT_EQ(nlohmann::json::parse(lines()[2])["path"], "/two");
  EXPECT_EQ(counters(), counters_of(2, 0, 0));
}

TEST_F(AccessLogTest, what_is_queued_is_written_when_it_closes) {
  open(2);
  for (int i = 0; i < 100; ++i) write("/x", 200, {}, i % 2);
  log.reset();
  EXPECT_EQ(lines().size(), 100U);
}

TEST_F(AccessLogTest, none_is_nothing) {
  options.path = "none";
  open();
  EXPECT_FALSE(log->lane(0).enabled());
  write("/x");
  EXPECT_TRUE(log->flush(patience));
  log->reopen();
  EXPECT_EQ(counters(), counters_of(0, 0, 0));
}

TEST_F(AccessLogTest, a_target_that_cannot_be_opened_is_an_error) {
  options.path = directory + "/no/such/directory.log";
  const auto opened = AccessLog::open(options, 1, 1);
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.error().message.find("no/such"), std::string::npos);
}

TEST_F(AccessLogTest, sampling_keeps_its_share) {
  options.sample = 0.25;
  open();
  for (int i = 0; i < 4000; ++i) write("/x");
  ASSERT_TRUE(log->flush(patience));
  EXPECT_NEAR(static_cast<double>(lines().size()), 1000, 150);
}

TEST_F(AccessLogTest, always_comes_before_sampling) {
  options.sample = 0;
  options.always_errors = true;
  options.always_slower = config::Millis(500);
  open();
  write("/good");
  write("/bad", 503);
  write("/exactly", 200, milliseconds(500));
  write("/slow", 200, milliseconds(501));
  ASSERT_TRUE(log->flush(patience));
  ASSERT_EQ(lines().size(), 2U);
  EXPECT_NE(lines()[0].find("/bad"), std::string::npos);
  EXPECT_NE(lines()[1].find("/slow"), std::string::npos);
}

TEST_F(AccessLogTest, reopens_by_name) {
  open();
  write("/before");
  ASSERT_TRUE(log->flush(patience));
  std::filesystem::rename(options.path, options.path + ".1");
  log->reopen();
  ASSERT_TRUE(log->flush(patience));
  write("/after");
  ASSERT_TRUE(log->flush(patience));
  EXPECT_EQ(lines(options.path + ".1").size(), 1U);
  ASSERT_EQ(lines().size(), 1U);
  EXPECT_NE(lines()[0].find("/after"), std::string::npos);
}

TEST_F(AccessLogTest, keeps_the_old_file_when_the_new_one_cannot_be_opened) {
  open();
  const std::string moved = directory + "2";
  std::filesystem::rename(directory, moved);
  log->reopen();
  write("/after");
  ASSERT_TRUE(log->flush(patience));
  EXPECT_EQ(lines(moved + "/access.log").size(), 1U);
  std::filesystem::remove_all(moved);
}

TEST_F(AccessLogTest, a_full_disk_costs_lines_which_are_counted) {
  options.path = "/dev/full";
  open();
  for (int i = 0; i < 10; ++i) write("/x");
  ASSERT_TRUE(log->flush(patience));
  EXPECT_EQ(counters(), counters_of(10, 0, 10));
  EXPECT_EQ(log->dropped(), 10U);
}

// A disk that fills up in the middle of a line and has space again later.
TEST_F(AccessLogTest, lines_stay_whole_around_a_loss) {
  options.path = directory + "/pipe";
  ASSERT_EQ(::mkfifo(options.path.c_str(), 0600), 0);
  // The reader closes, so that writes fail, and opens it again.
  int reader = ::open(options.path.c_str(), O_RDONLY | O_NONBLOCK);
  open();
  write("/one");
  ASSERT_TRUE(log->flush(patience));
  ::close(reader);
  write("/lost");
  ASSERT_TRUE(log->flush(patience));
  reader = ::open(options.path.c_str(), O_RDONLY | O_NONBLOCK);
  write("/three");
  ASSERT_TRUE(log->flush(patience));
  std::array<char, 4096> bytes{};
  const ssize_t n = ::read(reader, bytes.data(), bytes.size());
  ASSERT_GT(n, 0);
  const std::string text(bytes.data(), static_cast<std::size_t>(n));
  EXPECT_NE(text.find("/three"), std::string::npos);
  EXPECT_EQ(text.find("/lost"), std::string::npos);
  EXPECT_EQ(text.back(), '\n');
  EXPECT_EQ(counters(), counters_of(3, 0, 1));
  ::close(reader);
}

// The pipe is not read: the ring fills up, lines are dropped, and writing never waits.
TEST_F(AccessLogTest, a_blocked_pipe_drops_lines_and_blocks_nobody) {
  options.path = directory + "/pipe";
  ASSERT_EQ(::mkfifo(options.path.c_str(), 0600), 0);
  const int reader = ::open(options.path.c_str(), O_RDONLY | O_NONBLOCK);
  open(1, 16 * 1024);
  // Until pipe and ring are full, and some more.
  int written = 0;
  do {
    for (int i = 0; i < 1000; ++i, ++written) write("/some/path");
  } while (log->flush(milliseconds(1)));
  for (int i = 0; i < 1000; ++i, ++written) write("/some/path");
  EXPECT_GT(log->dropped(), 0U);
  // A reader that finally reads finds complete lines, as many as were not dropped.
  std::string all;
  std::array<char, 65536> bytes{};
  while (!log->flush(milliseconds(1))) {
    for (ssize_t n = 0; (n = ::read(reader, bytes.data(), bytes.size())) > 0;) {
      all.append(bytes.data(), static_cast<std::size_t>(n));
    }
  }
  for (ssize_t n = 0; (n = ::read(reader, bytes.data(), bytes.size())) > 0;) {
    all.append(bytes.data(), static_cast<std::size_t>(n));
  }
  const auto whole = static_cast<std::uint64_t>(std::count(all.begin(), all.end(), '\n'));
  EXPECT_EQ(whole + log->dropped(), static_cast<std::uint64_t>(written));
  EXPECT_EQ(counters(), counters_of(static_cast<int>(whole), static_cast<int>(log->dropped()), 0));
  for (std::size_t at = 0; at < all.size();) {
    const std::size_t end = all.find('\n', at);
    ASSERT_TRUE(nlohmann::json::accept(all.substr(at, end - at)));
    at = end + 1;
  }
  ::close(reader);
}

// A pipe of one page: each read takes what one write has put there.
TEST_F(AccessLogTest, other_writers_of_a_pipe_come_between_lines_only) {
  options.path = directory + "/pipe";
  ASSERT_EQ(::mkfifo(options.path.c_str(), 0600), 0);
  const int reader = ::open(options.path.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GT(::fcntl(reader, F_SETPIPE_SZ, 4096), 0);
  open(1, 16 * 1024);
  int sent = 0;
  // Rounds of an odd size, so that lines lie across the ring's end.
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 33; ++i, ++sent) write("/some/path/" + std::to_string(sent));
    for (int got = 0; got < 33;) {
      pollfd ready{reader, POLLIN, 0};
      ASSERT_EQ(::poll(&ready, 1, 30'000), 1);
      std::array<char, 4096> bytes{};
      const ssize_t n = ::read(reader, bytes.data(), bytes.size());
      ASSERT_GT(n, 0);
      const std::string_view text(bytes.data(), static_cast<std::size_t>(n));
      EXPECT_EQ(text.front(), '{') << text.substr(0, 40);
      EXPECT_EQ(text.back(), '\n') << text.substr(text.size() - 40);
      got += static_cast<int>(std::ranges::count(text, '\n'));
    }
  }
  EXPECT_EQ(log->dropped(), 0U);
  ::close(reader);
}

TEST_F(AccessLogTest, a_pipe_that_nobody_reads_is_left_for_the_new_file) {
  options.path = directory + "/pipe";
  ASSERT_EQ(::mkfifo(options.path.c_str(), 0600), 0);
  const int reader = ::open(options.path.c_str(), O_RDONLY | O_NONBLOCK);
  open();
  do {
    for (int i = 0; i < 1000; ++i) write("/some/path");
  } while (log->flush(milliseconds(1)));
  std::filesystem::rename(options.path, options.path + ".1");
  log->reopen();
  ASSERT_TRUE(log->flush(patience));
  write("/after");
  ASSERT_TRUE(log->flush(patience));
  const std::vector<std::string> all = lines();
  ASSERT_FALSE(all.empty());
  for (const std::string& line : all) ASSERT_TRUE(nlohmann::json::accept(line)) << line;
  EXPECT_NE(all.back().find("/after"), std::string::npos);
  ::close(reader);
}

TEST_F(AccessLogTest, a_line_that_a_full_disk_has_cut_ends_before_the_next) {
  open_with_a_line_cut();
  log->reopen();
  write("/same");
  ASSERT_TRUE(log->flush(patience));
  ASSERT_EQ(lines().size(), 2U);
  EXPECT_TRUE(nlohmann::json::accept(lines()[1])) << lines()[1];
}

TEST_F(AccessLogTest, a_new_file_begins_with_a_line) {
  open_with_a_line_cut();
  std::filesystem::rename(options.path, options.path + ".1");
  log->reopen();
  write("/new");
  ASSERT_TRUE(log->flush(patience));
  ASSERT_EQ(lines().size(), 1U);
  EXPECT_NE(lines()[0].find("/new"), std::string::npos);
}

TEST_F(AccessLogTest, closing_gives_a_blocked_pipe_up) {
  options.path = directory + "/pipe";
  ASSERT_EQ(::mkfifo(options.path.c_str(), 0600), 0);
  const int reader = ::open(options.path.c_str(), O_RDONLY | O_NONBLOCK);
  open(4);
  for (int i = 0; i < 5'000; ++i) write("/some/path", 200, {}, i % 4);
  log.reset();  // takes half a second, not forever
  ::close(reader);
}

TEST_F(AccessLogTest, lanes_on_threads_of_their_own_mix_by_lines) {
  constexpr int lanes = 3;
  constexpr int each = 5'000;
  open(lanes, 8U << 20);
  std::vector<std::thread> threads;
  for (int lane = 0; lane < lanes; ++lane) {
    threads.emplace_back([this, lane] {
      for (int i = 0; i < each; ++i) {
        write("/" + std::to_string(lane) + "/" + std::to_string(i), 200, {}, lane);
        if (i % 1000 == 0) log->reopen();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(log->flush(patience));
  EXPECT_EQ(log->dropped(), 0U);
  std::array<int, lanes> next{};
  for (const std::string& line : lines()) {
    const std::string path = nlohmann::json::parse(line)["path"];
    const auto lane = static_cast<std::size_t>(path[1] - '0');
    ASSERT_EQ(path.substr(3), std::to_string(next[lane]++));
  }
  for (const int count : next) EXPECT_EQ(count, each);
}

}  // namespace
}  // namespace outrigger::telemetry
