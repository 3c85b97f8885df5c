#pragma once

// A worker's data path in memory: routes and clusters compiled from a configuration, a listener's
// scope, clients and endpoints that the test plays at the ends of pipes. Driven by a ManualLoop, so
// that time and readiness are the test's; nothing here knows a socket.
//
//   ProxyWorld world;
//   world.add_service("orders", 2);                      // 10.0.0.1:80, 10.0.0.2:80
//   world.config.services["orders"].retry.max = 2;       // anything, before start()
//   world.start("orders");
//   Peer& client = world.connect();                      // raw bytes
//   client.send("GET / HTTP/1.1\r\nhost: orders\r\n\r\n");
//   world.settle();
//   client.take()  ->  the answer
//   world.expect_quiet();                                // nothing is left of anything

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/http_connection.h"
#include "proxy/incoming.h"
#include "server/snapshot.h"
#include "support/codec_fakes.h"
#include "support/manual_loop.h"
#include "support/temp_directory.h"
#include "tcp/session.h"
#include "upstream/balancers.h"

namespace outrigger::test {

using FieldList = std::vector<std::pair<std::string, std::string>>;

// A transport that encrypts nothing and claims what it is told.
class ClearTransport final : public net::Transport {
 public:
  explicit ClearTransport(net::HandshakeInfo info) : info_(std::move(info)) {}
  State state() const override { return State::established; }
  net::TlsFailure failure() const override { return net::TlsFailure::none; }
  std::string failure_text() const override { return {}; }
  const net::HandshakeInfo& info() const override { return info_; }
  void handshake(std::string_view&, net::Buffer&) override {}
  std::size_t open(std::string_view& in, std::span<char> plain, net::Buffer&) override;
  bool seal(std::string_view plain, net::Buffer& out) override {
    out.append(plain);
    return true;
  }
  void close_notify(net::Buffer&) override {}
  void go_idle() override {}

 private:
  net::HandshakeInfo info_;
};

// A transport that encrypts nothing, but shakes hands, frames what it carries and says goodbye, as
// TLS does: one byte of type, two of length, then the bytes. Both ends of a pipe have one.
class SealedTransport final : public net::Transport {
 public:
  explicit SealedTransport(net::HandshakeInfo info) : info_(std::move(info)) {}
  State state() const override { return state_; }
  net::TlsFailure failure() const override { return failure_; }
  std::string failure_text() const override { return {}; }
  const net::HandshakeInfo& info() const override { return info_; }
  void handshake(std::string_view& in, net::Buffer& out) override;
  std::size_t open(std::string_view& in, std::span<char> plain, net::Buffer&) override;
  bool seal(std::string_view plain, net::Buffer& out) override;
  void close_notify(net::Buffer& out) override;
  void channel_ended() override;
  void go_idle() override {}

 private:
  enum Type : char { hello = 1, data = 2, goodbye = 3 };
  static void record(Type type, std::string_view bytes, net::Buffer& out);
  void fail();

  net::HandshakeInfo info_;
  State state_ = State::handshaking;
  net::TlsFailure failure_ = net::TlsFailure::none;
  std::string raw_;        // received and not opened
  std::size_t taken_ = 0;  // of the data record at its front
  bool said_hello_ = false;
  bool said_goodbye_ = false;
};

// A channel that breaks after so many bytes in one direction.
class CutChannel final : public net::Channel {
 public:
  struct Cut {
    std::size_t read_max = ~std::size_t{0};
    std::size_t write_max = ~std::size_t{0};
    bool reset = true;  // false: looks like an orderly close
  };
  CutChannel(std::unique_ptr<net::Channel> inner, Cut cut) : inner_(std::move(inner)), cut_(cut) {}

  void open(net::ChannelHandler& handler) override { inner_->open(handler); }
  int connect_status() override { return inner_->connect_status(); }
  net::IoResult read(std::span<char> to) override;
  net::IoResult write(std::span<const iovec> from, bool fin_follows) override;
  bool was_reset() const override { return inner_->was_reset(); }
  std::size_t unread() const override { return inner_->unread(); }
  void shutdown_write() override { inner_->shutdown_write(); }
  void acknowledge() override { inner_->acknowledge(); }
  void close(bool reset) override { inner_->close(reset); }
  std::string peer_address() const override { return inner_->peer_address(); }
  std::string peer_host() const override { return inner_->peer_host(); }
  std::string local_address() const override { return inner_->local_address(); }

 private:
  net::IoResult broken();

