#pragma once

// Cells for connections and handshakes on one worker. They sit this far left so that pools and
// listeners can count in them; telemetry makes them, names them and exports them.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/metric_cells.h"

namespace outrigger {

struct ConnectionCells {
  // Room for every value of net::CloseReason, which indexes `closed`.
  static constexpr std::size_t reasons_max = 16;

  Counter opened;
  std::array<Counter, reasons_max> closed;
  Gauge active;
  Counter received_bytes;
  Counter sent_bytes;
  Counter not_http;  // of a listener: refused by their first bytes
  Counter refused;   // of a listener: closed when accepted, at the limit; not opened, either

  void on_opened() {
    opened.add();
    active.add();
  }
  // Bytes of a connection that have not been counted yet.
  void on_moved(std::uint64_t received, std::uint64_t sent) {
    if (received > 0) received_bytes.add(received);
    if (sent > 0) sent_bytes.add(sent);
  }
  // `reason`: net::CloseReason.
  template <typename Reason>
  void on_closed(Reason reason) {
    active.sub();
    closed[static_cast<std::size_t>(reason)].add();
  }
};

// TLS handshakes of one side (accepted or made), by result and version.
struct TlsCells {
  // Indices of `ended`: net::TlsFailure, whose `none` is success, and this one.
  static constexpr std::size_t timeout = 7;
  static constexpr std::size_t results = 8;
  static constexpr std::size_t versions = 3;  // none agreed, 1.2, 1.3

  std::array<std::array<Counter, versions>, results> ended;

  // `result`: net::TlsFailure or TlsCells::timeout. `version`: HandshakeInfo::version, or empty.
  template <typename Result>
  void on_ended(Result result, std::string_view version) {
    const std::size_t v = version == "TLSv1.3" ? 2 : version == "TLSv1.2" ? 1 : 0;
    ended[static_cast<std::size_t>(result)][v].add();
  }
};

// What a pool did for the requests that came to it. Upstream connections only.
struct PoolCells {
  Counter hits;       // a stream on a connection that was there
  Counter misses;     // had to wait for a connection
  Counter overflows;  // turned away: the queue was full
  Gauge pending;      // waiting now
};

}  // namespace outrigger
