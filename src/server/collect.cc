#include "server/collect.h"

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <tuple>

#include "base/log.h"
#include "server/worker_thread.h"

namespace outrigger::server {
namespace {

using telemetry::Family;

using Place = std::tuple<std::string_view, std::string_view, std::string_view>;

std::string show(const Place& place) {
  if (place == Place{}) return {};
  const auto& [cloud, region, zone] = place;
  std::string out(cloud);
  return out.append("/").append(region).append("/").append(zone);
}

// Counted here: a sample for each endpoint would be a thousand of which few are left.
void collect_service(telemetry::Scrape& scrape, const std::string& name,
                     const ServiceSnapshot& service) {
  std::map<Place, std::size_t> counts;
  for (const upstream::EndpointInfo& endpoint : *service.endpoints) {
    const config::Locality& at = endpoint.value.locality;
    ++counts[Place{at.cloud, at.region, at.zone}];
  }
  for (const auto& [place, count] : counts)
    scrape.gauge(Family::endpoints, {name, show(place)}, static_cast<double>(count));
  for (const admin::BreakerInfo& breaker : breakers_of(service)) {
    scrape.gauge(Family::breaker_used, {name, breaker.resource}, static_cast<double>(breaker.used));
    scrape.gauge(Family::breaker_limit, {name, breaker.resource},
                 static_cast<double>(breaker.limit));
    scrape.gauge(Family::breaker_open, {name, breaker.resource}, breaker.open ? 1 : 0);
  }
}

// Their number is the mesh's, not this configuration's: the first to be left out beyond
// max_series.
void collect_endpoints(telemetry::Scrape& scrape, const std::string& name,
                       const ServiceSnapshot& service) {
  for (const upstream::EndpointInfo& endpoint : *service.endpoints) {
    const std::string at = endpoint.value.address.to_string();
    const upstream::EndpointState::Totals totals = endpoint.state->totals();
    scrape.counter(Family::endpoint_requests, {name, at}, static_cast<double>(totals.requests));
    scrape.counter(Family::endpoint_failures, {name, at}, static_cast<double>(totals.failures));
    scrape.gauge(Family::endpoint_active, {name, at}, static_cast<double>(totals.active));
    scrape.gauge(Family::endpoint_latency, {name, at},
                 std::chrono::duration<double>(totals.latency).count());
  }
}

// During a change of the CA there are several of one name: what matters is which ends first.
void collect_certificates(telemetry::Scrape& scrape, AdminFacts& facts, WallTime now) {
  std::map<std::string, double> soonest;
  for (const admin::CertificateInfo& certificate : facts.certificates()) {
    const double left = std::chrono::duration<double>(certificate.not_after - now).count();
    const auto [at, fresh] = soonest.try_emplace(certificate.name, left);
    if (!fresh) at->second = std::min(at->second, left);
  }
  for (const auto& [name, left] : soonest) scrape.gauge(Family::certificate_expires, {name}, left);
}

}  // namespace

void collect_facts(telemetry::Scrape& scrape, AdminFacts& facts, Shared& shared, WallTime now) {
  const std::shared_ptr<const Snapshot> snapshot = facts.snapshot();
  const bool each_endpoint = snapshot->config->telemetry.prometheus.per_endpoint;
  const auto collect = [&](const std::string& name, const ServiceSnapshot& service) {
    collect_service(scrape, name, service);
    if (each_endpoint) collect_endpoints(scrape, name, service);
  };
  for (const auto& [name, service] : snapshot->services) collect(name, service);
  for (std::size_t i = 0; i < snapshot->apps.size(); ++i) collect(app_key(i), snapshot->apps[i]);
  collect_certificates(scrape, facts, now);
  scrape.gauge(Family::config_info, {facts.server_info().config_version}, 1);
  scrape.gauge(Family::ready, {}, facts.readiness().ready ? 1 : 0);
  for (std::size_t i = 0; i < shared.threads.size(); ++i) {
    scrape.gauge(Family::worker_connections, {std::to_string(i)},
                 shared.threads[i]->open_connections());
  }
  scrape.counter(Family::log_dropped, {}, static_cast<double>(log::dropped()));
  shared.access_log.collect(scrape);
}

}  // namespace outrigger::server