  std::unique_ptr<net::Channel> inner_;
  Cut cut_;
};

// A request as a test's client sends it.
struct Request {
  std::string method = "GET";
  std::string path = "/";
  FieldList fields{};
  std::string body{};
  bool end = true;                        // false: more of the body follows
  bool has_length = true;                 // a Content-Length; else chunked, in HTTP/1
  std::optional<std::uint64_t> length{};  // of a body that comes later
  FieldList trailers{};
  std::string protocol{};  // of an upgrade
  std::string authority = "orders";
};

// One end of a connection in the test's hands: raw bytes, or one of our codecs with sinks that
// write down what they hear.
class Peer final : private net::ConnectionHandler, private http::ClientEvents {
 public:
  enum class Speaks { bytes, h1_server, h2_server, h1_client, h2_client };
  struct Context {
    ManualLoop& loop;
    http::H2Memory memory{};
    http::CodecCounters counters{};
    http::CodecLimits limits{};
    net::ConnectionLimits connection_limits{};
  };
  using Sink = http::fakes::RecordingSink;

  Peer(Context& context, std::unique_ptr<net::Channel> channel, Speaks speaks,
       std::unique_ptr<net::Transport> transport = nullptr);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  void start();

  // Raw bytes.
  void send(std::string_view bytes);
  std::string take() { return std::exchange(received, {}); }
  std::string received;
  std::size_t bytes_received = 0;  // counts on when `keep` is off
  bool keep = true;
  // Instead of `received`; and what else is heard, for whoever reacts at once.
  std::function<void(std::string_view)> on_raw{};
  std::function<void()> on_input_ended{};
  std::function<void()> on_gone{};

  // A client codec: sends a request; the sink hears the answer.
  Sink& call(const Request& request);
  std::deque<std::unique_ptr<Sink>> calls;

  // How many more calls a client codec takes now.
  std::size_t capacity() const { return client_ == nullptr || closed ? 0 : client_->capacity(); }

  // A server codec: what came in, and answers to it.
  http::fakes::RecordingServer server;
  void answer(Sink& request, int status, std::string_view body = {}, const FieldList& fields = {},
              const FieldList& trailers = {});

  // Stops reading: what the other side sends piles up there.
  void stall(bool stalled) { connection_->pause_reading(stalled); }
  void finish() { connection_->finish(); }
  void end_output() { connection_->end_output(); }
  void reset();
  // The same from inside a codec's callback; what follows comes at the turn's end.
  void kill() { connection_->kill(true); }
  void drain() { codec_->drain(); }
  bool open() const { return !closed && connection_->open(); }
  net::Connection& connection() { return *connection_; }
  http::Codec* codec() { return codec_.get(); }

  bool input_ended = false;
  std::optional<net::CloseReason> closed;

 private:
  void on_open() override;
  std::size_t on_bytes(std::string_view bytes) override;
  void on_end_of_input() override;
  void on_drained() override;
  void on_closed(net::CloseReason reason) override;
  void on_capacity() override {}
  void on_retiring() override {}

  Context& context_;
  const Speaks speaks_;
  std::unique_ptr<net::Connection> connection_;
  http::ConnectionWire wire_;
  std::unique_ptr<http::Codec> codec_;
  http::ClientCodec* client_ = nullptr;
};

// What listens at one address.
struct FakeEndpoint {
  enum class Accepts { yes, refuses, refuses_at_once, never };

  std::string name;
  Accepts accepts = Accepts::yes;
  Peer::Speaks speaks = Peer::Speaks::h1_server;
  MemoryChannel::Options pipe{};
  std::optional<CutChannel::Cut> cut{};
  int tries = 0;  // connections asked for
  // When a whole request is there; without one it is answered with 200 and the endpoint's name.
  std::function<void(Peer&, Peer::Sink&)> on_request{};
  // As soon as a request's head is there, before its body.
  std::function<void(Peer&, Peer::Sink&)> on_head{};
  // Somebody has connected; replaces the two above.
  std::function<void(Peer&)> on_peer{};
  // A sidecar of this world listens here: the connection comes to that listener, sealed.
  proxy::Scope* sidecar = nullptr;
  std::deque<std::unique_ptr<Peer>> connections{};

