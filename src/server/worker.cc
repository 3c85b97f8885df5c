#include "server/worker.h"

#include <limits>
#include <utility>

#include "base/heap.h"
#include "base/log.h"
#include "server/worker_thread.h"
#include "tls/permissive.h"

namespace outrigger::server {
namespace {

using telemetry::Direction;

constexpr Duration untrusted_idle = seconds(60);
// The output that may be queued for a client that does not read. The kernel holds megabytes on top,
// so clients that do read are not slowed; with one more frame it fits into a block of 128 KiB.
constexpr std::size_t untrusted_output = std::size_t{96} * 1024;
constexpr Duration lag_interval = seconds(1);
constexpr Duration tell_interval = seconds(10);

tls::AlpnList alpn_for(config::Protocol protocol) {
  switch (protocol) {
    case config::Protocol::tcp:
      return {"outrigger-tcp"};
    case config::Protocol::http_or_tcp:
      return {"h2", "http/1.1", "outrigger-tcp"};
    default:
      return {"h2", "http/1.1"};
  }
}

tls::AlpnList alpn_for(upstream::Offer offer) {
  switch (offer) {
    case upstream::Offer::http1:
      return {"http/1.1"};
    case upstream::Offer::http2:
      return {"h2"};
    case upstream::Offer::tcp:
      return {"outrigger-tcp"};
    case upstream::Offer::http:
      break;
  }
  return {"h2", "http/1.1"};
}

void count_bytes(const proxy::Scope& scope, net::Connection& connection) {
  const auto [read, written] = connection.take_moved();
  scope.connections->on_moved(read, written);
}

// The next of them, in turn. `visit` unlinks nothing.
template <typename T, typename Visit>
void visit_some(IntrusiveList<T>& list, Visit visit) {
  constexpr int most = 4096;
  const T* first = list.empty() ? nullptr : &list.front();
  for (int i = 0; first != nullptr && i < most; ++i) {
    T& next = list.pop_front();
    list.push_back(next);
    visit(next);
    if (&list.front() == first) return;
  }
}

}  // namespace

Worker::Context::Context(Worker& w)
    : WorkerContext(w.loop_, w.h2_memory_, w.shared_.metrics.worker(w.index_).downstream_codec,
                    w.shared_.metrics, w.shared_.access_log.lane(w.index_), w.index_),
      worker_(w) {}

proxy::Destination* Worker::Context::find(std::string_view name) {
  const auto found = worker_.destinations_.find(name);
  return found == worker_.destinations_.end() ? nullptr : found->second.get();
}

Worker::Worker(int index, Shared& shared)
    : index_(index),
      shared_(shared),
      identity_(shared.identity != nullptr
                    ? std::make_unique<tls::CertStoreReader>(*shared.identity)
                    : nullptr),
      client_context_{loop_, h2_memory_, shared.metrics.worker(index).upstream_codec, {}},
      context_(*this),
      lag_timer_(net::Timer::to<&Worker::measure>(*this)),
      memory_release_(loop_, [this] { release_memory(); }) {
  client_context_.limits.raise_for_trusted();
}

Worker::~Worker() {
  // The doors themselves stay: they are used until the last of their connections is gone.
  stop_listening(true);
  // What is still open ends now; its objects retire themselves while the loop still exists.
  for (auto& incoming : incoming_) incoming.close();
  for (auto& connection : http_) connection.close();
  while (!sessions_.empty()) {
    tcp::Session& session = sessions_.pop_front();
    session.abort();
    loop_.retire(std::unique_ptr<net::Retirable>(&session));
  }
  loop_.finish();
  destinations_.clear();
  apps_.clear();
  loop_.finish();
  // Last: each connection points to the scope of its door until it has ended.
  doors_.clear();
}

void Worker::build(const std::shared_ptr<const Snapshot>& snapshot,
                   std::vector<ListenSocket> sockets) {
  // Clusters first: listeners point to them.
  for (const ServiceSnapshot& app : snapshot->apps)
    apps_.push_back(make_destination(Direction::inbound, app, snapshot->config->runtime));
  adopt(snapshot);
  for (ListenSocket& socket : sockets) add_door(*snapshot, std::move(socket));
  loop_.timers().arm(lag_timer_, lag_interval);
}

void Worker::adopt(const std::shared_ptr<const Snapshot>& snapshot) {
  context_.routing = Pin<proxy::Routing>(snapshot->routing, {});
  for (const auto& [name, service] : snapshot->services) {
    auto& destination = destinations_[name];
    if (!destination) {
      destination = make_destination(Direction::outbound, service, snapshot->config->runtime);
    } else if (destination->cluster->endpoint_set() != service.endpoints) {
      destination->cluster->update(service.endpoints);
    }
  }
  for (std::size_t i = 0; i < apps_.size(); ++i) {
    if (apps_[i]->cluster->endpoint_set() != snapshot->apps[i].endpoints)
      apps_[i]->cluster->update(snapshot->apps[i].endpoints);
  }
}

std::unique_ptr<proxy::Destination> Worker::make_destination(Direction direction,
                                                             const ServiceSnapshot& from,
                                                             const config::Runtime& runtime) {
  auto destination = std::make_unique<proxy::Destination>();
  destination->service = from.service->name;
  destination->direction = direction;
  destination->connections =
      shared_.metrics.connection_series(telemetry::Side::upstream, direction, from.service->name);
  const upstream::PoolCounters counters{destination->connections->connections(index_),
                                        shared_.metrics.worker(index_).upstream_tls,
                                        destination->connections->pool(index_)};
  BalancerOptions options;
  options.seed = loop_.random().next();
  options.hash = from.service->load_balancer.hash;
  destination->cluster = std::make_unique<upstream::Cluster>(
      client_context_, from.service,
      shared_.balancers.make(upstream::name_of(from.service->load_balancer.policy), options),
      connector_for(*from.service, runtime), from.limits, counters,
      static_cast<std::uint32_t>(index_));
  destination->cluster->update(from.endpoints);
  return destination;
}

upstream::Connector Worker::connector_for(const config::Service& service,
                                          const config::Runtime& runtime) {
  upstream::Connector connector;
  connector.connect_timeout = service.connect_timeout;
  connector.limits.peer_silence = runtime.tcp_user_timeout;
  connector.keepalive = proxy::keepalive_times(service.http2_ping);
  if (service.mtls == config::Mtls::disabled) return connector;
  const std::string base = service.name.substr(0, service.name.find('/'));
  auto expected = std::make_shared<const tls::IdMatcher>(
      service.expect_ids.empty() ? tls::IdMatcher::for_service(base)
                                 : *tls::IdMatcher::any_of(service.expect_ids));
  connector.transport = [this, name = base + ".mesh", expected](upstream::Offer offer) {
    tls::ClientOptions options;
    options.server_name = name;
    options.alpn = alpn_for(offer);
    options.expected = expected;
    return identity_->get().client(options);
  };
  return connector;
}

void Worker::add_door(const Snapshot& snapshot, ListenSocket socket) {
  auto door = std::make_unique<Door>(*this, doors_.size());
  proxy::Scope& s = door->scope;
  s.connection.peer_silence = snapshot.config->runtime.tcp_user_timeout;
  s.connection.write_stall = snapshot.config->runtime.write_timeout;
  if (socket.inbound) {
    set_inbound(*door, snapshot, socket.index);
  } else {
    set_outbound(*door, snapshot, socket.index);
  }
  door->series =
      shared_.metrics.connection_series(telemetry::Side::downstream, s.direction, s.name);
  s.connections = &door->series->connections(index_);
  s.tls = &shared_.metrics.worker(index_).downstream_tls;
  door->tls.cells = s.tls;
  if (socket.fd.valid())
    door->listener = std::make_unique<net::Listener>(loop_, std::move(socket.fd), *door);
  doors_.push_back(std::move(door));
}

void Worker::set_inbound(Door& door, const Snapshot& snapshot, std::size_t index) {
  const config::Inbound& inbound = snapshot.config->inbound[index];
  proxy::Scope& scope = door.scope;
  scope.direction = Direction::inbound;
  scope.name = inbound.name;
  scope.protocol = inbound.protocol;
  scope.paths = inbound.paths;
  scope.destination = apps_[index].get();
  scope.body_max = inbound.limits.body;
  scope.upgrades = http::Upgrades(inbound.upgrades);
  scope.keepalive = proxy::keepalive_times(inbound.http2_ping);
  scope.body_rate = inbound.limits.body_rate.value_or(config::InboundLimits::body_rate_default);
  for (const std::string& text : inbound.trusted_proxies) {
    if (auto cidr = proxy::Cidr::parse(text)) scope.trusted_proxies.push_back(*cidr);
  }
  door.secure = inbound.mtls != config::Mtls::disabled;
  door.permissive = inbound.mtls == config::Mtls::permissive;
  door.tls.alpn = alpn_for(inbound.protocol);
  // Without strict mTLS anybody may be at the other end.
  if (inbound.mtls == config::Mtls::strict) {
    scope.limits.raise_for_trusted();
    scope.copies_max = proxy::HeldBodies::trusted_copies_max;
  } else {
    scope.idle_timeout = untrusted_idle;
    scope.connection.output_high = untrusted_output;
    scope.connection.output_low = untrusted_output / 4;
    if (door.permissive) scope.connection.silence = untrusted_idle;
  }
}

void Worker::set_outbound(Door& door, const Snapshot& snapshot, std::size_t index) {
  const config::Outbound& outbound = snapshot.config->outbound[index];
  proxy::Scope& scope = door.scope;
  scope.direction = Direction::outbound;
  scope.name = outbound.name;
  scope.paths = outbound.paths;
  scope.upgrades = http::Upgrades(outbound.upgrades);
  scope.keepalive = proxy::keepalive_times(outbound.http2_ping);
  if (!outbound.route_by_host) {
    scope.destination = context_.find(outbound.service);
    scope.protocol = scope.destination->cluster->service().protocol;
  }
  scope.limits.raise_for_trusted();
  scope.copies_max = proxy::HeldBodies::trusted_copies_max;
}

void Worker::Door::on_accept(net::Fd fd, const net::SocketAddress& peer) {
  Shared& shared = worker.shared_;
  if (shared.open_connections() >= shared.connections_max) {
    series->connections(worker.index_).refused.add();
    return worker.tell_refusal(scope, peer);  // closed: waiting would help nobody
  }
  WorkerThread* other = shared.less_loaded_than(worker.index_);
  if (other != nullptr && other->take(index, fd, peer)) return;
  shared.threads[static_cast<std::size_t>(worker.index_)]->count_connection(1);
  worker.take(index, std::move(fd), peer);
}

void Worker::tell_refusal(const proxy::Scope& scope, const net::SocketAddress& peer) {
  if (loop_.now() < tell_refusal_at_) {
    ++refusals_untold_;
    return;
  }
  tell_refusal_at_ = loop_.now() + tell_interval;
  log::Pairs fields = {{"listener", scope.name},
                       {"peer", peer.to_string()},
                       {"limit", std::to_string(shared_.connections_max)}};
  if (refusals_untold_ > 0)
    fields.emplace_back("others", std::to_string(std::exchange(refusals_untold_, 0)));
  log::warn("server", "refused a connection: as many are open as runtime.connections allows",
            fields);
}

void Worker::take(std::size_t index, net::Fd fd, const net::SocketAddress& peer) {
  if (index >= doors_.size())
    return shared_.threads[static_cast<std::size_t>(index_)]->count_connection(-1);
  Door& door = *doors_[index];
  proxy::Scope& scope = door.scope;
  scope.connections->on_opened();
  auto connection = std::make_unique<net::Connection>(
      loop_, std::make_unique<net::SocketChannel>(loop_, std::move(fd), peer),
      server_transport(door), scope.connection);
  switch (scope.protocol) {
    case config::Protocol::tcp:
      return on_incoming_tcp(scope, std::move(connection));
    case config::Protocol::http_or_tcp: {
      auto incoming =
          std::make_unique<proxy::Incoming>(scope, std::move(connection), incoming_owner());
      incoming_.push_back(*incoming);
      if (ending(scope)) incoming->drain();
      return incoming.release()->start();
    }
    default:
      return on_incoming_http(scope, std::move(connection));
  }
}

std::unique_ptr<net::Transport> Worker::server_transport(const Door& door) {
  if (!door.secure) return nullptr;
  auto transport = identity_->get().server(door.tls);
  if (door.permissive) return std::make_unique<tls::PermissiveTransport>(std::move(transport));
  return transport;
}

void Worker::on_incoming_http(proxy::Scope& scope, std::unique_ptr<net::Connection> connection) {
  auto http = std::make_unique<proxy::HttpConnection>(scope, std::move(connection), http_owner());
  http_.push_back(*http);
  drain(*http);
  http.release()->start();  // may end it
}

void Worker::on_incoming_tcp(proxy::Scope& scope, std::unique_ptr<net::Connection> connection) {
  if (scope.destination == nullptr) {
    gone(scope, *connection, net::CloseReason::aborted);
    connection->abort(true);
    return loop_.retire(std::move(connection));
  }
  auto session = std::make_unique<tcp::Session>(
      loop_, *scope.destination->cluster, std::move(connection),
      scope.destination->cluster->service().session_idle(), session_owner(), &scope);
  sessions_.push_back(*session);
  session.release()->start();
}

void Worker::on_incoming_closed(proxy::Scope& scope, net::Connection& connection,
                                net::CloseReason reason) {
  gone(scope, connection, reason);
}

void Worker::on_http_connection_done(proxy::HttpConnection& connection, net::CloseReason reason) {
  gone(connection.scope(), connection.connection(), reason);
}

void Worker::on_session_done(tcp::Session& session, const tcp::SessionReport& report) {
  auto& scope = *static_cast<proxy::Scope*>(session.context());
  gone(scope, session.downstream(), report.downstream_closed);
  if (!context_.access_log.enabled()) return;
  telemetry::AccessRecord record;
  record.time = loop_.wall_now() - std::chrono::duration_cast<microseconds>(report.duration);
  record.direction = scope.direction;
  record.service = scope.destination->service;
  record.endpoint = report.endpoint;
  record.flag = report.flag;
  record.bytes_in = report.bytes_in;
  record.bytes_out = report.bytes_out;
  record.duration = report.duration;
  record.attempts = report.attempts;
  record.protocol_in = "tcp";
  record.protocol_out = "tcp";
  if (session.downstream().secure()) {
    const net::HandshakeInfo& info = session.downstream().transport()->info();
    record.peer = info.peer_identity;
    record.tls_version = info.version;
  }
  context_.access_log.write(record);
}

// The accounting of a downstream connection, whatever its protocol.
void Worker::gone(proxy::Scope& scope, net::Connection& connection, net::CloseReason reason) {
  count_bytes(scope, connection);
  scope.connections->on_closed(reason);
  shared_.threads[static_cast<std::size_t>(index_)]->count_connection(-1);
  memory_release_.freed(1);
  if (log::enabled("server", log::Level::debug)) {
    log::debug("server", "a connection was closed",
               {{"listener", scope.name},
                {"peer", connection.peer_address()},
                {"why", net::to_string(reason)},
                {"received", std::to_string(connection.bytes_read())},
                {"sent", std::to_string(connection.bytes_written())}});
  }
  const net::Transport* transport = connection.transport();
  if (transport == nullptr) return;
  if (reason == net::CloseReason::handshake_timeout) {
    scope.tls->on_ended(TlsCells::timeout, "");
  } else if (reason == net::CloseReason::handshake_failed) {
    scope.tls->on_ended(transport->failure(), "");
    tell_handshake_failure(scope, connection);
  }
}

// For humans, and not for every handshake of a peer that keeps trying; the counters have all.
void Worker::tell_handshake_failure(const proxy::Scope& scope, const net::Connection& connection) {
  const bool now = loop_.now() >= tell_handshake_at_;
  const auto level = now ? log::Level::warn : log::Level::debug;
  if (!now) ++handshakes_untold_;
  if (!log::enabled("tls", level)) return;
  log::Pairs fields = {{"listener", scope.name},
                       {"peer", connection.peer_address()},
                       {"why", connection.transport()->failure_text()}};
  if (now) {
    tell_handshake_at_ = loop_.now() + tell_interval;
    if (handshakes_untold_ > 0)
      fields.emplace_back("others", std::to_string(std::exchange(handshakes_untold_, 0)));
  }
  log::write("tls", level, "a TLS handshake failed", fields);
}

void Worker::advance(Stage stage) {
  if (stage <= stage_) return;
  stage_ = stage;
  if (stage >= Stage::inbound_closed) stop_listening(stage == Stage::closed);
  for (proxy::Incoming& incoming : incoming_) {
    if (ending(incoming.scope())) incoming.drain();
  }
  for (auto at = http_.begin(); at != http_.end();) {
    proxy::HttpConnection& connection = *at;
    ++at;
    drain(connection);
  }
}

bool Worker::ending(const proxy::Scope& scope) const {
  return stage_ >= (scope.direction == Direction::inbound ? Stage::draining : Stage::last_calls);
}

// Callers of the app go elsewhere once they are asked to. The app has nowhere else to go: its
// connections end one by one as it opens new ones, and idle ones stay open, since they show that it
// is still there.
void Worker::drain(proxy::HttpConnection& connection) const {
  if (stage_ == Stage::serving) return;
  if (ending(connection.scope())) {
    connection.drain();
  } else {
    connection.drain_after_next();
  }
}

// Accepts those that have connected already, then refuses: a refused connection is safe to retry
// elsewhere.
void Worker::stop_listening(bool outbound_too) {
  for (auto& door : doors_) {
    if (!outbound_too && door->scope.direction == Direction::outbound) continue;
    if (door->listener) door->listener->accept_all();
    door->listener.reset();
  }
}

void Worker::measure() {
  auto& metrics = shared_.metrics.worker(index_);
  metrics.loop_lag.record(static_cast<std::uint64_t>(loop_.take_longest_turn() / microseconds(1)));
  metrics.buffer_bytes.set(static_cast<std::int64_t>(loop_.buffers().bytes_in_use()));
  memory_release_.freed(loop_.take_rested());
  count_open_bytes();
  tell_some_latencies();
  loop_.timers().arm(lag_timer_, lag_interval);
}

// A part of them, when there are many: no turn takes long because of it.
void Worker::count_open_bytes() {
  visit_some(http_,
             [](proxy::HttpConnection& open) { count_bytes(open.scope(), open.connection()); });
  visit_some(sessions_, [](tcp::Session& open) {
    count_bytes(*static_cast<proxy::Scope*>(open.context()), open.downstream());
    open.count_upstream();
  });
}

void Worker::release_memory() {
  loop_.trim_pools();
  h2_memory_.trim();
  proxy::Exchange::trim();
  release_top_of_heap();
  // The rest is not done by this thread, which has requests to serve.
  shared_.release_heap();
}

void Worker::tell_latencies() {
  constexpr std::size_t all = std::numeric_limits<std::size_t>::max();
  for (const auto& [name, destination] : destinations_) destination->cluster->tell_latencies(all);
  for (const auto& app : apps_) app->cluster->tell_latencies(all);
}

// Services take turns if they have too many endpoints together.
void Worker::tell_some_latencies() {
  constexpr std::size_t of_each_service = 256;
  constexpr std::size_t of_all = 4096;
  for (const auto& app : apps_) app->cluster->tell_latencies(of_each_service);
  std::size_t told = 0;
  for (const bool from_next : {true, false}) {
    std::size_t index = 0;
    for (const auto& [name, destination] : destinations_) {
      const bool its_turn = (index >= next_told_) == from_next;
      if (its_turn && told >= of_all) {
        next_told_ = index;
        return;
      }
      if (its_turn) told += destination->cluster->tell_latencies(of_each_service);
      ++index;
    }
  }
  next_told_ = 0;
}

}  // namespace outrigger::server
