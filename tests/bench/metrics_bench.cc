// What counting one request costs its worker: one combination of labels, and several in turn. And a
// whole scrape.

#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "telemetry/metrics.h"

namespace outrigger::telemetry {
namespace {

constexpr int statuses[] = {200, 204, 304, 404, 503};

void count(benchmark::State& state) {
  Metrics metrics({.workers = 1, .series_max = 20'000, .version = "bench", .process = false});
  const auto series = metrics.request_series(Direction::outbound, "orders", "");
  RequestCells& cells = series->cells(0);
  const auto kinds = static_cast<std::size_t>(state.range(0));
  std::size_t i = 0;
  for (auto _ : state) {
    cells.started();
    cells.attempted();
    cells.finished({.status = statuses[i],
                    .duration = std::chrono::microseconds(100 + i),
                    .bytes_in = 10,
                    .bytes_out = 1024});
    i = i + 1 == kinds ? 0 : i + 1;
  }
}
BENCHMARK(count)->Name("metrics/count_request")->Arg(1)->Arg(5);

void scrape(benchmark::State& state) {
  Metrics metrics({.workers = 2, .series_max = 100'000, .version = "bench", .process = false});
  std::vector<std::shared_ptr<RequestSeries>> all;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    all.push_back(metrics.request_series(Direction::outbound, "service-" + std::to_string(i), ""));
    for (const int worker : {0, 1}) {
      all.back()->cells(worker).started();
      all.back()->cells(worker).finished({.status = 200, .duration = std::chrono::milliseconds(1)});
    }
  }
  for (auto _ : state) {
    Scrape scrape;
    metrics.gather(scrape, TimePoint{});
    benchmark::DoNotOptimize(scrape.samples().size());
  }
}
BENCHMARK(scrape)->Name("metrics/gather")->Arg(10)->Arg(1000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace outrigger::telemetry
