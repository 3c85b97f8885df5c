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
}

}  // namespace outrigger::server
