// A route's look-up with 10 and 1,000 routes: the last of a service's paths, regular expressions
// that all have to be asked, and a service among others that have the routes. And the compilation.

#include <benchmark/benchmark.h>

#include "proxy/route_table.h"

namespace outrigger::proxy {
namespace {

using config::TextMatch;

std::shared_ptr<config::Config> config_of(std::int64_t routes, TextMatch::Kind kind,
                                          bool one_service) {
  auto config = std::make_shared<config::Config>();
  for (std::int64_t i = 0; i < routes; ++i) {
    config::Route route;
    route.name = "route-" + std::to_string(i);
    route.match.service = one_service ? "orders" : "service-" + std::to_string(i);
    const std::string path = "/part-" + std::to_string(i) + "/";
    const bool regex = kind == TextMatch::Kind::regex;
    route.match.path = TextMatch{kind, regex ? "^" + path + "[0-9]+$" : path};
    route.match.headers = {{"x-version", {TextMatch::Kind::exact, "2"}}};
    config->routes.push_back(std::move(route));
  }
  return config;
}

void look_up(benchmark::State& state, TextMatch::Kind kind, bool one_service) {
  const auto table = *RouteTable::compile(config_of(state.range(0), kind, one_service));
  const std::string last = std::to_string(state.range(0) - 1);
  const std::string path = "/part-" + last + "/17";
  const ServiceRoutes* routes = table->of(one_service ? "orders" : "service-" + last);
  BlockPool pool;
  Arena arena(pool);
  http::Head head(arena);
  head.path = path;
  head.authority = "orders";
  for (const char* name : {"accept", "user-agent", "cookie", "x-request-id"})
    head.fields.add(name, "x");
  head.fields.add("x-version", "2");
  for (auto _ : state) {
    const Route* route = routes->match(head);
    if (route == nullptr) state.SkipWithError("no route");
  }
}

void compile(benchmark::State& state, TextMatch::Kind kind) {
  const auto config = config_of(state.range(0), kind, true);
  for (auto _ : state) benchmark::DoNotOptimize(RouteTable::compile(config));
}

void host(benchmark::State& state) {
  config::Config config;
  for (std::int64_t i = 0; i < state.range(0); ++i) config.services["service-" + std::to_string(i)];
  const HostTable table(config);
  BlockPool pool;
  Arena arena(pool);
  for (auto _ : state) {
    benchmark::DoNotOptimize(table.service_of("Service-7.mesh:8080", arena));
    arena.reset();
  }
}

BENCHMARK_CAPTURE(look_up, prefix, TextMatch::Kind::prefix, true)->Arg(10)->Arg(1000);
BENCHMARK_CAPTURE(look_up, regex, TextMatch::Kind::regex, true)->Arg(10)->Arg(1000);
BENCHMARK_CAPTURE(look_up, other_services, TextMatch::Kind::regex, false)->Arg(10)->Arg(1000);
BENCHMARK_CAPTURE(compile, prefix, TextMatch::Kind::prefix)->Arg(10)->Arg(1000);
BENCHMARK_CAPTURE(compile, regex, TextMatch::Kind::regex)->Arg(10)->Arg(1000);
BENCHMARK(host)->Arg(10)->Arg(10'000);

}  // namespace
}  // namespace outrigger::proxy
