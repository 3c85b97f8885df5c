#pragma once

// One downstream HTTP connection: the connection, its server codec and the exchanges on it. Chooses
// the codec by ALPN or by the first bytes, enforces the connection's own deadlines (headers, idle)
// and tells its owner when it is gone. Listed by the worker; the worker's thread; retires itself.

#include <algorithm>
#include <cstdint>
#include <memory>

#include "base/intrusive_list.h"
#include "http/codec.h"
#include "http/connection_wire.h"
#include "http/h2_keepalive.h"
#include "net/connection.h"
#include "proxy/exchange.h"
#include "proxy/scope.h"

namespace outrigger::proxy {

class HttpConnection;

class HttpConnectionOwner {
 public:
  // The connection is gone; it retires itself after this call.
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
  // Closes when the open requests are done. An idle HTTP/1 connection waits briefly for a request
  // that may be on its way.
  void drain();
  // HTTP/1: the next response announces the close; an idle connection stays open. HTTP/2: nothing
  // yet.
  void drain_after_next();
  // Closes at once (end of the drain, memory pressure).
  void close() { connection_->kill(false); }

  Scope& scope() { return scope_; }
  net::Connection& connection() { return *connection_; }
  const http::Codec* codec() const { return codec_.get(); }
  std::size_t open_streams() const { return codec_ ? codec_->open_streams() : 0; }

 private:
  void on_open() override;
  std::size_t on_bytes(std::string_view bytes) override;
  void on_end_of_input() override;
  void on_drained() override;
  void on_rest() override;
  bool ends_on_unread_reset() const override { return true; }
  void on_end_ahead(std::size_t most) override;
  void on_output_waits() override;
  void on_closed(net::CloseReason reason) override;
  http::StreamSink& on_stream(http::Stream& stream) override;
  void on_refused(const http::Refusal& refusal) override;
  void on_output_queued() override;
  void on_idle() override;

  bool choose_codec(std::string_view first_bytes);
  void refuse_opaque();
  void make_codec(bool http2);
  void learn_peer();
  void fill(Peer& peer, const std::string& address) const;
  void watch_head();
  void head_begins();
  void on_timer();
  void wait_for(Duration most);
  bool output_stalled(TimePoint now);
  void drain_codec();
  bool head_begun() const { return waits_for_ == WaitsFor::rest_of_head; }

  // A point in time, or none, in four bytes, since thousands of connections are idle. Wraps after
  // 49 days.
  class Moment {
   public:
    bool set() const { return ms_ != 0; }
    void clear() { ms_ = 0; }
    void set_to(TimePoint t) { ms_ = std::max(ms_of(t), 1U); }
    Duration until(TimePoint t) const { return milliseconds(ms_of(t) - ms_); }

   private:
    static std::uint32_t ms_of(TimePoint t) {
      return static_cast<std::uint32_t>(t.time_since_epoch() / milliseconds(1));
    }
    std::uint32_t ms_ = 0;
  };

  Scope& scope_;
  HttpConnectionOwner& owner_;
  std::unique_ptr<net::Connection> connection_;
  http::ConnectionWire wire_;
  std::unique_ptr<http::ServerCodec> codec_;
  std::unique_ptr<http::H2Keepalive> keepalive_;  // HTTP/2
  PeerBook::Hold peer_;                           // once the connection is open
  net::Timer timer_;  // idleness, checked lazily; the header deadline; a client that does not read
  Moment since_;      // when it became idle, or when the incoming head began
  // The client has read none of the pending output since this time, when this many bytes had been
  // written (the low bits; exactly 16 MiB between two checks would be mistaken for none).
  Moment waits_since_;
  static constexpr std::uint32_t waits_at_mask = 0xffffff;
  std::uint32_t waits_at_ : 24 = 0;
  enum class Draining : std::uint8_t { no, after_next, soon, now } draining_ : 4 = Draining::no;
  enum class WaitsFor : std::uint8_t { head, rest_of_head } waits_for_ : 4 = WaitsFor::head;
  HeldBodies bodies_;  // of its requests
};

}  // namespace outrigger::proxy
