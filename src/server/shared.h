#pragma once

// What all workers share; it outlives them. Everything in it may be used from any thread.

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
  Shared(const upstream::Balancers& b, telemetry::Metrics& m, telemetry::AccessLog& a,
         const tls::CertStore* i, int worker_count, int connections)
      : balancers(b),
        metrics(m),
        access_log(a),
        identity(i),
        workers(worker_count),
        connections_max(connections) {}

  const upstream::Balancers& balancers;
  telemetry::Metrics& metrics;
  telemetry::AccessLog& access_log;
  const tls::CertStore* const identity;  // null without `identity`
  const int workers;
  const int connections_max;  // over all workers
  std::vector<std::unique_ptr<WorkerThread>> threads;
  // Lets a thread that has time give free heap back to the system.
  std::function<void()> release_heap = [] {};

  // Downstream connections of all workers, as of a moment ago.
  int open_connections() const;
  // The worker with the fewest connections, when `index` has clearly more; else null. SO_REUSEPORT
  // spreads many connections well and few long ones badly.
  WorkerThread* less_loaded_than(int index) const;
};

// One configured listener, as one worker has it. `fd` is its bound socket, or none when another
// worker accepts for all.
struct ListenSocket {
  bool inbound = false;
  std::size_t index = 0;  // in Config::inbound or Config::outbound
  net::Fd fd;
};

}  // namespace outrigger::server
