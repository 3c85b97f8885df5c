#include "upstream/counters.h"

namespace outrigger::upstream {

void PoolCounters::count_handshake(const net::Connection& connection,
                                   std::optional<net::CloseReason> ended) const {
  const net::Transport* transport = connection.transport();
  if (transport == nullptr) return;
  if (ended == net::CloseReason::handshake_timeout) {
    tls.on_ended(TlsCells::timeout, "");
  } else if (ended && (ended == net::CloseReason::handshake_failed ||
                       transport->failure() == net::TlsFailure::peer_refused)) {
    tls.on_ended(transport->failure(), "");
  } else if (connection.was_open()) {
    tls.on_ended(net::TlsFailure::none, transport->info().version);
  }
}

void PoolCounters::count_bytes(net::Connection& connection) const {
  const auto [read, written] = connection.take_moved();
  connections.on_moved(read, written);
}

void PoolCounters::count_end(net::Connection& connection, net::CloseReason reason) const {
  count_bytes(connection);
  connections.on_closed(reason);
}

}  // namespace outrigger::upstream
