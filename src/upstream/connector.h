#pragma once

// How a cluster reaches its endpoints: a socket and, with mTLS, a transport on it. One per cluster
// and worker; used for every new connection, never for a request.

#include <functional>
#include <memory>

#include "http/h2_keepalive.h"
#include "net/connection.h"
#include "net/socket.h"

namespace outrigger::upstream {

// What a client offers by ALPN, and so what may be spoken.
enum class Offer { http, http1, http2, tcp };

// Makes the client side of a TLS session; empty for plain text.
using TransportFactory = std::function<std::unique_ptr<net::Transport>(Offer offer)>;

// Makes a channel that connects to an address, or null and an errno; empty for sockets. The seam
// where tests and simulations insert in-memory pipes.
using ChannelFactory = std::function<std::unique_ptr<net::Channel>(
    net::Loop& loop, const net::SocketAddress& address, int& error)>;

struct Connector {
  ChannelFactory channel;
  TransportFactory transport;
  Duration connect_timeout = seconds(1);
  net::ConnectionLimits limits;
  http::KeepaliveTimes keepalive;

  bool secure() const { return static_cast<bool>(transport); }

  // A connection to `address` that is connecting but not started: call start(handler, true,
  // connect_timeout). Null when the connect failed at once; `error` says why (errno).
  std::unique_ptr<net::Connection> connect(net::Loop& loop, const net::SocketAddress& address,
                                           Offer offer, int& error) const;
};

}  // namespace outrigger::upstream
