#pragma once

// What all workers share and outlive by. Everything in it may be used from any thread.

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "net/socket.h"
#include "telemetry/access_log.h"
#include "telemetry/metrics.h"
#include "tls/cert_store.h"
#include "upstream/balancers.h"
#include "upstream/endpoint_set.h"

namespace outrigger::server {

class WorkerThread;

struct Shared {
  const upstream::Balancers& balancers;
  telemetry::Metrics& metrics;
  telemetry::AccessLog& access_log;
  const tls::CertStore* identity = nullptr;  // null without `identity`
  int workers = 1;
  int connections_max = 0;                   // over all workers
  std::vector<std::unique_ptr<WorkerThread>> threads;
  std::atomic<std::uint64_t> connections_refused{0};

  // Downstream connections of all workers, as of a moment ago.
  int open_connections() const;
  // The worker with the fewest connections, when `index` has clearly more; else null. SO_REUSEPORT
  // spreads many connections well and few long ones badly.
  WorkerThread* less_loaded_than(int index) const;
};

// A bound socket of one configured listener.
struct ListenSocket {
  bool inbound = false;
  std::size_t index = 0;  // in Config::inbound or Config::outbound
  net::Fd fd;
};

}  // namespace outrigger::server
