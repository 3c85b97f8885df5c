#pragma once

// One worker: its loop, listening sockets, connections, clusters and pools. Made, run and destroyed
// on its own thread by a WorkerThread, which is what other threads hold. build() composes it in one
// place.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "net/event_loop.h"
#include "net/listener.h"
#include "proxy/http_connection.h"
#include "proxy/incoming.h"
#include "proxy/scope.h"
#include "server/memory_release.h"
#include "server/shared.h"
#include "server/snapshot.h"
#include "tcp/session.h"

namespace outrigger::server {

// The stages of shutdown; it never goes back.
enum class Stage : std::uint8_t {
  serving,
  draining,        // callers of the app are asked to go elsewhere; all ports are open, since others
                   // may not know yet; the app itself is served as before
  inbound_closed,  // the ports to the app too
  last_calls,      // and the app's connections are asked to close
  closed,          // all ports
};

class Worker final : private proxy::HttpConnectionOwner,
                     private tcp::SessionOwner,
                     private proxy::IncomingOwner {
 public:
  Worker(int index, Shared& shared);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  net::EventLoop& loop() { return loop_; }
  // Composes everything; before the loop runs.
  void build(const std::shared_ptr<const Snapshot>& snapshot, std::vector<ListenSocket> sockets);
  void adopt(const std::shared_ptr<const Snapshot>& snapshot);
  void advance(Stage stage);
  // Accepted here or by another worker, and counted as this worker's already.
  void take(std::size_t door, net::Fd fd, const net::SocketAddress& peer);
  // All at once, where measure() tells some each second. Never inlined: the guard
  // (tests/bench/callgrind.py) recognises by it that somebody looks at /clusters.
  [[gnu::noinline]] void tell_latencies();

 private:
  struct Context final : proxy::WorkerContext {
    explicit Context(Worker& w);
    proxy::Destination* find(std::string_view name) override;
    Worker& worker_;
  };
  // One listener on this worker: its socket and what its connections need.
  struct Door final : net::ListenerHandler {
    Door(Worker& w, std::size_t i) : worker(w), index(i), scope(w.context_) {}
    void on_accept(net::Fd fd, const net::SocketAddress& peer) override;
    Worker& worker;
    std::size_t index;
    proxy::Scope scope;
    bool secure = false;
    bool permissive = false;
    tls::ServerOptions tls;
    std::shared_ptr<telemetry::ConnectionSeries> series;
    std::unique_ptr<net::Listener> listener;
  };

  proxy::HttpConnectionOwner& http_owner() { return *this; }
  proxy::IncomingOwner& incoming_owner() { return *this; }
  tcp::SessionOwner& session_owner() { return *this; }
  bool ending(const proxy::Scope& scope) const;
  void drain(proxy::HttpConnection& connection) const;
  void stop_listening(bool outbound_too);
  void add_door(const Snapshot& snapshot, ListenSocket socket);
  void set_inbound(Door& door, const Snapshot& snapshot, std::size_t index);
  void set_outbound(Door& door, const Snapshot& snapshot, std::size_t index);
  std::unique_ptr<proxy::Destination> make_destination(telemetry::Direction direction,
                                                       const ServiceSnapshot& from,
                                                       const config::Runtime& runtime);
  upstream::Connector connector_for(const config::Service& service, const config::Runtime& runtime);
  std::unique_ptr<net::Transport> server_transport(const Door& door);
  void gone(proxy::Scope& scope, net::Connection& connection, net::CloseReason reason);
  void count_open_bytes();
  void tell_some_latencies();
  void tell_refusal(const proxy::Scope& scope, const net::SocketAddress& peer);
  void tell_handshake_failure(const proxy::Scope& scope, const net::Connection& connection);
  void measure();
  void release_memory();

  void on_http_connection_done(proxy::HttpConnection& connection, net::CloseReason reason) override;
  void on_session_done(tcp::Session& session, const tcp::SessionReport& report) override;
  void on_incoming_http(proxy::Scope& scope, std::unique_ptr<net::Connection> connection) override;
  void on_incoming_tcp(proxy::Scope& scope, std::unique_ptr<net::Connection> connection) override;
  void on_incoming_closed(proxy::Scope& scope, net::Connection& connection,
                          net::CloseReason reason) override;

  const int index_;
  Shared& shared_;
  net::EventLoop loop_;
  http::H2Memory h2_memory_;
  std::unique_ptr<tls::CertStoreReader> identity_;
  upstream::ClientContext client_context_;
  Context context_;
  std::map<std::string, std::unique_ptr<proxy::Destination>, std::less<>> destinations_;
  std::vector<std::unique_ptr<proxy::Destination>> apps_;  // by inbound listener
  std::vector<std::unique_ptr<Door>> doors_;
  IntrusiveList<proxy::Incoming> incoming_;
  IntrusiveList<proxy::HttpConnection> http_;
  IntrusiveList<tcp::Session> sessions_;
  std::size_t next_told_ = 0;  // the service whose latencies are told next
  net::Timer lag_timer_;
  MemoryRelease memory_release_;
  Stage stage_ = Stage::serving;
  TimePoint tell_handshake_at_{};
  std::uint64_t handshakes_untold_ = 0;
  TimePoint tell_refusal_at_{};
  std::uint64_t refusals_untold_ = 0;
};

}  // namespace outrigger::server
