#include "support/proxy_world.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "http/h1_client_codec.h"
#include "http/h1_server_codec.h"
#include "http/h2_codec.h"

namespace outrigger::test {
namespace {

constexpr std::uint16_t endpoint_port = 80;

config::Endpoint endpoint_at(const std::string& address) {
  config::Endpoint endpoint;
  const std::size_t colon = address.rfind(':');
  endpoint.address.host = address.substr(0, colon);
  endpoint.address.port = static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1)));
  return endpoint;
}

void add_fields(http::Fields& to, const FieldList& fields) {
  for (const auto& [name, value] : fields) to.add(name, value);
}

}  // namespace

std::size_t ClearTransport::open(std::string_view& in, std::span<char> plain, net::Buffer&) {
  const std::size_t n = std::min(in.size(), plain.size());
  if (n > 0) std::memcpy(plain.data(), in.data(), n);
  in.remove_prefix(n);
  return n;
}

// --- SealedTransport -----------------------------------------------------------------------------

void SealedTransport::record(Type type, std::string_view bytes, net::Buffer& out) {
  const std::array<char, 3> head{type, static_cast<char>(bytes.size() >> 8),
                                 static_cast<char>(bytes.size())};
  out.append({head.data(), head.size()});
  out.append(bytes);
}

void SealedTransport::fail() {
  state_ = State::failed;
  failure_ = net::TlsFailure::protocol;
}

void SealedTransport::handshake(std::string_view& in, net::Buffer& out) {
  if (!std::exchange(said_hello_, true)) record(hello, "hello", out);
  raw_.append(std::exchange(in, {}));
  if (raw_.size() < 8) return;
  if (raw_.compare(3, 5, "hello") != 0) return fail();
  raw_.erase(0, 8);
  state_ = State::established;
}

std::size_t SealedTransport::open(std::string_view& in, std::span<char> plain, net::Buffer&) {
  raw_.append(std::exchange(in, {}));
  std::size_t filled = 0;
  while (raw_.size() >= 3 && state_ == State::established) {
    const std::size_t size = static_cast<std::size_t>(static_cast<unsigned char>(raw_[1])) << 8 |
                             static_cast<unsigned char>(raw_[2]);
    if (raw_.size() < 3 + size) break;
    if (raw_[0] == goodbye) {
      if (filled == plain.size()) break;
      state_ = State::ended;
    } else if (raw_[0] == data) {
      const std::size_t n = std::min(size - taken_, plain.size() - filled);
      raw_.copy(plain.data() + filled, n, 3 + taken_);
      filled += n;
      taken_ += n;
      if (taken_ < size) break;
      taken_ = 0;
    } else {
      fail();
    }
    raw_.erase(0, 3 + size);
  }
  return filled;
}

