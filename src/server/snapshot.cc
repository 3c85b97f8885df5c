#include "server/snapshot.h"

#include <algorithm>

namespace outrigger::server {
namespace {

bool has_labels(const config::Endpoint& endpoint,
                const std::map<std::string, std::string>& labels) {
  return std::all_of(labels.begin(), labels.end(), [&endpoint](const auto& wanted) {
    const auto found = endpoint.labels.find(wanted.first);
    return found != endpoint.labels.end() && found->second == wanted.second;
  });
}

std::vector<config::Endpoint> subset_of(const std::vector<config::Endpoint>& endpoints,
                                        const std::map<std::string, std::string>& labels) {
  std::vector<config::Endpoint> subset;
  std::copy_if(
      endpoints.begin(), endpoints.end(), std::back_inserter(subset),
      [&labels](const config::Endpoint& endpoint) { return has_labels(endpoint, labels); });
  return subset;
}

ServiceSnapshot make_service(std::shared_ptr<const config::Service> service,
                             const std::vector<config::Endpoint>& endpoints,
                             const std::shared_ptr<upstream::ServiceLimits>& limits,
                             upstream::EndpointStates& states) {
  ServiceSnapshot made;
  made.endpoints =
      upstream::EndpointSet::make(service->name, endpoints, service->expect_ids, states);
  made.service = std::move(service);
  made.limits = limits;
  return made;
}

// A subset is a service of its own, with the endpoints that have its labels.
void add_subsets(Snapshot& snapshot, const config::Service& service,
                 const std::vector<config::Endpoint>& endpoints, const Snapshot* old,
                 upstream::EndpointStates& states, int workers) {
  for (const auto& [name, labels] : service.subsets) {
    auto own = std::make_shared<config::Service>(service);
    own->name = service.name + "/" + name;
    const auto before = old != nullptr ? old->services.find(own->name) : snapshot.services.end();
    auto limits = old != nullptr && before != old->services.end()
                      ? before->second.limits
                      : std::make_shared<upstream::ServiceLimits>(
                            service.breaker, static_cast<std::uint32_t>(workers));
    const std::string key = own->name;
    snapshot.services[key] =
        make_service(std::move(own), subset_of(endpoints, labels), limits, states);
  }
}

// The app behind an inbound listener, as a service with one endpoint in clear text.
config::Service app_service(const config::Config& config, const config::Inbound& inbound) {
  config::Service app;
  app.name = config.node.service;
  app.protocol = inbound.protocol;
  app.http2_ping = inbound.http2_ping;
  app.breaker = inbound.breaker;
  app.mtls = config::Mtls::disabled;
  app.load_balancer.policy = config::LoadBalancer::Policy::round_robin;
  // Only the caller's sidecar retries; here nothing but a connection that could not be opened or
  // was dead.
  app.retry.max = 0;
  // And the caller's sidecar knows how long the caller waits: it sends what is left of it, and
  // cancels. A time of our own would end what somebody still waits for.
  app.timeout = config::Millis(0);
  config::Endpoint endpoint;
  endpoint.address = inbound.app;
  app.endpoints.push_back(endpoint);
  return app;
}

const std::vector<config::Endpoint>& endpoints_of(const EndpointLists& lists,
                                                  const std::string& key,
                                                  const std::vector<config::Endpoint>& otherwise) {
  const auto found = lists.find(key);
  return found == lists.end() ? otherwise : found->second;
}

}  // namespace

std::string app_key(std::size_t index) {
  return "app/" + std::to_string(index);
}

Result<std::shared_ptr<const Snapshot>> compile(const std::shared_ptr<const config::Config>& config,
                                                const EndpointLists& lists,
                                                upstream::EndpointStates& states, int workers) {
  auto routes = proxy::RouteTable::compile(config);
  if (!routes) return routes.error();
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->config = config;
  std::vector<std::string> names;
  for (const proxy::Target& target : (*routes)->targets()) {
    names.push_back(target.subset.empty() ? target.service : target.service + "/" + target.subset);
  }
  snapshot->routing = std::make_shared<const proxy::Routing>(
      proxy::Routing{config, *routes, proxy::HostTable(*config), std::move(names)});
  for (const auto& [name, service] : config->services) {
    const auto& endpoints = endpoints_of(lists, name, service.endpoints);
    auto limits = std::make_shared<upstream::ServiceLimits>(service.breaker,
                                                            static_cast<std::uint32_t>(workers));
    snapshot->services[name] =
        make_service(std::make_shared<const config::Service>(service), endpoints, limits, states);
    add_subsets(*snapshot, service, endpoints, nullptr, states, workers);
  }
  for (std::size_t i = 0; i < config->inbound.size(); ++i) {
    auto app = std::make_shared<const config::Service>(app_service(*config, config->inbound[i]));
    const auto& endpoints = endpoints_of(lists, app_key(i), app->endpoints);
    auto limits = std::make_shared<upstream::ServiceLimits>(app->breaker,
                                                            static_cast<std::uint32_t>(workers));
    snapshot->apps.push_back(make_service(app, endpoints, limits, states));
  }
  return std::shared_ptr<const Snapshot>(std::move(snapshot));
}

std::shared_ptr<const Snapshot> with_endpoints(const Snapshot& old, const EndpointLists& lists,
                                               upstream::EndpointStates& states, int workers) {
  auto snapshot = std::make_shared<Snapshot>(old);
  for (const auto& [name, endpoints] : lists) {
    const auto found = snapshot->services.find(name);
    if (found == snapshot->services.end()) continue;
    ServiceSnapshot& service = found->second;
    service = make_service(service.service, endpoints, service.limits, states);
    add_subsets(*snapshot, *service.service, endpoints, &old, states, workers);
  }
  for (std::size_t i = 0; i < snapshot->apps.size(); ++i) {
    const auto found = lists.find(app_key(i));
    if (found == lists.end()) continue;
    ServiceSnapshot& app = snapshot->apps[i];
    app = make_service(app.service, found->second, app.limits, states);
  }
  return snapshot;
}

}  // namespace outrigger::server
