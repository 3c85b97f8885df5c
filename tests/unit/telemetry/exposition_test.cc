#include "telemetry/exposition.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "support/golden_file.h"

namespace outrigger::telemetry {
namespace {

// A few of everything, including labels that must be escaped.
void fill(Scrape& scrape) {
  const auto request = [&](std::string_view status, std::string_view grpc, std::string_view flag,
                           std::string_view peer, double n) {
    scrape.counter(Family::requests, {"outbound", "orders", "beta-users", status, grpc, flag, peer},
                   n);
  };
  request("200", "", "", "spiffe://example.org/web", 41);
  request("200", "14", "", "", 2);
  request("503", "", "UH", "", 7);
  request("200", "", "", "<script>\"\\\n\xff", 1);
  Histogram durations;
  for (std::uint64_t v = 1; v <= 50; ++v) durations.record(v * v * 100);
  scrape.histogram(Family::request_duration, {"outbound", "orders", "beta-users"}, durations);
  scrape.counter(Family::request_bytes, {"outbound", "orders", "beta-users"}, 123456789);
  scrape.gauge(Family::requests_active, {"outbound", "orders", "beta-users"}, 3);
  scrape.gauge(Family::endpoints, {"orders", "aws/eu-west-1/a"}, 2);
  scrape.gauge(Family::certificate_expires, {"identity"}, -12.5);
  Histogram lag;
  lag.record(90'000'000);
  scrape.histogram(Family::loop_lag, {"0"}, lag);
  scrape.gauge(Family::build_info, {"0.1.0", "gcc"}, 1);
  scrape.counter(Family::process_cpu, {}, 1.25);
  scrape.finish();
}

TEST(Exposition, prometheus_text) {
  Scrape scrape;
  fill(scrape);
  test::expect_golden("tests/golden/metrics/prometheus.txt",
                      render(scrape, Exposition::prometheus));
}

TEST(Exposition, openmetrics_text) {
  Scrape scrape;
  fill(scrape);
  test::expect_golden("tests/golden/metrics/openmetrics.txt",
                      render(scrape, Exposition::openmetrics));
}

TEST(Exposition, lines) {
  Scrape scrape;
  fill(scrape);
  test::expect_golden("tests/golden/metrics/lines.txt", render_lines(scrape));
}

TEST(Exposition, json) {
  Scrape scrape;
  fill(scrape);
  const std::string text = render_json(scrape);
  test::expect_golden("tests/golden/metrics/stats.json", text);
  const auto parsed = nlohmann::json::parse(text);
  EXPECT_EQ(parsed["stats"].size(), scrape.samples().size());
}

TEST(Exposition, nothing_is_well_formed_too) {
  Scrape scrape;
  scrape.finish();
  EXPECT_EQ(render(scrape, Exposition::prometheus), "");
  EXPECT_EQ(render(scrape, Exposition::openmetrics), "# EOF\n");
  EXPECT_TRUE(nlohmann::json::parse(render_json(scrape))["stats"].empty());
}

TEST(Exposition, filter_matches_names_and_labels) {
  Scrape scrape;
  fill(scrape);
  EXPECT_EQ(render_lines(scrape, "certificate"),
            "outrigger_certificate_expires_seconds{name=\"identity\"}: -12.5\n");
  EXPECT_EQ(render_lines(scrape, "flag=\"UH\""),
            "outrigger_requests_total{direction=\"outbound\",service=\"orders\","
            "route=\"beta-users\",status=\"503\",grpc_status=\"\",flag=\"UH\",peer=\"\"}: 7\n");
  EXPECT_EQ(render_lines(scrape, "nothing like this"), "");
  // A family's header precedes its first selected sample.
  const std::string text = render(scrape, Exposition::prometheus, "build_info");
  EXPECT_TRUE(text.starts_with("# HELP outrigger_build_info ")) << text;
  EXPECT_EQ(nlohmann::json::parse(render_json(scrape, "UH"))["stats"].size(), 1U);
}

TEST(Exposition, negotiation) {
  struct Case {
    std::string_view accept;
    Exposition format;
  };
  constexpr auto plain = Exposition::prometheus;
  constexpr auto open = Exposition::openmetrics;
  const Case cases[] = {
      {"", plain},
      {"*/*", plain},
      {"text/plain", plain},
      {"text/html, */*;q=0.1", plain},
      {"application/openmetrics-text", open},
      {"application/openmetrics-text; version=1.0.0; charset=utf-8", open},
      {"application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;"
       "version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
       open},
      {"APPLICATION/OpenMetrics-Text;Q=1", open},
      {"application/openmetrics-text;q=0.1,text/plain", plain},
      {"application/openmetrics-text;q=0", plain},
      {"application/openmetrics-text;version=2.0.0", plain},
      {"application/openmetrics-text;q=x", plain},
      {",,;;=,", plain},
      {"application/openmetrics-text;;version=1.0.0;", open},
  };
  for (const Case& c : cases) EXPECT_EQ(negotiate(c.accept), c.format) << c.accept;
}

// Prometheus' own linter: the one that ./dev unpacked, or an installed one.
TEST(Exposition, promtool_has_nothing_to_say) {
  const char* tools = std::getenv("OUTRIGGER_TOOLS");
  const std::string unpacked = std::string(tools != nullptr ? tools : "") + "/bin/promtool";
  const std::string tool = std::filesystem::exists(unpacked) ? unpacked : "promtool";
  if (std::system((tool + " --version >/dev/null 2>&1").c_str()) != 0) {
    if (std::getenv("OUTRIGGER_NO_SKIP") != nullptr) FAIL() << "promtool is missing";
    GTEST_SKIP() << "promtool is missing";
  }
  Scrape scrape;
  fill(scrape);
  const std::string path = "/tmp/outrigger_exposition_" + std::to_string(::getpid());
  std::ofstream(path) << render(scrape, Exposition::prometheus);
  const int status = std::system((tool + " check metrics <" + path).c_str());
  std::remove(path.c_str());
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace outrigger::telemetry
