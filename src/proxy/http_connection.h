#pragma once

// One downstream connection that speaks HTTP: the connection, its server codec and the exchanges on
// it. Chooses the codec by ALPN or by the first bytes, keeps the connection's own deadlines
// (headers, idle) and tells its owner when it is gone. Listed by the worker; the worker's thread;
// retires itself.

#include <cstdint>
#include <memory>

#include "base/intrusive_list.h"
#include "http/codec.h"
#include "http/connection_wire.h"
#include "net/connection.h"
#include "proxy/exchange.h"
#include "proxy/scope.h"

namespace outrigger::proxy {

class HttpConnection;

class HttpConnectionOwner {
 public:
  // Gone; it retires itself after this call.
  virtual void on_http_connection_done(HttpConnection& connection, net::CloseReason reason) = 0;

 protected:
  ~HttpConnectionOwner() = default;
};

class HttpConnection final : public net::Retirable,
                             public ListLink<HttpConnection>,
                             private net::ConnectionHandler,
                             private http::ServerEvents {
 public:
  HttpConnection(Scope& scope, std::unique_ptr<net::Connection> connection,
                 HttpConnectionOwner& owner);
  ~HttpConnection() override;

  // Starts the connection, or takes it over when detection has opened it already.
  void start();
  // Closes when the open requests are done. HTTP/1 at rest waits a moment for one that is on its
  // way.
  void drain();
  // Closes at once (the drain's end, memory pressure).
  void close() { connection_->kill(false); }

  Scope& scope() { return scope_; }
  net::Connection& connection() { return *connection_; }
  const http::Codec* codec() const { return codec_.get(); }
  TimePoint idle_since() const { return idle_since_; }
  std::size_t open_streams() const { return codec_ ? codec_->open_streams() : 0; }

 private:
  void on_open() override;
  std::size_t on_bytes(std::string_view bytes) override;
  void on_end_of_input() override;
  void on_drained() override;
  void on_rest() override;
  void on_closed(net::CloseReason reason) override;
  http::StreamSink& on_stream(http::Stream& stream) override;
  void on_refused(const http::Refusal& refusal) override;
  void on_idle() override;

  bool choose_codec(std::string_view first_bytes);
  void refuse_opaque();
  void make_codec(bool http2);
  void learn_peer();
  void fill(Peer& peer, const std::string& address) const;
  void watch_head();
  void on_timer();
  void drain_codec();
  bool head_begun() const { return head_since_ != no_head; }

  static constexpr TimePoint no_head = TimePoint::min();

  Scope& scope_;
  HttpConnectionOwner& owner_;
  std::unique_ptr<net::Connection> connection_;
  http::ConnectionWire wire_;
  std::unique_ptr<http::ServerCodec> codec_;
  PeerBook::Hold peer_;  // once it is open
  net::Timer timer_;     // idleness, checked lazily; and the header deadline
  TimePoint idle_since_;
  TimePoint head_since_ = no_head;  // a head is coming in since then
  enum class Draining : std::uint8_t { no, soon, now } draining_ = Draining::no;
  HeldBodies bodies_;  // of its requests
};

}  // namespace outrigger::proxy
