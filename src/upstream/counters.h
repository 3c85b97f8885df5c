#pragma once

// What a cluster counts on one worker; telemetry names and exports it.

#include "base/traffic_cells.h"

namespace outrigger::upstream {

struct PoolCounters {
  ConnectionCells& connections;
  TlsCells& tls;
  PoolCells& pool;
};

}  // namespace outrigger::upstream
