#include "telemetry/request_cells.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "telemetry/exposition.h"
#include "telemetry/metrics.h"

namespace outrigger::telemetry {
namespace {

using Names = std::vector<std::string>;

Metrics::Options options(int workers = 1, std::uint64_t series_max = 20'000) {
  return {.workers = workers, .series_max = series_max, .version = "test", .process = false};
}

// The sum of a family's values whose labels include all of these, in any position.
double total(const Scrape& scrape, Family family, const Names& labels = {}) {
  double sum = 0;
  for (const Sample& sample : scrape.samples()) {
    if (sample.family != family) continue;
    const std::multiset<std::string_view> have(sample.labels.begin(), sample.labels.end());
    bool all = true;
    for (const std::string& label : labels) all &= have.contains(label);
    if (!all) continue;
    sum +=
        sample.histogram != nullptr ? static_cast<double>(sample.histogram->count()) : sample.value;
  }
  return sum;
}

std::size_t series_of(const Scrape& scrape, Family family) {
  std::size_t n = 0;
  for (const Sample& sample : scrape.samples()) n += sample.family == family ? 1 : 0;
  return n;
}

struct World {
  explicit World(Metrics::Options o = options()) : metrics(std::move(o)) {}
  const Scrape& gather(TimePoint now = {}) {
    scrape.emplace();
    metrics.gather(*scrape, now);
    return *scrape;
  }
  Metrics metrics;
  std::optional<Scrape> scrape;
};

RequestOutcome outcome(int status, Flag flag = Flag::none, int grpc = -1, PeerId peer = 0) {
  return {.status = status,
          .grpc_status = grpc,
          .flag = flag,
          .peer = peer,
          .duration = milliseconds(3),
          .bytes_in = 10,
          .bytes_out = 100};
}

TEST(RequestCells, nothing_exists_before_its_first_use) {
  World world;
  const auto series = world.metrics.request_series(Direction::outbound, "orders", "r");
  EXPECT_EQ(series_of(world.gather(), Family::requests), 0U);
  EXPECT_EQ(series_of(world.gather(), Family::request_duration), 0U);
  series->cells(0).started();
  EXPECT_EQ(total(world.gather(), Family::requests_active), 1);
  EXPECT_EQ(series_of(world.gather(), Family::requests), 0U);
}

TEST(RequestCells, labels_of_an_outcome) {
  World world;
  const auto series = world.metrics.request_series(Direction::inbound, "web", "r1");
  RequestCells& cells = series->cells(0);
  const PeerId peer = world.metrics.peer("spiffe://example.org/caller");
  struct Case {
    RequestOutcome outcome;
    Names labels;
  };
  const Case cases[] = {
      {outcome(200), {"inbound", "web", "r1", "200"}},
      {outcome(503, Flag::UH), {"503", "UH"}},
      {outcome(0, Flag::DC), {"0", "DC"}},
      {outcome(200, Flag::none, 0), {"200", "0"}},
      {outcome(200, Flag::none, 14, peer), {"200", "14", "spiffe://example.org/caller"}},
      {outcome(200, Flag::none, 99), {"200", "other"}},
  };
  for (const Case& c : cases) {
    cells.started();
    cells.attempted();
    cells.finished(c.outcome);
  }
  const Scrape& scrape = world.gather();
  EXPECT_EQ(series_of(scrape, Family::requests), std::size(cases));
  for (const Case& c : cases) EXPECT_GE(total(scrape, Family::requests, c.labels), 1);
  EXPECT_EQ(total(scrape, Family::requests), 6);
  EXPECT_EQ(total(scrape, Family::request_duration), 6);
  EXPECT_EQ(total(scrape, Family::request_bytes), 60);
  EXPECT_EQ(total(scrape, Family::response_bytes), 600);
  EXPECT_EQ(total(scrape, Family::upstream_attempts), 6);
  EXPECT_EQ(total(scrape, Family::requests_active), 0);
}

TEST(RequestCells, retries_by_reason) {
  World world;
  const auto series = world.metrics.request_series(Direction::outbound, "orders", "");
  RequestCells& cells = series->cells(0);
  cells.started();
  for (int i = 0; i < retry_reason_count; ++i) cells.retried(static_cast<RetryReason>(i));
  cells.retried(RetryReason::server_error);
  cells.retry_budget_exhausted();
  const Scrape& scrape = world.gather();
  EXPECT_EQ(series_of(scrape, Family::retries), static_cast<std::size_t>(retry_reason_count));
  EXPECT_EQ(total(scrape, Family::retries, {"5xx"}), 2);
  EXPECT_EQ(total(scrape, Family::retry_budget_exhausted, {"orders"}), 1);
}

TEST(RequestCells, workers_add_up_to_one_series) {
  World world(options(4));
  const auto series = world.metrics.request_series(Direction::outbound, "orders", "r");
  for (int worker = 0; worker < 4; ++worker) {
    RequestCells& cells = series->cells(worker);
    for (int i = 0; i <= worker; ++i) {
      cells.started();
      cells.finished(outcome(200));
    }
  }
  const Scrape& scrape = world.gather();
  EXPECT_EQ(series_of(scrape, Family::requests), 1U);
  EXPECT_EQ(total(scrape, Family::requests), 10);
  EXPECT_EQ(series_of(scrape, Family::request_duration), 1U);
  EXPECT_EQ(total(scrape, Family::request_duration), 10);
}

TEST(RequestCells, the_same_names_are_the_same_series) {
  World world;
  const auto a = world.metrics.request_series(Direction::outbound, "orders", "r");
  EXPECT_EQ(a, world.metrics.request_series(Direction::outbound, "orders", "r"));
  EXPECT_NE(a, world.metrics.request_series(Direction::inbound, "orders", "r"));
  EXPECT_NE(a, world.metrics.request_series(Direction::outbound, "orders", "s"));
}

TEST(RequestCells, many_combinations_keep_their_own_counts) {
  World world;
  const auto series = world.metrics.request_series(Direction::outbound, "orders", "r");
  RequestCells& cells = series->cells(0);
  for (int round = 0; round < 3; ++round) {
    for (int status = 100; status < 600; ++status) {
      cells.started();
      cells.finished(outcome(status, static_cast<Flag>(status % flag_count)));
    }
  }
  const Scrape& scrape = world.gather();
  EXPECT_EQ(series_of(scrape, Family::requests), 500U);
  for (const Sample& sample : scrape.samples()) {
    if (sample.family != Family::requests) continue;
    EXPECT_EQ(sample.value, 3) << sample.labels[3];
  }
}

TEST(RequestCells, beyond_the_cap_requests_count_as_other) {
  World world(options(2, reserved_series(2) + 31));  // one series' fixed 24 and a few cells
  const auto series = world.metrics.request_series(Direction::outbound, "orders", "r");
  for (int worker = 0; worker < 2; ++worker) {
    for (int round = 0; round < 2; ++round) {
      for (int status = 200; status < 220; ++status) {
        series->cells(worker).started();
        series->cells(worker).finished(outcome(status));
      }
    }
  }
  const Scrape& scrape = world.gather();
  EXPECT_EQ(total(scrape, Family::requests), 80);
  EXPECT_EQ(total(scrape, Family::request_duration), 80);
  EXPECT_EQ(series_of(scrape, Family::requests), 8U);  // 7 cells and the one called other
  EXPECT_EQ(total(scrape, Family::requests, {"other"}), 80 - 7 * 4);
  EXPECT_EQ(total(scrape, Family::series_refused), 13);
}

TEST(RequestCells, a_series_without_room_counts_in_the_stand_in) {
  World world(options(1, reserved_series(1) + 30));
  const auto first = world.metrics.request_series(Direction::outbound, "a", "r");
  const auto second = world.metrics.request_series(Direction::outbound, "b", "r");
  first->cells(0).started();
  first->cells(0).finished(outcome(200));
  RequestCells& cells = second->cells(0);
  cells.started();
  EXPECT_EQ(total(world.gather(), Family::requests_active, {"other"}), 1);
  cells.retried(RetryReason::reset);
  cells.finished(outcome(200));
  const Scrape& scrape = world.gather();
  EXPECT_EQ(total(scrape, Family::requests, {"a"}), 1);
  EXPECT_EQ(total(scrape, Family::requests, {"b"}), 0);
  EXPECT_EQ(total(scrape, Family::requests), 2);
  EXPECT_EQ(total(scrape, Family::request_duration, {"other"}), 1);
  EXPECT_EQ(total(scrape, Family::requests_active), 0);
}

TEST(RequestCells, series_that_nobody_holds_leave_after_ten_minutes) {
  World world;
  auto series = world.metrics.request_series(Direction::outbound, "gone", "r");
  series->cells(0).started();
  series->cells(0).finished(outcome(200));
  const TimePoint start{hours(1)};
  EXPECT_EQ(total(world.gather(start + hours(5)), Family::requests, {"gone"}), 1);
  series.reset();
  EXPECT_EQ(total(world.gather(start + hours(6)), Family::requests, {"gone"}), 1);
  EXPECT_EQ(total(world.gather(start + hours(6) + minutes(9)), Family::requests, {"gone"}), 1);
  // Found again in time, it continues counting.
  series = world.metrics.request_series(Direction::outbound, "gone", "r");
  series.reset();
  EXPECT_EQ(total(world.gather(start + hours(7)), Family::requests, {"gone"}), 1);
  EXPECT_EQ(total(world.gather(start + hours(7) + minutes(11)), Family::requests, {"gone"}), 0);
  EXPECT_EQ(series_of(world.gather(start + hours(8)), Family::request_duration), 0U);
}

TEST(RequestCells, series_that_left_make_room) {
  World world(options(1, reserved_series(1) + 30));
  auto series = world.metrics.request_series(Direction::outbound, "gone", "r");
  series->cells(0).started();
  series->cells(0).finished(outcome(200));
  series.reset();
  world.gather(TimePoint{hours(1)});
  world.gather(TimePoint{hours(2)});
  const auto next = world.metrics.request_series(Direction::outbound, "next", "r");
  next->cells(0).started();
  next->cells(0).finished(outcome(200));
  EXPECT_EQ(total(world.gather(TimePoint{hours(2)}), Family::requests, {"next"}), 1);
}

TEST(RequestCells, cells_outlive_the_registry) {
  std::shared_ptr<RequestSeries> series;
  {
    World world;
    series = world.metrics.request_series(Direction::outbound, "orders", "r");
  }
  series->cells(0).started();
  series->cells(0).finished(outcome(200));
}

TEST(PeerTable, numbers_and_cap) {
  PeerTable peers(2);
  EXPECT_EQ(peers.intern(""), PeerTable::nobody);
  const PeerId a = peers.intern("spiffe://a");
  EXPECT_EQ(peers.intern("spiffe://a"), a);
  const PeerId b = peers.intern("spiffe://b");
  EXPECT_NE(a, b);
  EXPECT_EQ(peers.intern("spiffe://c"), PeerTable::other);
  EXPECT_EQ(peers.intern("spiffe://a"), a);
  EXPECT_EQ(peers.names(), (Names{"", "other", "spiffe://a", "spiffe://b"}));
}

// Two workers count while others scrape, create series and drop them. Run it under ThreadSanitizer.
TEST(RequestCells, scrapes_beside_writers_see_whole_cells) {
  Metrics metrics(options(2));
  const auto series = metrics.request_series(Direction::outbound, "orders", "r");
  constexpr int rounds = 20'000;
  std::atomic<int> running{2};
  const auto work = [&](int worker) {
    RequestCells& cells = series->cells(worker);
    for (int i = 0; i < rounds; ++i) {
      cells.started();
      cells.attempted();
      if (i % 7 == 0) cells.retried(static_cast<RetryReason>(i % retry_reason_count));
      if (i % 100 == 0) {
        const auto short_lived = metrics.request_series(Direction::inbound, std::to_string(i), "");
        short_lived->cells(worker).started();
        short_lived->cells(worker).finished(outcome(200));
      }
      cells.finished(outcome(100 + i % 500, static_cast<Flag>(i % flag_count), -1,
                             metrics.peer(std::to_string(i % 5))));
      metrics.worker(worker).loop_lag.record(static_cast<std::uint64_t>(i));
    }
    --running;
  };
  std::thread one(work, 0);
  std::thread two(work, 1);
  double before = 0;
  int scrapes = 0;
  while (running > 0 || scrapes < 3) {
    Scrape scrape;
    metrics.gather(scrape, TimePoint{minutes(20 * scrapes++)});
    const double now = total(scrape, Family::requests, {"orders"});
    EXPECT_GE(now, before);
    before = now;
    EXPECT_FALSE(render(scrape, Exposition::prometheus).empty());
  }
  one.join();
  two.join();
  Scrape scrape;
  metrics.gather(scrape, {});
  EXPECT_EQ(total(scrape, Family::requests, {"orders"}), 2 * rounds);
  EXPECT_EQ(total(scrape, Family::request_duration, {"orders"}), 2 * rounds);
  EXPECT_EQ(total(scrape, Family::requests_active, {"orders"}), 0);
}

}  // namespace
}  // namespace outrigger::telemetry
