#include "telemetry/scrape.h"

#include <gtest/gtest.h>

#include <cmath>

#include "telemetry/exposition.h"

namespace outrigger::telemetry {
namespace {

HistogramValue value_of(std::initializer_list<std::uint64_t> micros) {
  Histogram cells;
  for (const std::uint64_t v : micros) cells.record(v);
  HistogramValue out;
  out.add(cells);
  return out;
}

TEST(HistogramValue, every_value_is_below_the_last_bound_and_none_below_zero) {
  const HistogramValue value = value_of({0, 1, 2, 3, 4, 999, 1'000'000});
  EXPECT_EQ(value.count(), 7U);
  EXPECT_EQ(value.sum, 1'001'009U);
  EXPECT_EQ(value.at_most(0), 1U);
  EXPECT_EQ(value.at_most(3), 4U);
  EXPECT_EQ(value.at_most(60'000'000), 7U);
}

TEST(HistogramValue, a_bound_is_off_by_less_than_its_bucket) {
  Histogram cells;
  for (std::uint64_t v = 0; v < 100'000; ++v) cells.record(v);
  HistogramValue value;
  value.add(cells);
  for (const std::uint64_t bound : exported_bounds()) {
    const auto exact = static_cast<double>(std::min<std::uint64_t>(bound + 1, 100'000));
    const auto bucket =
        static_cast<double>(value.buckets[static_cast<std::size_t>(Histogram::index_of(bound))]);
    EXPECT_NEAR(static_cast<double>(value.at_most(bound)), exact, bucket) << bound;
  }
}

TEST(HistogramValue, counts_never_fall_with_time_or_with_a_larger_bound) {
  Histogram cells;
  std::vector<std::uint64_t> before(exported_bounds().size(), 0);
  for (std::uint64_t v = 1; v < 2000; ++v) {
    cells.record(v * 37);
    HistogramValue value;
    value.add(cells);
    std::uint64_t smaller = 0;
    for (std::size_t i = 0; i < before.size(); ++i) {
      const std::uint64_t now = value.at_most(exported_bounds()[i]);
      ASSERT_GE(now, before[i]);
      ASSERT_GE(now, smaller);
      before[i] = smaller = now;
    }
    ASSERT_LE(smaller, value.count());
  }
}

TEST(HistogramValue, quantiles) {
  EXPECT_EQ(value_of({}).quantile(0.5), 0);
  Histogram cells;
  for (std::uint64_t v = 1; v <= 1000; ++v) cells.record(v * 1000);
  HistogramValue value;
  value.add(cells);
  for (const double q : {0.1, 0.5, 0.9, 0.99}) {
    EXPECT_NEAR(value.quantile(q), q * 1e6, q * 1e6 * 0.25) << q;
  }
}

TEST(HistogramValue, subtracts_what_was_there_and_knows_a_new_beginning) {
  HistogramValue value = value_of({10, 20, 30});
  value.subtract(value_of({10}));
  EXPECT_EQ(value.count(), 2U);
  EXPECT_EQ(value.sum, 50U);
  HistogramValue anew = value_of({5});
  anew.subtract(value_of({10, 20}));
  EXPECT_EQ(anew.count(), 1U);
}

TEST(Scrape, sorts_and_adds_up) {
  Scrape scrape;
  scrape.counter(Family::http_floods, {"upstream"}, 1);
  scrape.counter(Family::http_floods, {"downstream"}, 2);
  scrape.counter(Family::http_floods, {"upstream"}, 3);
  scrape.gauge(Family::ready, {}, 1);
  EXPECT_EQ(scrape.finish(), 0U);
  ASSERT_EQ(scrape.samples().size(), 3U);
  EXPECT_EQ(scrape.samples()[0].labels[0], "downstream");
  EXPECT_EQ(scrape.samples()[1].value, 4);
  EXPECT_EQ(scrape.samples()[2].family, Family::ready);
  EXPECT_EQ(scrape.lines(), 3U);
}

TEST(Scrape, labels_are_copied) {
  Scrape scrape;
  {
    std::string name = "a name that is longer than a short string";
    scrape.gauge(Family::certificate_expires, {name}, 1);
    name.assign(name.size(), 'x');
  }
  scrape.finish();
  EXPECT_EQ(scrape.samples()[0].labels[0], "a name that is longer than a short string");
}

TEST(Scrape, beyond_the_limit_endpoints_are_left_out_first_and_the_process_never) {
  Scrape scrape;
  scrape.gauge(Family::ready, {}, 1);
  for (const char* at : {"1", "2", "3"}) scrape.gauge(Family::endpoint_active, {"orders", at}, 1);
  for (const char* name : {"a", "b", "b"}) scrape.gauge(Family::breaker_open, {name, "x"}, 1);
  Histogram cells;
  scrape.histogram(Family::loop_lag, {"0"}, cells);
  scrape.set_admitted(true);
  scrape.counter(Family::request_bytes, {"inbound", "orders", "r"}, 1);
  scrape.set_admitted(false);
  const std::size_t always = 2 + exported_bounds().size() + 3;
  EXPECT_EQ(scrape.finish(always + 3), 2U);
  EXPECT_EQ(scrape.lines(), always + 3);
  EXPECT_NE(render(scrape, Exposition::prometheus).find("breaker_open{service=\"b\""),
            std::string::npos);
}

TEST(Scrape, what_is_always_there_may_exceed_the_limit) {
  Scrape scrape;
  scrape.gauge(Family::ready, {}, 1);
  scrape.gauge(Family::config_info, {"v"}, 1);
  scrape.gauge(Family::breaker_open, {"a", "x"}, 1);
  EXPECT_EQ(scrape.finish(1), 1U);
  EXPECT_EQ(scrape.lines(), 2U);
}

TEST(ScrapeDeathTest, a_sample_must_fit_its_family) {
  Scrape scrape;
  EXPECT_DEATH(scrape.gauge(Family::requests, {}, 1), "wrong type");
  EXPECT_DEATH(scrape.gauge(Family::ready, {"x"}, 1), "number of labels");
}

}  // namespace
}  // namespace outrigger::telemetry
