#include "upstream/cluster.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace outrigger::upstream {
namespace {

net::SocketAddress address_of(const config::Address& address) {
  if (!address.is_unix) return net::SocketAddress::ip(address.host, address.port);
  auto local = net::SocketAddress::unix_path(address.host);
  return local ? *local : net::SocketAddress();
}

Duration since_epoch(TimePoint t) {
  return t.time_since_epoch();
}

// For apps whose configuration leaves it open; with mTLS the handshake tells.
bool finds_out_of(const config::Service& service, const Connector& connector) {
  const bool open = service.protocol == config::Protocol::auto_ ||
                    service.protocol == config::Protocol::http_or_tcp;
  return open && service.wire == config::Wire::auto_ && !connector.secure();
}

}  // namespace

Cluster::Cluster(ClientContext& context, std::shared_ptr<const config::Service> service,
                 std::unique_ptr<LoadBalancer> balancer, Connector connector,
                 std::shared_ptr<ServiceLimits> limits, const PoolCounters& counters,
                 std::uint32_t worker)
    : context_(context),
      service_(std::move(service)),
      connector_(std::move(connector)),
      limits_(std::move(limits)),
      breaker_(limits_->breaker),
      retry_budget_(service_->retry.budget, limits_->retry_floor),
      counters_(counters),
      worker_(worker),
      finds_out_(finds_out_of(*service_, connector_)),
      balancer_(std::move(balancer)) {}

Cluster::~Cluster() = default;

http::StreamEnd Cluster::attempt_ended(http::StreamEnd end, bool http2, bool reused) {
  using http::StreamEnd;
  // Otherwise the version was agreed on, and what arrived violates it.
  if (!finds_out_) return end == StreamEnd::wrong_version ? StreamEnd::protocol_error : end;
  if (http2) {
    // HTTP/1's answer to the preface: none of the requests on this connection has been read.
    if (end == StreamEnd::wrong_version || end == StreamEnd::protocol_error)
      spoken_.on(SpokenEvent::http2_broken);
    if (end == StreamEnd::connection_lost && !reused) spoken_.on(SpokenEvent::http2_lost);
    return end;
  }
  if (end == StreamEnd::wrong_version) spoken_.on(SpokenEvent::settings);
  if (end != StreamEnd::connection_lost || reused || !finding_out()) return end;
  spoken_.on(SpokenEvent::silence);
  // The app may have read the request, as with a request lost on a reused connection.
  return StreamEnd::stale;
}

void Cluster::update(std::shared_ptr<const EndpointSet> endpoints) {
  balancer_->update(endpoints->balanced(), since_epoch(context_.loop.now()));
  eligible_.reset(endpoints->size());
  hosts_.assign(endpoints->size(), nullptr);
  std::unordered_map<std::uint64_t, std::unique_ptr<Host>> kept;
  for (std::uint32_t i = 0; i < endpoints->size(); ++i) {
    const EndpointInfo& info = (*endpoints)[i];
    const auto known = by_identity_.find(info.identity);
    if (known == by_identity_.end()) continue;
    known->second->update(info.value);
    hosts_[i] = known->second.get();
    kept.insert(by_identity_.extract(known));
  }
  for (auto& [identity, host] : by_identity_) {
    host->cells.latency.set(0);  // nothing is expected of it any more
    host->drain();
    departed_.push_back(std::move(host));
  }
  by_identity_ = std::move(kept);
  endpoints_ = std::move(endpoints);
  drop_departed();
}

// Hosts are made when first chosen: most workers never call most endpoints of a large mesh.
Host* Cluster::host_of(std::uint32_t index) {
  if (hosts_[index] != nullptr) return hosts_[index];
  const EndpointInfo& info = (*endpoints_)[index];
  auto host = std::make_unique<Host>(info, address_of(info.value.address), worker_);
  hosts_[index] = host.get();
  by_identity_.emplace(info.identity, std::move(host));
  return hosts_[index];
}

Cluster::Chosen Cluster::choose(std::span<const std::uint64_t> tried,
                                std::optional<std::uint64_t> hash) {
  if (!endpoints_ || endpoints_->empty()) return {};
  // Attempts remember identities, since indexes change with the set.
  std::array<std::uint32_t, 8> tried_indexes{};
  std::size_t count = 0;
  for (const std::uint64_t identity : tried) {
    const auto index = endpoints_->find(identity);
    if (index && count < tried_indexes.size()) tried_indexes[count++] = *index;
  }
  const Duration now = since_epoch(context_.loop.now());
  PickContext context;
  context.now = now;
  context.eligible = eligible_.view();
  context.tried = std::span(tried_indexes.data(), count);
  context.hash = hash;
  const auto index = balancer_->pick(context);
  if (!index) return {};
  Chosen chosen;
  chosen.host = host_of(*index);
  chosen.identity = chosen.host->identity();
  chosen.ticket = balancer_->started(*index, now);
  chosen.host->active.add();
  chosen.host->cells.requests.add();
  chosen.host->state().load().add(worker_);
  return chosen;
}

void Cluster::finished(const Chosen& chosen, const Outcome& outcome) {
  check(chosen.host != nullptr, "finished() without a chosen endpoint");
  balancer_->finished(chosen.ticket, outcome, since_epoch(context_.loop.now()));
  chosen.host->active.sub();
  chosen.host->state().load().sub(worker_);
  if (outcome.is_failure()) chosen.host->cells.failures.add();
  if (!departed_.empty()) context_.loop.at_turn_end(*this);
}

void Cluster::drop_departed() {
  std::erase_if(departed_, [](const std::unique_ptr<Host>& host) { return host->idle(); });
}

Duration Cluster::expected_latency(std::size_t index) const {
  return balancer_->expected_latency(static_cast<std::uint32_t>(index),
                                     since_epoch(context_.loop.now()));
}

std::size_t Cluster::tell_latencies(std::size_t most) {
  most = std::min(most, hosts_.size());
  for (std::size_t left = most; left > 0; --left) {
    if (told_ >= hosts_.size()) told_ = 0;
    if (const Host* host = hosts_[told_]) host->cells.latency.set(expected_latency(told_).count());
    ++told_;
  }
  return most;
}

void Cluster::drain() {
  for (auto& [identity, host] : by_identity_) host->drain();
}

std::size_t Cluster::connections() const {
  std::size_t sum = 0;
  for (const auto& [identity, host] : by_identity_) sum += host->connections();
  return sum;
}

}  // namespace outrigger::upstream
