#pragma once

// One connection to an endpoint with its client codec. Owned by its Pool; the worker's thread. It
// connects, completes the handshake, learns by ALPN which protocol is spoken, then carries streams
// until it retires (GOAWAY, Connection: close, errors, idleness) and is destroyed through
// Loop::retire().

#include <memory>
#include <optional>

#include "base/intrusive_list.h"
#include "http/codec.h"
#include "http/connection_wire.h"
#include "http/h2_allocator.h"
#include "http/h2_keepalive.h"
#include "net/connection.h"
#include "policy/breaker.h"
#include "upstream/connector.h"

namespace outrigger::upstream {

class Pool;

// Shared by all client connections of a worker.
struct ClientContext {
  net::Loop& loop;
  http::H2Memory& h2_memory;
  http::CodecCounters& codec_counters;
  http::CodecLimits limits;
};

class ClientConnection final : public net::Retirable,
                               public ListLink<ClientConnection>,
                               private net::ConnectionHandler,
                               private http::ClientEvents {
 public:
  enum class State {
    connecting,  // until the transport is open
    ready,       // streams may be opened while capacity() > 0
    retiring,    // open streams continue, no new ones
    closed,
  };

  ClientConnection(Pool& pool, ClientContext& context, std::unique_ptr<net::Connection> connection,
                   Offer offer, policy::Permit permit);
  ~ClientConnection() override;

  // The connector outlives the connection.
  void start(const Connector& connector);
  State state() const { return state_; }
  bool http2() const { return codec_ && codec_->version() == http::Version::http2; }
  std::size_t open_streams() const { return codec_ ? codec_->open_streams() : 0; }
  std::size_t capacity() const { return state_ == State::ready ? codec_->capacity() : 0; }
  // Streams opened so far: if not zero, the next one reuses the connection.
  std::uint64_t streams_opened() const { return streams_opened_; }
  // REQUIRES: capacity() > 0. Send the head before returning to the loop.
  http::Stream& open_stream(http::StreamSink& sink);
  TimePoint idle_since() const { return idle_since_; }
  const net::Connection& connection() const { return *connection_; }
  net::CloseReason close_reason() const { return close_reason_; }
  // No new streams; closes when the open ones are done.
  void drain();

 private:
  friend class Pool;
  void on_open() override;
  std::size_t on_bytes(std::string_view bytes) override;
  void on_end_of_input() override;
  void on_drained() override;
  void on_rest() override;
  std::size_t read_max() override { return codec_->read_max(); }
  void on_closed(net::CloseReason reason) override;
  void on_capacity() override;
  void on_retiring() override;

  Pool& pool_;
  ClientContext& context_;
  std::unique_ptr<net::Connection> connection_;
  http::ConnectionWire wire_;
  std::unique_ptr<http::ClientCodec> codec_;
  std::unique_ptr<http::H2Keepalive> keepalive_;  // HTTP/2
  const http::KeepaliveTimes* keepalive_times_ = nullptr;
  const Offer offer_;
  // Maintained by the pool: whether the connection counts as in use, and the breaker's permit for
  // it, which the pool's only connection in use may lack.
  bool working_ = true;
  // A byte has arrived from the peer: in TLS 1.3 it may still refuse our certificate after the
  // handshake is over for us.
  bool accepted_ = false;
  // It has carried a request, or was ready when no request was waiting.
  bool offered_ = false;
  policy::Permit permit_;
  State state_ = State::connecting;
  net::CloseReason close_reason_ = net::CloseReason::aborted;
  std::uint64_t streams_opened_ = 0;
  TimePoint idle_since_{};
};

}  // namespace outrigger::upstream