  Peer& last() { return *connections.back(); }
  std::size_t requests() const;
};

class ProxyWorld final : private proxy::HttpConnectionOwner,
                         private proxy::IncomingOwner,
                         private tcp::SessionOwner {
 public:
  explicit ProxyWorld(std::uint64_t seed = 1);
  ~ProxyWorld();

  // Before start().
  config::Config config;
  // A service with `count` endpoints, round robin: 10.0.0.1:80, … (10.0.1.1:80 for the next one).
  config::Service& add_service(const std::string& name, int count);
  void add_route(const config::Route& route) { config.routes.push_back(route); }
  // Endpoints are reached by a ClearTransport that has agreed on this; empty text: no ALPN.
  std::optional<std::string> upstream_alpn;
  std::vector<upstream::Offer> offers;  // of each such connection
  // Services reached through a SealedTransport, by the ALPN that is agreed on.
  std::map<std::string, std::string> sealed_services;
  // Puts something between a cluster and its balancer.
  std::function<std::unique_ptr<LoadBalancer>(const std::string& service,
                                              std::unique_ptr<LoadBalancer>)>
      wrap_balancer;
  config::AccessLog log;  // `path: none` unless set
  // Everything the access log's file holds; waits for its writer.
  std::string log_text();

  // Compiles; requests go to `service`, or where their Host says when it is empty.
  void start(const std::string& service = "orders");
  // Another list for a service, as a registry would bring it.
  void set_endpoints(const std::string& service, const std::vector<std::string>& addresses);

  FakeEndpoint& endpoint(const std::string& address);
  FakeEndpoint& endpoint(int number) {
    return endpoint("10.0.0." + std::to_string(number) + ":80");
  }
  upstream::Cluster& cluster(const std::string& service = "orders");
  // Another listener, after start(): of a sidecar in front of the app that `service` is.
  proxy::Scope& add_inbound(const std::string& service);

  struct Access {
    Peer::Speaks speaks = Peer::Speaks::bytes;
    MemoryChannel::Options pipe{};
    std::optional<CutChannel::Cut> cut{};
    std::optional<net::HandshakeInfo> tls{};  // the proxy's side has this
    enum class As { http, detected, tcp } as = As::http;
    proxy::Scope* listener = nullptr;  // the world's own when null
    bool sealed = false;               // `tls` at both ends, by a SealedTransport
  };
  Peer& connect(Access access);
  Peer& connect(Peer::Speaks speaks = Peer::Speaks::bytes) { return connect({.speaks = speaks}); }
  // Sends bytes on a client, settles, takes the answer.
  std::string talk(Peer& client, std::string_view bytes);

  void settle() { loop.settle(); }
  void advance(Duration by) { loop.advance(by); }

  // The sum of a family's samples that have all these label values.
  double metric(telemetry::Family family, const std::vector<std::string>& labels = {});
  std::size_t http_connections() { return http_.size(); }
  template <typename F>
  void for_each_http(F&& f) {
    for (proxy::HttpConnection& connection : http_) f(connection);
  }
  std::size_t sessions() { return sessions_.size(); }
  proxy::HttpConnection& http_connection() { return http_.front(); }
  std::vector<tcp::SessionReport> reports;
  std::vector<net::CloseReason> http_closed;
  void abort_sessions();

  // Ends all clients and endpoints, lets time pass, and expects that nothing is left: no requests,
  // permits, connections, bytes, blocks or timers.
  void expect_quiet();

  ManualLoop loop;
  telemetry::Metrics metrics;
  Peer::Context peers;
  std::deque<std::unique_ptr<Peer>> clients;
  std::unique_ptr<proxy::Scope> scope;  // after start()
  upstream::ClientContext client_context;

 private:
  struct Context final : proxy::WorkerContext {
    Context(ProxyWorld& w, telemetry::AccessLogLane& lane);
    proxy::Destination* find(std::string_view name) override;
    ProxyWorld& world;
  };
  std::unique_ptr<proxy::Destination> make_destination(const server::ServiceSnapshot& from);
  std::unique_ptr<net::Channel> dial(const net::SocketAddress& address, int& error);
  void accept(FakeEndpoint& endpoint, std::unique_ptr<net::Channel> channel);
  void admit(proxy::Scope& listener, Access::As as, std::unique_ptr<net::Channel> channel,
             std::unique_ptr<net::Transport> transport);
  void on_http_connection_done(proxy::HttpConnection& c, net::CloseReason reason) override;
  void on_session_done(tcp::Session& session, const tcp::SessionReport& report) override;
  void on_incoming_http(proxy::Scope& s, std::unique_ptr<net::Connection> connection) override;
  void on_incoming_tcp(proxy::Scope& s, std::unique_ptr<net::Connection> connection) override;
  void on_incoming_closed(proxy::Scope& s, net::Connection& c, net::CloseReason r) override;

  http::H2Memory h2_memory_;
  std::unique_ptr<telemetry::AccessLog> access_log_;
  std::unique_ptr<Context> context_;
  upstream::Balancers balancers_;
  upstream::EndpointStates states_{1};
  std::shared_ptr<const server::Snapshot> snapshot_;
  std::map<std::string, std::unique_ptr<proxy::Destination>, std::less<>> destinations_;
  std::map<std::string, FakeEndpoint> endpoints_;
  std::shared_ptr<telemetry::ConnectionSeries> downstream_;
  std::shared_ptr<telemetry::ConnectionSeries> inbound_;
  std::deque<std::unique_ptr<proxy::Scope>> inbound_scopes_;
  IntrusiveList<proxy::Incoming> incoming_;
  IntrusiveList<proxy::HttpConnection> http_;
  IntrusiveList<tcp::Session> sessions_;
  int services_ = 0;
};

}  // namespace outrigger::test
