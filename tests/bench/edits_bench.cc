// A route's header edits on a typical request: one header removed, set and added each, and many.

#include <benchmark/benchmark.h>

#include <string>

#include "proxy/header_edits.h"

namespace outrigger::proxy {
namespace {

void edit(benchmark::State& state) {
  config::HeaderEdits config;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    const std::string n = std::to_string(i);
    config.remove.push_back("x-secret-" + n);
    config.set.emplace_back("x-version-" + n, "2");
    config.add.emplace_back("x-seen-by-" + n, "sidecar");
  }
  const HeaderEdits edits(config);
  BlockPool blocks;
  Arena arena(blocks);
  http::Head head(arena);
  for (auto _ : state) {
    for (const char* name :
         {"accept", "user-agent", "cookie", "x-request-id", "x-secret-0", "x-version-0"})
      head.fields.add(name, "value");
    edits.apply(head.fields);
    head.clear();
    arena.reset();
  }
}
BENCHMARK(edit)->Name("header_edits/apply")->Arg(0)->Arg(1)->Arg(10);

}  // namespace
}  // namespace outrigger::proxy
