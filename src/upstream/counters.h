#pragma once

// What a cluster counts on one worker; telemetry names and exports it.

#include <optional>

#include "base/traffic_cells.h"
#include "net/connection.h"

namespace outrigger::upstream {

struct PoolCounters {
  ConnectionCells& connections;
  TlsCells& tls;
  PoolCells& pool;

  // How the handshake with an endpoint went, once for each connection: when its first bytes have
  // arrived (a TLS 1.3 server refuses our certificate only after the handshake), or at its end.
  void count_handshake(const net::Connection& connection,
                       std::optional<net::CloseReason> ended) const;
  // From time to time, while a connection that was counted as opened is open.
  void count_bytes(net::Connection& connection) const;
  // Its end.
  void count_end(net::Connection& connection, net::CloseReason reason) const;
};

}  // namespace outrigger::upstream
