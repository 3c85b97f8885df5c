#include "proxy/scope.h"

namespace outrigger::proxy {

http::KeepaliveTimes keepalive_times(const config::Http2Ping& ping) {
  return {.after = ping.after, .timeout = ping.timeout, .again = ping.again};
}

telemetry::RequestCells& WorkerContext::cells(Destination& destination, const Route* route) {
  const std::size_t number = route != nullptr ? route->order() + 1 : 0;
  if (number >= destination.series.size()) destination.series.resize(number + 1);
  Destination::Series& entry = destination.series[number];
  if (entry.cells == nullptr) {
    entry.series = metrics.request_series(destination.direction, destination.service,
                                          route != nullptr ? route->config().name : "");
    entry.cells = &entry.series->cells(worker);
  }
  return *entry.cells;
}

telemetry::RequestCells& WorkerContext::unrouted(telemetry::Direction direction) {
  Destination::Series& entry = unrouted_[static_cast<std::size_t>(direction)];
  if (entry.cells == nullptr) {
    entry.series = metrics.request_series(direction, "", "");
    entry.cells = &entry.series->cells(worker);
  }
  return *entry.cells;
}

}  // namespace outrigger::proxy
