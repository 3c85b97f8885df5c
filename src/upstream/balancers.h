#pragma once

// The available balancers, by configured name. main registers the built-in ones and those of
// extensions; const afterwards, read by every worker.

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/model.h"
#include "outrigger/load_balancer.h"

namespace outrigger::upstream {

class Balancers {
 public:
  // The built-in ones: round_robin, random, least_request, peak_ewma.
  static Balancers built_in();

  // False when the name is taken.
  bool add(std::string name, BalancerFactory factory);
  // Null when there is none of that name, or its factory returned none.
  std::unique_ptr<LoadBalancer> make(std::string_view name, const BalancerOptions& options) const;
  bool has(std::string_view name) const { return factories_.find(name) != factories_.end(); }
  // For the error message that lists what is available.
  std::vector<std::string> names() const;

 private:
  std::map<std::string, BalancerFactory, std::less<>> factories_;
};

// The name of a configured policy.
std::string_view name_of(config::LoadBalancer::Policy policy);

}  // namespace outrigger::upstream