bool SealedTransport::seal(std::string_view plain, net::Buffer& out) {
  for (; !plain.empty(); plain.remove_prefix(std::min<std::size_t>(plain.size(), 16'000))) {
    record(data, plain.substr(0, 16'000), out);
  }
  return true;
}

void SealedTransport::close_notify(net::Buffer& out) {
  if (!std::exchange(said_goodbye_, true)) record(goodbye, {}, out);
}

void SealedTransport::channel_ended() {
  if (state_ == State::ended) return;
  state_ = State::failed;
  failure_ = net::TlsFailure::truncated;
}

// --- CutChannel ----------------------------------------------------------------------------------

net::IoResult CutChannel::broken() {
  inner_->close(cut_.reset);
  return {net::IoResult::Kind::failed, 0, ECONNRESET};
}

net::IoResult CutChannel::read(std::span<char> to) {
  if (cut_.read_max == 0) return broken();
  net::IoResult result = inner_->read(to.first(std::min(to.size(), cut_.read_max)));
  if (result.kind == net::IoResult::Kind::done) cut_.read_max -= result.bytes;
  if (result.kind == net::IoResult::Kind::done && cut_.read_max == 0) inner_->close(cut_.reset);
  return result;
}

net::IoResult CutChannel::write(std::span<const iovec> from, bool fin_follows) {
  std::size_t written = 0;
  for (const iovec& part : from) {
    const iovec allowed{part.iov_base, std::min(part.iov_len, cut_.write_max)};
    if (cut_.write_max == 0) break;
    const net::IoResult result = inner_->write({&allowed, 1}, fin_follows);
    if (result.kind != net::IoResult::Kind::done) {
      return written > 0 ? net::IoResult{net::IoResult::Kind::done, written} : result;
    }
    written += result.bytes;
    cut_.write_max -= result.bytes;
    if (result.bytes < part.iov_len) break;
  }
  if (cut_.write_max > 0) return {net::IoResult::Kind::done, written};
  return broken();
}

// --- Peer ----------------------------------------------------------------------------------------

Peer::Peer(Context& context, std::unique_ptr<net::Channel> channel, Speaks speaks,
           std::unique_ptr<net::Transport> transport)
    : context_(context),
      speaks_(speaks),
      connection_(std::make_unique<net::Connection>(
          context.loop, std::move(channel), std::move(transport), context.connection_limits)),
      wire_(*connection_) {}

Peer::~Peer() {
  if (!connection_->closed()) connection_->abort();
  if (codec_ && !closed) codec_->connection_lost(true);
}

void Peer::start() {
  connection_->start(*this);
}

void Peer::on_open() {
  BlockPool& blocks = context_.loop.blocks();
  net::BufferPool& buffers = context_.loop.buffers();
  http::ClientEvents& events = *this;
  switch (speaks_) {
    case Speaks::bytes:
      return;
    case Speaks::h1_server:
      codec_ = std::make_unique<http::H1ServerCodec>(wire_, server, context_.limits,
                                                     context_.counters, blocks, "http");
      break;
    case Speaks::h2_server:
      codec_ = std::make_unique<http::H2ServerCodec>(
          wire_, server, context_.limits, context_.counters, blocks, buffers, context_.memory);
      break;
    case Speaks::h1_client: {
      auto codec = std::make_unique<http::H1ClientCodec>(wire_, events, context_.limits,
                                                         context_.counters, blocks);
      client_ = codec.get();
      codec_ = std::move(codec);
      break;
    }
    case Speaks::h2_client: {
      auto codec = std::make_unique<http::H2ClientCodec>(
          wire_, events, context_.limits, context_.counters, blocks, buffers, context_.memory);
      client_ = codec.get();
      codec_ = std::move(codec);
      break;
    }
  }
  wire_.set_codec(codec_.get());
  connection_->flush_soon();
}

std::size_t Peer::on_bytes(std::string_view bytes) {
  if (!codec_) {
    bytes_received += bytes.size();
    if (on_raw) {
      on_raw(bytes);
    } else if (keep)
      received += bytes;
    return bytes.size();
  }
  return codec_->feed(
      bytes, static_cast<std::uint64_t>(context_.loop.now().time_since_epoch() / milliseconds(1)));
}

void Peer::on_end_of_input() {
  input_ended = true;
  if (codec_) codec_->input_ended();
  if (on_input_ended) on_input_ended();
}

void Peer::on_drained() {
  if (codec_) codec_->output_drained();
}

void Peer::on_closed(net::CloseReason reason) {
  closed = reason;
  if (codec_) codec_->connection_lost(true);
  wire_.set_codec(nullptr);
  if (on_gone) on_gone();
}

void Peer::send(std::string_view bytes) {
  connection_->output().append(bytes);
  connection_->flush();
}

void Peer::reset() {
  if (closed) return;
  connection_->abort(true);
  closed = net::CloseReason::aborted;
  if (codec_) codec_->connection_lost(true);
  wire_.set_codec(nullptr);
  if (on_gone) on_gone();
}

Peer::Sink& Peer::call(const Request& request) {
  calls.push_back(std::make_unique<Sink>());
  Sink& sink = *calls.back();
  if (client_ == nullptr || closed || client_->capacity() == 0) {
    sink.on_reset(http::StreamEnd::local);
    return sink;
  }
  http::Stream& stream = client_->open(sink);
  sink.stream = &stream;
  Arena arena(context_.loop.blocks());
  http::Head head(arena);
  head.method_text = request.method;
  head.method = http::parse_method(request.method);
  head.scheme = "http";
  head.authority = request.authority;
  head.path = request.path;
  head.protocol = request.protocol;
  head.te_trailers = true;
  add_fields(head.fields, request.fields);
  const bool bare = request.end && request.body.empty() && request.trailers.empty();
  if (!bare && request.end && request.has_length && request.trailers.empty()) {
    head.content_length = request.body.size();
  }
  if (request.length) head.content_length = request.length;
  stream.send_head(head, bare);
  if (bare) return sink;
  const bool last = request.end && request.trailers.empty();
  if (!request.body.empty() || last) stream.send_data(request.body, last);
  if (request.trailers.empty()) return sink;
  http::Fields trailers(arena);
  add_fields(trailers, request.trailers);
  stream.send_trailers(trailers);
  return sink;
}

void Peer::answer(Sink& request, int status, std::string_view body, const FieldList& fields,
                  const FieldList& trailers) {
  if (request.was_reset || closed) return;
  Arena arena(context_.loop.blocks());
  http::Head head(arena);
  head.status = status;
  add_fields(head.fields, fields);
  const bool bare = body.empty() && trailers.empty();
  if (!bare && trailers.empty()) head.content_length = body.size();
  http::Stream& stream = *request.stream;
  stream.send_head(head, bare);
  if (bare) return;
  stream.send_data(body, trailers.empty());
  if (trailers.empty()) return;
  http::Fields last(arena);
  add_fields(last, trailers);
  stream.send_trailers(last);
}

std::size_t FakeEndpoint::requests() const {
  std::size_t sum = 0;
  for (const auto& connection : connections) sum += connection->server.sinks.size();
  return sum;
}

// --- ProxyWorld ----------------------------------------------------------------------------------

ProxyWorld::Context::Context(ProxyWorld& w, telemetry::AccessLogLane& lane)
    : WorkerContext(w.loop, w.h2_memory_, w.metrics.worker(0).downstream_codec, w.metrics, lane, 0),
      world(w) {}

proxy::Destination* ProxyWorld::Context::find(std::string_view name) {
  const auto found = world.destinations_.find(name);
  return found == world.destinations_.end() ? nullptr : found->second.get();
}

ProxyWorld::ProxyWorld(std::uint64_t seed)
    : loop(seed),
      metrics({.workers = 1, .process = false}),
      peers{loop},
      client_context{loop, h2_memory_, metrics.worker(0).upstream_codec, {}},
      balancers_(upstream::Balancers::built_in()) {
  log.path = "none";
  config.node.service = "here";
  client_context.limits.raise_for_trusted();
  downstream_ = metrics.connection_series(telemetry::Side::downstream,
                                          telemetry::Direction::outbound, "listener");
}

ProxyWorld::~ProxyWorld() {
  for (auto& connection : http_) connection.close();
  for (auto& incoming : incoming_) incoming.close();
  abort_sessions();
  settle();
  destinations_.clear();
  settle();
  clients.clear();
  endpoints_.clear();
  settle();
}

config::Service& ProxyWorld::add_service(const std::string& name, int count) {
  config::Service& service = config.services[name];
  service.name = name;
  service.load_balancer.policy = config::LoadBalancer::Policy::round_robin;
  service.mtls = config::Mtls::disabled;
  for (int i = 1; i <= count; ++i) {
    service.endpoints.push_back(endpoint_at("10.0." + std::to_string(services_) + "." +
                                            std::to_string(i) + ":" +
                                            std::to_string(endpoint_port)));
  }
  ++services_;
  return service;
}

void ProxyWorld::start(const std::string& service) {
  auto opened = telemetry::AccessLog::open(log, 1, 1);
  ASSERT_TRUE(opened.ok());
  access_log_ = std::move(*opened);
  context_ = std::make_unique<Context>(*this, access_log_->lane(0));
  auto compiled = server::compile(std::make_shared<const config::Config>(config), {}, states_, 1);
  ASSERT_TRUE(compiled.ok()) << compiled.error().message;
  snapshot_ = *compiled;
  context_->routing = Pin<proxy::Routing>(snapshot_->routing, {});
  for (const auto& [name, from] : snapshot_->services) destinations_[name] = make_destination(from);
  scope = std::make_unique<proxy::Scope>(*context_);
  scope->name = "listener";
  scope->limits.raise_for_trusted();
  scope->connections = &downstream_->connections(0);
  scope->tls = &metrics.worker(0).downstream_tls;
  if (!service.empty()) scope->destination = context_->find(service);
}

std::unique_ptr<proxy::Destination> ProxyWorld::make_destination(
    const server::ServiceSnapshot& from) {
  auto destination = std::make_unique<proxy::Destination>();
  destination->service = from.service->name;
  destination->connections = metrics.connection_series(
      telemetry::Side::upstream, telemetry::Direction::outbound, from.service->name);
  upstream::Connector connector;
  connector.connect_timeout = from.service->connect_timeout;
  connector.keepalive = proxy::keepalive_times(from.service->http2_ping);
  connector.channel = [this](net::Loop&, const net::SocketAddress& address, int& error) {
    return dial(address, error);
  };
  const auto sealed = sealed_services.find(from.service->name);
  if (sealed != sealed_services.end()) {
    connector.transport = [alpn = sealed->second](upstream::Offer) {
      net::HandshakeInfo info;
      info.alpn = alpn;
      info.version = "TLSv1.3";
      info.peer_identity = "spiffe://mesh/callee";
      return std::make_unique<SealedTransport>(info);
    };
  } else if (upstream_alpn) {
    connector.transport = [this](upstream::Offer offer) {
      offers.push_back(offer);
      net::HandshakeInfo info;
      info.alpn = *upstream_alpn;
      info.version = "TLSv1.3";
      return std::make_unique<ClearTransport>(info);
    };
  }
  const upstream::PoolCounters counters{destination->connections->connections(0),
                                        metrics.worker(0).upstream_tls,
                                        destination->connections->pool(0)};
  auto balancer =
      balancers_.make(upstream::name_of(from.service->load_balancer.policy), {.seed = 1});
  if (wrap_balancer) balancer = wrap_balancer(from.service->name, std::move(balancer));
  destination->cluster =
      std::make_unique<upstream::Cluster>(client_context, from.service, std::move(balancer),
                                          std::move(connector), from.limits, counters, 0);
  destination->cluster->update(from.endpoints);
  return destination;
}

void ProxyWorld::set_endpoints(const std::string& service,
                               const std::vector<std::string>& addresses) {
  std::vector<config::Endpoint> list;
  for (const std::string& address : addresses) list.push_back(endpoint_at(address));
  snapshot_ = server::with_endpoints(*snapshot_, {{service, list}}, states_, 1);
  context_->routing = Pin<proxy::Routing>(snapshot_->routing, {});
  for (const auto& [name, from] : snapshot_->services) {
    upstream::Cluster& cluster = *destinations_[name]->cluster;
    if (cluster.endpoint_set() != from.endpoints) cluster.update(from.endpoints);
  }
}

FakeEndpoint& ProxyWorld::endpoint(const std::string& address) {
  FakeEndpoint& endpoint = endpoints_[address];
  endpoint.name = address;
  return endpoint;
}

upstream::Cluster& ProxyWorld::cluster(const std::string& service) {
  return *destinations_.at(service)->cluster;
}

std::unique_ptr<net::Channel> ProxyWorld::dial(const net::SocketAddress& address, int& error) {
  FakeEndpoint& to = endpoint(address.to_string());
  ++to.tries;
  if (to.accepts == FakeEndpoint::Accepts::refuses_at_once) {
    error = ECONNREFUSED;
    return nullptr;
  }
  auto [ours, theirs] = MemoryChannel::make(loop, to.pipe);
  switch (to.accepts) {
    case FakeEndpoint::Accepts::refuses:
      ours->connect_error = ECONNREFUSED;
      break;
    case FakeEndpoint::Accepts::never:
      ours->connect_error = EINPROGRESS;
      break;
    default:
      break;
  }
  if (to.accepts == FakeEndpoint::Accepts::yes) {
    std::unique_ptr<net::Channel> end = std::move(theirs);
    if (to.cut) end = std::make_unique<CutChannel>(std::move(end), *to.cut);
    if (to.sidecar == nullptr) {
      accept(to, std::move(end));
    } else {
      net::HandshakeInfo info;
      for (const auto& [service, alpn] : sealed_services) info.alpn = alpn;
      info.version = "TLSv1.3";
      info.peer_identity = "spiffe://mesh/caller";
      admit(*to.sidecar, Access::As::http, std::move(end), std::make_unique<SealedTransport>(info));
    }
  }
  return std::move(ours);
}

void ProxyWorld::accept(FakeEndpoint& at, std::unique_ptr<net::Channel> channel) {
  at.connections.push_back(std::make_unique<Peer>(peers, std::move(channel), at.speaks));
  Peer& peer = at.last();
  if (at.on_peer) {
    at.on_peer(peer);
    return peer.start();
  }
  peer.server.stream_hook = [&at, &peer](Peer::Sink& sink) {
    const auto whole = [&at, &peer, &sink] {
      if (at.on_request) return at.on_request(peer, sink);
      peer.answer(sink, 200, at.name);
    };
    sink.head_hook = [&at, &peer, &sink, whole](http::Head&, bool end) {
      if (at.on_head) at.on_head(peer, sink);
      if (end) whole();
    };
    sink.data_hook = [whole](std::string_view, bool end) {
      if (end) whole();
    };
    sink.trailers_hook = [whole](http::Fields&) { whole(); };
  };
  peer.start();
}

Peer& ProxyWorld::connect(Access access) {
  auto [theirs, ours] = MemoryChannel::make(loop, access.pipe);
  std::unique_ptr<net::Channel> end = std::move(theirs);
  if (access.cut) end = std::make_unique<CutChannel>(std::move(end), *access.cut);
  std::unique_ptr<net::Transport> transport;
  std::unique_ptr<net::Transport> clients_own;
  if (access.tls && access.sealed) {
    transport = std::make_unique<SealedTransport>(*access.tls);
    clients_own = std::make_unique<SealedTransport>(net::HandshakeInfo{});
  } else if (access.tls) {
    transport = std::make_unique<ClearTransport>(*access.tls);
  }
  clients.push_back(
      std::make_unique<Peer>(peers, std::move(end), access.speaks, std::move(clients_own)));
  Peer& client = *clients.back();
  admit(access.listener != nullptr ? *access.listener : *scope, access.as, std::move(ours),
        std::move(transport));
  client.start();
  settle();
  return client;
}

void ProxyWorld::admit(proxy::Scope& listener, Access::As as, std::unique_ptr<net::Channel> channel,
                       std::unique_ptr<net::Transport> transport) {
  auto connection = std::make_unique<net::Connection>(loop, std::move(channel),
                                                      std::move(transport), listener.connection);
  listener.connections->on_opened();
  switch (as) {
    case Access::As::http:
      return on_incoming_http(listener, std::move(connection));
    case Access::As::tcp:
      return on_incoming_tcp(listener, std::move(connection));
    case Access::As::detected: {
      proxy::IncomingOwner& owner = *this;
      auto incoming = std::make_unique<proxy::Incoming>(listener, std::move(connection), owner);
      incoming_.push_back(*incoming);
      incoming.release()->start();
    }
  }
}

proxy::Scope& ProxyWorld::add_inbound(const std::string& service) {
  if (inbound_ == nullptr) {
    inbound_ = metrics.connection_series(telemetry::Side::downstream, telemetry::Direction::inbound,
                                         "listener");
  }
  inbound_scopes_.push_back(std::make_unique<proxy::Scope>(*context_));
  proxy::Scope& made = *inbound_scopes_.back();
  made.name = service;
  made.direction = telemetry::Direction::inbound;
  made.limits.raise_for_trusted();
  made.connections = &inbound_->connections(0);
  made.tls = &metrics.worker(0).downstream_tls;
  made.destination = context_->find(service);
  made.destination->direction = telemetry::Direction::inbound;
  return made;
}

std::string ProxyWorld::talk(Peer& client, std::string_view bytes) {
  client.send(bytes);
  settle();
  return client.take();
}

void ProxyWorld::on_incoming_http(proxy::Scope& s, std::unique_ptr<net::Connection> connection) {
  proxy::HttpConnectionOwner& owner = *this;
  auto http = std::make_unique<proxy::HttpConnection>(s, std::move(connection), owner);
  http_.push_back(*http);
  http.release()->start();
}

void ProxyWorld::on_incoming_tcp(proxy::Scope& s, std::unique_ptr<net::Connection> connection) {
  tcp::SessionOwner& owner = *this;
  upstream::Cluster& to = *s.destination->cluster;
  auto session = std::make_unique<tcp::Session>(loop, to, std::move(connection),
                                                to.service().session_idle(), owner, &s);
  sessions_.push_back(*session);
  session.release()->start();
}

void ProxyWorld::on_incoming_closed(proxy::Scope& s, net::Connection&, net::CloseReason reason) {
  s.connections->on_closed(reason);
}

void ProxyWorld::on_http_connection_done(proxy::HttpConnection& c, net::CloseReason reason) {
  c.scope().connections->on_closed(reason);
  http_closed.push_back(reason);
}

void ProxyWorld::on_session_done(tcp::Session& session, const tcp::SessionReport& report) {
  static_cast<proxy::Scope*>(session.context())->connections->on_closed(report.downstream_closed);
  reports.push_back(report);
}

void ProxyWorld::abort_sessions() {
  while (!sessions_.empty()) {
    tcp::Session& session = sessions_.pop_front();
    session.abort();
    loop.retire(std::unique_ptr<net::Retirable>(&session));
  }
}

std::string ProxyWorld::log_text() {
  EXPECT_TRUE(access_log_->flush(seconds(10)));
  std::ifstream in(log.path);
  return {std::istreambuf_iterator<char>(in), {}};
}

double ProxyWorld::metric(telemetry::Family family, const std::vector<std::string>& labels) {
  telemetry::Scrape scrape;
  metrics.gather(scrape, loop.now());
  double sum = 0;
  for (const telemetry::Sample& sample : scrape.samples()) {
    const bool all = std::all_of(labels.begin(), labels.end(), [&sample](const std::string& label) {
      return std::find(sample.labels.begin(), sample.labels.end(), label) != sample.labels.end();
    });
    if (sample.family == family && all) sum += sample.value;
  }
  return sum;
}

void ProxyWorld::expect_quiet() {
  for (auto& client : clients) client->reset();
  settle();
  // Connections in clear text linger; timers run out; what waits for a connect gives up.
  advance(minutes(2));
  EXPECT_EQ(http_.size(), 0U);
  EXPECT_EQ(sessions_.size(), 0U);
  EXPECT_EQ(incoming_.size(), 0U);
  EXPECT_EQ(metric(telemetry::Family::requests_active), 0);
  EXPECT_EQ(metric(telemetry::Family::pool_pending), 0);
  for (auto& [name, destination] : destinations_) {
    upstream::Cluster& to = *destination->cluster;
    to.drain();
    advance(minutes(2));
    EXPECT_EQ(to.breaker().requests.used(), 0U) << name;
    EXPECT_EQ(to.breaker().pending.used(), 0U) << name;
    EXPECT_EQ(to.breaker().retries.used(), 0U) << name;
    EXPECT_EQ(to.breaker().connections.used(), 0U) << name;
    EXPECT_EQ(to.connections(), 0U) << name;
    for (std::size_t i = 0; i < to.endpoints().size(); ++i) {
      EXPECT_EQ(to.endpoints()[i].state->load().active(), 0U) << name << " " << i;
      if (const upstream::Host* host = to.host_at(i)) {
        EXPECT_EQ(host->active.value(), 0) << name << " " << i;
      }
    }
  }
  clients.clear();
  for (auto& [address, endpoint] : endpoints_) endpoint.connections.clear();
  settle();
  EXPECT_EQ(metric(telemetry::Family::connections_active), 0);
  EXPECT_EQ(h2_memory_.bytes_in_use(), 0U);
  EXPECT_EQ(loop.buffers().bytes_in_use(), 0U);
  EXPECT_EQ(loop.blocks().in_use(), 0U);
  EXPECT_EQ(loop.run_out_timers(), 0) << "timers that nobody is left to own";
}

}  // namespace outrigger::test
