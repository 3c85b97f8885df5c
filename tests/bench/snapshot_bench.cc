// A configuration of 10 to 1,000 services of 10 endpoints compiled into a snapshot; and one
// service's endpoints changed in it.

#include <benchmark/benchmark.h>

#include <memory>
#include <string>

#include "server/snapshot.h"

namespace outrigger::server {
namespace {

constexpr int endpoints_each = 10;
constexpr int workers = 2;

std::vector<config::Endpoint> endpoints_of(std::int64_t service) {
  std::vector<config::Endpoint> endpoints(endpoints_each);
  for (int i = 0; i < endpoints_each; ++i) {
    auto& endpoint = endpoints[static_cast<std::size_t>(i)];
    endpoint.address.host = "10." + std::to_string(service / 250) + "." +
                            std::to_string(service % 250) + "." + std::to_string(i + 1);
    endpoint.address.port = 15006;
  }
  return endpoints;
}

std::shared_ptr<const config::Config> config_of(std::int64_t services) {
  auto config = std::make_shared<config::Config>();
  for (std::int64_t i = 0; i < services; ++i) {
    const std::string name = "service-" + std::to_string(i);
    config::Service& service = config->services[name];
    service.name = name;
    service.endpoints = endpoints_of(i);
  }
  return config;
}

void compile_all(benchmark::State& state) {
  const auto config = config_of(state.range(0));
  upstream::EndpointStates states(workers);
  for (auto _ : state) benchmark::DoNotOptimize(compile(config, {}, states, workers));
  state.SetItemsProcessed(state.iterations() * state.range(0) * endpoints_each);
}
BENCHMARK(compile_all)->Name("snapshot/compile")->Arg(10)->Arg(1000)->Unit(benchmark::kMicrosecond);

void change_one(benchmark::State& state) {
  upstream::EndpointStates states(workers);
  const auto snapshot = *compile(config_of(state.range(0)), {}, states, workers);
  const auto other = endpoints_of(state.range(0));
  for (auto _ : state)
    benchmark::DoNotOptimize(with_endpoints(*snapshot, {{"service-7", other}}, states, workers));
}
BENCHMARK(change_one)
    ->Name("snapshot/change_one")
    ->Arg(10)
    ->Arg(1000)
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace outrigger::server
