#include "upstream/balancers.h"

#include "base/check.h"
#include "upstream/least_request.h"
#include "upstream/peak_ewma.h"
#include "upstream/random_balancer.h"
#include "upstream/round_robin.h"

namespace outrigger::upstream {
namespace {

template <typename T>
std::unique_ptr<LoadBalancer> make_one(const BalancerOptions& options) {
  return std::make_unique<T>(options);
}

}  // namespace

Balancers Balancers::built_in() {
  Balancers all;
  all.add("round_robin", make_one<RoundRobinBalancer>);
  all.add("random", make_one<RandomBalancer>);
  all.add("least_request", make_one<LeastRequestBalancer>);
  all.add("peak_ewma", make_one<PeakEwmaBalancer>);
  return all;
}

bool Balancers::add(std::string name, BalancerFactory factory) {
  check(factory != nullptr, "a balancer's factory may not be empty");
  return factories_.emplace(std::move(name), std::move(factory)).second;
}

std::unique_ptr<LoadBalancer> Balancers::make(std::string_view name,
                                              const BalancerOptions& options) const {
  const auto found = factories_.find(name);
  return found == factories_.end() ? nullptr : found->second(options);
}

std::vector<std::string> Balancers::names() const {
  std::vector<std::string> out;
  for (const auto& [name, factory] : factories_) out.push_back(name);
  return out;
}

std::string_view name_of(config::LoadBalancer::Policy policy) {
  using Policy = config::LoadBalancer::Policy;
  switch (policy) {
    case Policy::round_robin:
      return "round_robin";
    case Policy::random:
      return "random";
    case Policy::least_request:
      return "least_request";
    case Policy::peak_ewma:
      return "peak_ewma";
    case Policy::ring_hash:
      return "ring_hash";
    case Policy::maglev:
      return "maglev";
  }
  check(false, "a policy without a name");
  return {};
}

}  // namespace outrigger::upstream
