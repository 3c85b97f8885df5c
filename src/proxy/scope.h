#pragma once

// The environment of exchanges. All of it is per worker, owned by the worker, outlives every
// connection, and is used only on the worker's thread.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/pin.h"
#include "config/model.h"
#include "http/codec.h"
#include "http/h2_allocator.h"
#include "http/h2_keepalive.h"
#include "net/connection.h"
#include "policy/retry_budget.h"
#include "proxy/cidr.h"
#include "proxy/peer.h"
#include "proxy/request_body.h"
#include "proxy/route_table.h"
#include "telemetry/access_log.h"
#include "telemetry/metrics.h"
#include "upstream/cluster.h"

namespace outrigger::proxy {

// The routing half of a snapshot: const, shared by all workers.
struct Routing {
  std::shared_ptr<const config::Config> config;
  std::shared_ptr<const RouteTable> routes;
  HostTable hosts;
  std::vector<std::string>
      target_names;  // by the routes' target numbers: "orders" or "orders/canary"
};

// A service (or a subset, or the app behind a listener) as a destination of requests on this
// worker.
struct Destination {
  std::string service;
  std::unique_ptr<upstream::Cluster> cluster;
  telemetry::Direction direction = telemetry::Direction::outbound;
  std::shared_ptr<telemetry::ConnectionSeries> connections;  // upstream
  // Series by route number plus one; 0 is for requests without a route. Resolved at first use, and
  // again when the routes have changed.
  struct Series {
    std::shared_ptr<telemetry::RequestSeries> series;
    telemetry::RequestCells* cells = nullptr;
  };
  std::vector<Series> series;
};

// What all listeners of a worker share.
struct WorkerContext {
  net::Loop& loop;
  http::H2Memory& h2_memory;
  http::CodecCounters& codec_counters;
  telemetry::Metrics& metrics;
  telemetry::AccessLogLane& access_log;
  int worker = 0;
  Pin<Routing> routing;  // the current one; an exchange pins the one it started with

  virtual ~WorkerContext() = default;
  // By the name of a service, or "service/subset"; null when there is none.
  virtual Destination* find(std::string_view name) = 0;
  telemetry::RequestCells& cells(Destination& destination, const Route* route);
  // For requests that name no known service.
  telemetry::RequestCells& unrouted(telemetry::Direction direction);

 protected:
  WorkerContext(net::Loop& l, http::H2Memory& m, http::CodecCounters& c, telemetry::Metrics& t,
                telemetry::AccessLogLane& a, int w)
      : loop(l), h2_memory(m), codec_counters(c), metrics(t), access_log(a), worker(w) {}

 private:
  std::array<Destination::Series, 2> unrouted_;  // by direction
};

http::KeepaliveTimes keepalive_times(const config::Http2Ping& ping);

// One listener.
struct Scope {
  explicit Scope(WorkerContext& w) : worker(w) { limits.upgrades = &upgrades; }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  WorkerContext& worker;
  telemetry::Direction direction = telemetry::Direction::outbound;
  std::string name;
  config::Protocol protocol = config::Protocol::http;
  config::Paths paths = config::Paths::auto_;
  // Where requests go: the app (inbound) or the one service (outbound); null: the host names it.
  Destination* destination = nullptr;
  http::Upgrades upgrades;
  http::CodecLimits limits;
  net::ConnectionLimits connection;
  std::vector<Cidr> trusted_proxies;
  std::optional<std::uint64_t> body_max;
  // The minimum rate of a body, in bytes a second; 0: none.
  std::uint64_t body_rate = 0;
  // For one connection: copies of request bodies that are kept for retries.
  std::size_t copies_max = HeldBodies::copies_max;
  Duration header_timeout = seconds(10);
  Duration idle_timeout = hours(1);  // of a connection without streams
  http::KeepaliveTimes keepalive;
  ConnectionCells* connections = nullptr;
  TlsCells* tls = nullptr;
  PeerBook peers;                // of its connections, which end before it
  TimePoint tell_not_http_at{};  // when the next refusal may be logged
};

}  // namespace outrigger::proxy
