#include "server/admin_facts.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "server/worker_thread.h"
#include "upstream/balancers.h"

namespace outrigger::server {
namespace {

std::string_view protocol_name(config::Protocol protocol) {
  switch (protocol) {
    case config::Protocol::auto_:
      return "auto";
    case config::Protocol::http:
      return "http";
    case config::Protocol::grpc:
      return "grpc";
    case config::Protocol::tcp:
      return "tcp";
    case config::Protocol::http_or_tcp:
      return "http, tcp";
  }
  return "";
}

std::string_view mtls_name(config::Mtls mtls) {
  switch (mtls) {
    case config::Mtls::strict:
      return "strict";
    case config::Mtls::permissive:
      return "permissive";
    case config::Mtls::disabled:
      return "disabled";
  }
  return "";
}

admin::BreakerInfo breaker_info(std::string_view resource, const policy::SharedLimit& limit) {
  admin::BreakerInfo info;
  info.resource = resource;
  info.used = limit.taken();
  info.limit = limit.limit();
  info.open = limit.taken() >= limit.limit();
  return info;
}

admin::ClusterInfo describe_cluster(const std::string& name, const ServiceSnapshot& service) {
  admin::ClusterInfo cluster;
  cluster.name = name;
  cluster.protocol = protocol_name(service.service->protocol);
  cluster.policy = upstream::name_of(service.service->load_balancer.policy);
  cluster.mtls = mtls_name(service.service->mtls);
  cluster.breakers = breakers_of(service);
  for (const upstream::EndpointInfo& known : *service.endpoints) {
    admin::EndpointInfo endpoint;
    endpoint.address = known.value.address.to_string();
    endpoint.id = known.value.id;
    endpoint.locality = known.value.locality;
    endpoint.labels = known.value.labels;
    endpoint.weight = known.value.weight;
    const upstream::EndpointState::Totals totals = known.state->totals();
    endpoint.requests = totals.requests;
    endpoint.failures = totals.failures;
    endpoint.active = totals.active;
    endpoint.connections = totals.connections;
    endpoint.latency = totals.latency;
    cluster.endpoints.push_back(std::move(endpoint));
  }
  return cluster;
}

}  // namespace

std::vector<admin::BreakerInfo> breakers_of(const ServiceSnapshot& service) {
  const policy::SharedBreaker& breaker = service.limits->breaker;
  return {breaker_info("connections", breaker.connections),
          breaker_info("pending", breaker.pending), breaker_info("requests", breaker.requests),
          breaker_info("retries", breaker.retries)};
}

AdminFacts::AdminFacts(Shared& shared, Life& life, Actions actions, WallTime started,
                       std::string version)
    : shared_(shared),
      life_(life),
      actions_(std::move(actions)),
      started_(started),
      version_(std::move(version)) {}

void AdminFacts::set_snapshot(std::shared_ptr<const Snapshot> snapshot) {
  const std::lock_guard lock(mutex_);
  snapshot_ = std::move(snapshot);
}

std::shared_ptr<const Snapshot> AdminFacts::snapshot() {
  const std::lock_guard lock(mutex_);
  return snapshot_;
}

admin::ServerInfo AdminFacts::server_info() {
  const auto config = snapshot()->config;
  admin::ServerInfo info;
  info.version = version_;
  info.service = config->node.service;
  info.node_id = config->node.id;
  info.locality = config->node.locality;
  info.labels = config->node.labels;
  info.config_version = config->hash;
  info.workers = shared_.workers;
  info.pid = static_cast<int>(getpid());
  info.started = started_;
  return info;
}

admin::Readiness AdminFacts::readiness() {
  admin::Readiness readiness;
  const Phase phase = life_.phase;
  readiness.started = phase == Phase::live || phase == Phase::draining;
  const bool drained = life_.listeners_drained;
  readiness.ready = phase == Phase::live && !drained && !life_.health_failed;
  switch (phase) {
    case Phase::starting:
      readiness.state = "PRE_INITIALIZING";
      break;
    case Phase::waiting:
      readiness.state = "INITIALIZING";
      readiness.reason = "waiting for names or registries";
      break;
    case Phase::live:
      readiness.state = drained ? "DRAINING" : "LIVE";
      if (drained) readiness.reason = "the listeners are closed (POST /drain_listeners)";
      break;
    case Phase::draining:
      readiness.state = "DRAINING";
      readiness.reason = "the process is shutting down";
      break;
  }
  if (life_.health_failed) readiness.reason = "set by an operator (POST /healthcheck/fail)";
  return readiness;
}

std::vector<admin::ClusterInfo> AdminFacts::clusters() {
  const auto current = snapshot();
  std::map<std::string, const ServiceSnapshot*> services;
  for (const auto& [name, service] : current->services) services[name] = &service;
  for (std::size_t i = 0; i < current->apps.size(); ++i) services[app_key(i)] = &current->apps[i];
  // For those who look again: of a large service, workers tell their latencies only by and by.
  for (const auto& thread : shared_.threads)
    thread->post([](Worker& worker) { worker.tell_latencies(); });
  std::vector<admin::ClusterInfo> clusters;
  for (const auto& [name, service] : services) clusters.push_back(describe_cluster(name, *service));
  return clusters;
}

// A port is closed when the last worker has closed its socket.
std::string_view AdminFacts::listener_state(telemetry::Direction direction) const {
  const Phase phase = life_.phase;
  if (phase == Phase::starting || phase == Phase::waiting)
    return life_.listeners_drained ? "closed" : "waiting";
  const Stage closed =
      direction == telemetry::Direction::inbound ? Stage::inbound_closed : Stage::closed;
  const bool all = std::ranges::all_of(
      shared_.threads, [closed](const auto& thread) { return thread->stage() >= closed; });
  return all ? "closed" : "listening";
}

std::vector<admin::ListenerInfo> AdminFacts::listeners() {
  const auto current = snapshot();
  const config::Config& config = *current->config;
  std::vector<admin::ListenerInfo> listeners;
  const auto add = [this, &listeners](const std::string& name, const config::Address& address,
                                      telemetry::Direction direction) -> admin::ListenerInfo& {
    admin::ListenerInfo info;
    info.name = name;
    info.address = address.to_string();
    info.direction = telemetry::to_string(direction);
    info.state = listener_state(direction);
    const auto series =
        shared_.metrics.connection_series(telemetry::Side::downstream, direction, name);
    for (int i = 0; i < shared_.workers; ++i)
      info.connections += series->connections(i).active.value();
    listeners.push_back(std::move(info));
    return listeners.back();
  };
  for (const config::Inbound& inbound : config.inbound) {
    admin::ListenerInfo& info = add(inbound.name, inbound.listen, telemetry::Direction::inbound);
    info.protocol = protocol_name(inbound.protocol);
    info.mtls = mtls_name(inbound.mtls);
    info.target = inbound.app.to_string();
  }
  for (const config::Outbound& outbound : config.outbound) {
    admin::ListenerInfo& info = add(outbound.name, outbound.listen, telemetry::Direction::outbound);
    info.protocol = "http";
    const auto service = config.services.find(outbound.service);
    if (service != config.services.end()) info.protocol = protocol_name(service->second.protocol);
    info.target = outbound.route_by_host ? "by host" : outbound.service;
  }
  const auto add_own = [&listeners](const char* name, const config::Address& address) {
    admin::ListenerInfo own;
    own.name = own.direction = name;
    own.protocol = "http";
    own.state = "listening";
    own.address = address.to_string();
    listeners.push_back(std::move(own));
  };
  add_own("admin", config.admin.listen);
  if (config.admin.probes) add_own("probes", *config.admin.probes);
  if (config.telemetry.prometheus.listen) add_own("metrics", *config.telemetry.prometheus.listen);
  return listeners;
}

std::vector<admin::CertificateInfo> AdminFacts::certificates() {
  std::vector<admin::CertificateInfo> out;
  if (shared_.identity == nullptr) return out;
  for (const tls::CertificateInfo& known : shared_.identity->certificates()) {
    admin::CertificateInfo info;
    info.name = known.name;
    info.path = known.path;
    info.is_ca = known.name == "ca";
    info.subject = known.subject;
    info.issuer = known.issuer;
    info.serial = known.serial;
    if (!known.spiffe_id.empty()) info.uris.push_back(known.spiffe_id);
    info.dns_names = known.dns_names;
    info.not_before = known.not_before;
    info.not_after = known.not_after;
    out.push_back(std::move(info));
  }
  return out;
}

admin::MemoryInfo AdminFacts::memory() {
  admin::MemoryInfo memory;
  std::ifstream statm("/proc/self/statm");
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  if (statm >> size >> resident)
    memory.resident = resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const struct mallinfo2 heap = mallinfo2();
  memory.heap = heap.arena + heap.hblkhd;
  memory.allocated = heap.uordblks + heap.hblkhd;
  for (int i = 0; i < shared_.workers; ++i) {
    memory.buffers += static_cast<std::uint64_t>(shared_.metrics.worker(i).buffer_bytes.value());
  }
  return memory;
}

// Not ready first: who sees a port closed must not be told that it is open.
void AdminFacts::drain_listeners() {
  life_.listeners_drained = true;
  actions_.drain_listeners();
}

std::string AdminFacts::config_json() {
  return snapshot()->config->json;
}

}  // namespace outrigger::server
