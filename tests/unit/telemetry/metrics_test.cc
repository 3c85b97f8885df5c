#include "telemetry/metrics.h"

#include <gtest/gtest.h>

#include <optional>

#include "telemetry/exposition.h"

namespace outrigger::telemetry {
namespace {

struct MetricsTest : testing::Test {
  // The lines of /stats that contain this text.
  std::string lines(std::string_view filter, TimePoint now = {}) {
    Scrape scrape;
    metrics.gather(scrape, now);
    return render_lines(scrape, filter);
  }
  Metrics metrics{{.workers = 2, .series_max = 20'000, .version = "0.1.0", .process = false}};
};

TEST_F(MetricsTest, connections_of_a_listener_and_a_service) {
  const auto down =
      metrics.connection_series(Side::downstream, Direction::outbound, "orders-local");
  const auto up = metrics.connection_series(Side::upstream, Direction::outbound, "orders");
  EXPECT_EQ(lines("connections"), "");
  for (int worker = 0; worker < 2; ++worker) {
    ConnectionCells& cells = down->connections(worker);
    cells.on_opened();
    cells.on_opened();
    cells.on_closed(net::CloseReason::peer_closed);
    cells.received_bytes.add(10);
    cells.sent_bytes.add(20);
  }
  up->connections(0).on_opened();
  EXPECT_EQ(
      lines("connection"),
      R"(outrigger_connections_opened_total{direction="outbound",listener="",service="orders"}: 1
outrigger_connections_opened_total{direction="outbound",listener="orders-local",service=""}: 4
outrigger_connections_closed_total{direction="outbound",listener="orders-local",service="",reason="peer_closed"}: 2
outrigger_connections_active{direction="outbound",listener="",service="orders"}: 1
outrigger_connections_active{direction="outbound",listener="orders-local",service=""}: 2
outrigger_connection_received_bytes_total{direction="outbound",listener="",service="orders"}: 0
outrigger_connection_received_bytes_total{direction="outbound",listener="orders-local",service=""}: 20
outrigger_connection_sent_bytes_total{direction="outbound",listener="",service="orders"}: 0
outrigger_connection_sent_bytes_total{direction="outbound",listener="orders-local",service=""}: 40
outrigger_connections_not_http_total{direction="outbound",listener="orders-local"}: 0
outrigger_connections_refused_total{direction="outbound",listener="orders-local"}: 0
)");
}

// Its other workers may have all connections.
TEST_F(MetricsTest, a_worker_that_only_refuses_is_exported) {
  const auto down = metrics.connection_series(Side::downstream, Direction::inbound, "web");
  down->connections(1).refused.add();
  EXPECT_EQ(lines("connections_refused"),
            "outrigger_connections_refused_total{direction=\"inbound\",listener=\"web\"}: 1\n");
}

TEST_F(MetricsTest, every_close_reason_is_exported) {
  const auto series = metrics.connection_series(Side::upstream, Direction::inbound, "app");
  ConnectionCells& cells = series->connections(0);
  for (std::size_t i = 0; i <= static_cast<std::size_t>(net::CloseReason::aborted); ++i) {
    cells.on_opened();
    cells.on_closed(static_cast<net::CloseReason>(i));
    EXPECT_NE(lines(std::string("reason=\"") + net::to_string(static_cast<net::CloseReason>(i))),
              "");
  }
}

TEST_F(MetricsTest, pools) {
  const auto series = metrics.connection_series(Side::upstream, Direction::outbound, "orders");
  PoolCells& pool = series->pool(1);
  pool.hits.add(5);
  pool.misses.add(2);
  pool.pending.add();
  EXPECT_EQ(lines("pool"), R"(outrigger_pool_hits_total{direction="outbound",service="orders"}: 5
outrigger_pool_misses_total{direction="outbound",service="orders"}: 2
outrigger_pool_overflows_total{direction="outbound",service="orders"}: 0
outrigger_pool_pending{direction="outbound",service="orders"}: 1
)");
}

TEST_F(MetricsTest, handshakes_by_result_and_version) {
  metrics.worker(0).downstream_tls.on_ended(net::TlsFailure::none, "TLSv1.3");
  metrics.worker(1).downstream_tls.on_ended(net::TlsFailure::none, "TLSv1.3");
  metrics.worker(0).downstream_tls.on_ended(net::TlsFailure::truncated, "TLSv1.2");
  metrics.worker(0).upstream_tls.on_ended(TlsCells::timeout, "");
  EXPECT_EQ(lines("tls"),
            R"(outrigger_tls_handshakes_total{side="downstream",result="ok",version="TLSv1.3"}: 2
outrigger_tls_handshakes_total{side="downstream",result="truncated",version="TLSv1.2"}: 1
outrigger_tls_handshakes_total{side="upstream",result="timeout",version=""}: 1
)");
}

TEST_F(MetricsTest, codecs_and_loops) {
  metrics.worker(0).downstream_codec.malformed.add(2);
  metrics.worker(1).downstream_codec.malformed.add(3);
  metrics.worker(1).upstream_codec.resets_sent.add(4);
  metrics.worker(1).loop_lag.record(100);
  metrics.worker(0).buffer_bytes.set(4096);
  EXPECT_EQ(lines("http_malformed_total{side=\"downstream\""),
            "outrigger_http_malformed_total{side=\"downstream\"}: 5\n");
  EXPECT_EQ(lines("resets_total{side=\"upstream\",way=\"sent\""),
            "outrigger_http_resets_total{side=\"upstream\",way=\"sent\"}: 4\n");
  EXPECT_NE(lines("loop_lag_seconds{worker=\"1\"").find("count=1 sum=0.0001"), std::string::npos);
  EXPECT_EQ(lines("buffer_bytes{worker=\"0\""), "outrigger_buffer_bytes{worker=\"0\"}: 4096\n");
}

TEST_F(MetricsTest, collectors_run_while_they_are_held) {
  auto held = std::make_optional(metrics.collect([](Scrape& scrape) {
    scrape.gauge(Family::endpoints, {"orders", ""}, 2);
  }));
  auto other = metrics.collect([](Scrape& scrape) {
    scrape.gauge(Family::endpoints, {"users", ""}, 1);
  });
  EXPECT_NE(lines("orders"), "");
  Metrics::Collection moved = std::move(*held);
  held.reset();
  EXPECT_NE(lines("orders"), "");
  moved = std::move(other);
  EXPECT_EQ(lines("orders"), "");
  EXPECT_NE(lines("users"), "");
}

TEST_F(MetricsTest, a_cap_on_what_collectors_bring) {
  const std::uint64_t most = reserved_series(2) + 10;
  metrics.set_series_max(most);
  const auto held = metrics.collect([](Scrape& scrape) {
    for (int i = 0; i < 100; ++i) {
      scrape.gauge(Family::endpoints, {std::to_string(i), ""}, 1);
    }
  });
  Scrape scrape;
  metrics.gather(scrape, {});
  EXPECT_LE(scrape.lines(), most);
  EXPECT_EQ(render_lines(scrape, "series_refused").find(": 0\n"), std::string::npos);
}

// Everything the process says about itself, more requests, connections and endpoints than there is
// room for: the limit holds, and nothing about the process is missing.
TEST_F(MetricsTest, the_limit_holds_and_the_process_is_always_there) {
  std::vector<std::shared_ptr<RequestSeries>> held;
  for (std::size_t result = 0; result < TlsCells::results; ++result) {
    metrics.worker(0).upstream_tls.ended[result][0].add();
    metrics.worker(1).downstream_tls.ended[result][0].add();
  }
  for (const char* version : {"TLSv1.2", "TLSv1.3"}) {
    metrics.worker(0).upstream_tls.on_ended(net::TlsFailure::none, version);
    metrics.worker(0).downstream_tls.on_ended(net::TlsFailure::none, version);
  }
  const auto listener = metrics.connection_series(Side::downstream, Direction::outbound, "l");
  listener->connections(0).on_opened();
  const auto collection = metrics.collect([](Scrape& scrape) {
    scrape.gauge(Family::ready, {}, 1);
    scrape.gauge(Family::config_info, {"v"}, 1);
    for (const char* name : {"ca", "chain", "identity"})
      scrape.gauge(Family::certificate_expires, {name}, 1);
    for (const char* worker : {"0", "1"}) scrape.gauge(Family::worker_connections, {worker}, 1);
    scrape.counter(Family::log_dropped, {}, 0);
    scrape.counter(Family::access_log_lines, {}, 0);
    for (const char* cause : {"queue_full", "write_failed"})
      scrape.counter(Family::access_log_dropped, {cause}, 0);
    for (int i = 0; i < 100; ++i) {
      scrape.gauge(Family::endpoint_active, {"orders", std::to_string(i)}, 1);
      scrape.gauge(Family::breaker_open, {std::to_string(i), "requests"}, 0);
    }
  });
  for (const std::uint64_t room : {0, 1, 23, 24, 25, 100}) {
    const std::uint64_t most = reserved_series(2) + room;
    metrics.set_series_max(most);
    for (int service = 0; service < 20; ++service) {
      for (const Direction direction : {Direction::inbound, Direction::outbound}) {
        held.push_back(metrics.request_series(
            direction, std::to_string(room) + "/" + std::to_string(service), "r"));
        for (int worker = 0; worker < 2; ++worker) {
          for (int status = 200; status < 240; ++status) {
            held.back()->cells(worker).started();
            held.back()->cells(worker).finished({.status = status});
          }
        }
      }
    }
    Scrape scrape;
    metrics.gather(scrape, {});
    EXPECT_LE(scrape.lines(), most);
    const std::string text = render(scrape, Exposition::prometheus);
    std::size_t lines = 0;
    for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1)
      lines += text[at] != '#' ? 1 : 0;
    EXPECT_EQ(lines, scrape.lines());
    for (const Family family :
         {Family::ready, Family::config_info, Family::certificate_expires, Family::loop_lag,
          Family::tls_handshakes, Family::worker_connections, Family::access_log_dropped}) {
      EXPECT_NE(text.find("\n" + std::string(info(family).name)), std::string::npos)
          << info(family).name;
    }
  }
}

TEST_F(MetricsTest, a_series_refused_to_two_workers_is_one) {
  metrics.set_series_max(reserved_series(2) + 24);
  const auto series = metrics.request_series(Direction::inbound, "web", "r");
  for (int worker = 0; worker < 2; ++worker) {
    series->cells(worker).started();
    series->cells(worker).finished({.status = 200});
  }
  EXPECT_EQ(lines("series_refused"), "outrigger_series_refused_total: 1\n");
}

TEST_F(MetricsTest, reset_lets_counters_begin_again_and_leaves_gauges) {
  const auto series = metrics.request_series(Direction::inbound, "web", "r");
  RequestCells& cells = series->cells(0);
  const auto one = [&cells] {
    cells.started();
    cells.finished({.status = 200, .duration = milliseconds(1)});
  };
  one();
  one();
  cells.started();
  metrics.reset_counters({});
  EXPECT_NE(lines("requests_total").find(": 0\n"), std::string::npos);
  EXPECT_NE(lines("duration").find("count=0 sum=0 "), std::string::npos);
  EXPECT_NE(lines("requests_active").find(": 1\n"), std::string::npos);
  one();
  EXPECT_NE(lines("requests_total").find(": 1\n"), std::string::npos);
  EXPECT_NE(lines("duration").find("count=1 sum=0.001 "), std::string::npos);
}

TEST_F(MetricsTest, a_reset_does_not_hide_a_series_that_began_anew) {
  auto series = metrics.request_series(Direction::inbound, "web", "r");
  for (int i = 0; i < 5; ++i) {
    series->cells(0).started();
    series->cells(0).finished({.status = 200});
  }
  metrics.reset_counters({});
  series.reset();
  lines("", TimePoint{hours(1)});
  lines("", TimePoint{hours(2)});
  series = metrics.request_series(Direction::inbound, "web", "r");
  series->cells(0).started();
  series->cells(0).finished({.status = 200});
  EXPECT_NE(lines("requests_total", TimePoint{hours(2)}).find(": 1\n"), std::string::npos);
}

TEST_F(MetricsTest, a_reset_is_for_people_and_monitoring_sees_no_counter_go_back) {
  const auto series = metrics.connection_series(Side::upstream, Direction::outbound, "orders");
  series->connections(0).on_opened();
  metrics.reset_counters({});
  series->connections(0).on_opened();
  EXPECT_NE(lines("opened").find(": 1\n"), std::string::npos);
  Scrape scrape;
  metrics.gather_for_monitoring(scrape, {});
  EXPECT_NE(render_lines(scrape, "opened").find(": 2\n"), std::string::npos);
}

TEST_F(MetricsTest, a_series_that_began_anew_after_a_reset_never_falls_back) {
  double value = 100;
  const auto collection = metrics.collect(
      [&](Scrape& scrape) { scrape.counter(Family::access_log_dropped, {"ok"}, value); });
  const auto seen = [&] {
    Scrape scrape;
    metrics.gather(scrape, {});
    const std::string line = render_lines(scrape, "access_log_dropped");
    return std::stod(line.substr(line.rfind(' ')));
  };
  metrics.reset_counters({});
  EXPECT_EQ(seen(), 0);
  value = 90;  // the source has started over
  EXPECT_EQ(seen(), 90);
  value = 101;
  EXPECT_EQ(seen(), 101);
}

TEST_F(MetricsTest, scrapes_that_leave_out_the_same_series_count_them_once) {
  metrics.set_series_max(reserved_series(2));
  const auto collection = metrics.collect([](Scrape& scrape) {
    for (int i = 0; i < 1000; ++i)
      scrape.gauge(Family::endpoint_active, {"orders", std::to_string(i)}, 1);
  });
  const std::string first = lines("series_refused");
  EXPECT_EQ(first.find(": 0\n"), std::string::npos);
  EXPECT_EQ(lines("series_refused"), first);
  EXPECT_EQ(lines("series_refused"), first);
}

TEST_F(MetricsTest, its_own_and_the_process) {
  EXPECT_NE(lines("build_info").find("version=\"0.1.0\""), std::string::npos);
  Metrics with_process({.workers = 1, .version = "x"});
  Scrape scrape;
  with_process.gather(scrape, {});
  for (const char* name : {"process_cpu_seconds_total", "process_resident_memory_bytes",
                           "process_open_fds", "process_max_fds", "process_start_time_seconds"}) {
    EXPECT_NE(render_lines(scrape, name), "") << name;
  }
}

}  // namespace
}  // namespace outrigger::telemetry
