#pragma once

// What workers read: the configuration compiled into route tables and endpoint sets. Immutable;
// compiled off the workers, adopted by each between two events. A registry's change makes a new
// snapshot that shares everything else with the old one.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/model.h"
#include "proxy/scope.h"
#include "upstream/endpoint_set.h"

namespace outrigger::server {

struct ServiceSnapshot {
  std::shared_ptr<const config::Service> service;
  std::shared_ptr<const upstream::EndpointSet> endpoints;
  std::shared_ptr<upstream::ServiceLimits>
      limits;  // breaker and retry floor, across workers and snapshots
};

struct Snapshot {
  std::shared_ptr<const config::Config> config;
  std::shared_ptr<const proxy::Routing> routing;
  std::map<std::string, ServiceSnapshot, std::less<>> services;
  // The app behind each inbound listener, in the configuration's order.
  std::vector<ServiceSnapshot> apps;
};

// Endpoints by service, as registries and name resolution tell them; services that are missing have
// those of the configuration.
using EndpointLists = std::map<std::string, std::vector<config::Endpoint>, std::less<>>;

// The error names the route or service and its place in the file.
Result<std::shared_ptr<const Snapshot>> compile(const std::shared_ptr<const config::Config>& config,
                                                const EndpointLists& lists,
                                                upstream::EndpointStates& states, int workers);

// The name in EndpointLists of the app behind inbound listener `index`.
std::string app_key(std::size_t index);

// The same snapshot with other endpoints for the services and apps in `lists`.
std::shared_ptr<const Snapshot> with_endpoints(const Snapshot& old, const EndpointLists& lists,
                                               upstream::EndpointStates& states, int workers);

}  // namespace outrigger::server
