#include "server/collect.h"

#include <string>

#include "server/worker_thread.h"

namespace outrigger::server {
namespace {

using telemetry::Family;

std::string show(const config::Locality& locality) {
  if (locality == config::Locality{}) return {};
  return locality.cloud + "/" + locality.region + "/" + locality.zone;
}

void collect_cluster(telemetry::Scrape& scrape, const admin::ClusterInfo& cluster) {
  for (const admin::EndpointInfo& endpoint : cluster.endpoints) {
    scrape.gauge(Family::endpoints, {cluster.name, show(endpoint.locality), endpoint.state}, 1);
  }
  for (const admin::BreakerInfo& breaker : cluster.breakers) {
    scrape.gauge(Family::breaker_used, {cluster.name, breaker.resource},
                 static_cast<double>(breaker.used));
    scrape.gauge(Family::breaker_limit, {cluster.name, breaker.resource},
                 static_cast<double>(breaker.limit));
    scrape.gauge(Family::breaker_open, {cluster.name, breaker.resource}, breaker.open ? 1 : 0);
  }
}

// Their number is the mesh's, not this configuration's: the first to be left out beyond
// max_series.
void collect_endpoints(telemetry::Scrape& scrape, const std::vector<admin::ClusterInfo>& clusters) {
  for (const admin::ClusterInfo& cluster : clusters) {
    for (const admin::EndpointInfo& endpoint : cluster.endpoints) {
      const std::string& at = endpoint.address;
      scrape.gauge(Family::endpoint_healthy, {cluster.name, at}, endpoint.state == "healthy");
      scrape.counter(Family::endpoint_requests, {cluster.name, at},
                     static_cast<double>(endpoint.requests));
      scrape.counter(Family::endpoint_failures, {cluster.name, at},
                     static_cast<double>(endpoint.failures));
      scrape.gauge(Family::endpoint_active, {cluster.name, at},
                   static_cast<double>(endpoint.active));
      scrape.gauge(Family::endpoint_latency, {cluster.name, at},
                   std::chrono::duration<double>(endpoint.latency).count());
    }
  }
}

}  // namespace

void collect_facts(telemetry::Scrape& scrape, AdminFacts& facts, Shared& shared, WallTime now) {
  for (const admin::ClusterInfo& cluster : facts.clusters()) collect_cluster(scrape, cluster);
  for (const admin::CertificateInfo& certificate : facts.certificates()) {
    const auto left = std::chrono::duration<double>(certificate.not_after - now);
    scrape.gauge(Family::certificate_expires, {certificate.name}, left.count());
  }
  scrape.gauge(Family::config_info, {facts.server_info().config_version}, 1);
  scrape.gauge(Family::ready, {}, facts.readiness().ready ? 1 : 0);
  for (std::size_t i = 0; i < shared.threads.size(); ++i) {
    scrape.gauge(Family::worker_connections, {std::to_string(i)},
                 shared.threads[i]->open_connections());
  }
  shared.access_log.collect(scrape);
  // Workers have to be asked, so only where it was asked for.
  if (facts.wants_endpoint_series()) collect_endpoints(scrape, facts.clusters());
}

}  // namespace outrigger::server
