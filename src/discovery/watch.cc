#include "discovery/watch.h"

#include <algorithm>

namespace outrigger::discovery {

class Watches::Watch final : public Subscription, public ListLink<Watch>, public ListLink<Pending> {
 public:
  Watch(const Service& of, EndpointObserver& who) : service(of), observer(who) {}

  // Both are touched by a delivery only, which unlinked watches never get.
  const Service& service;
  EndpointObserver& observer;
};

std::unique_ptr<Subscription> Watches::subscribe(std::string_view service_name,
                                                 EndpointObserver& observer) {
  Service& wanted = service(service_name);
  auto watch = std::make_unique<Watch>(wanted, observer);
  wanted.watches.push_back(*watch);
  if (wanted.known) deliver_soon(*watch);
  return watch;
}

void Watches::tell(std::string_view service_name, EndpointList endpoints) {
  change(service(service_name), std::move(endpoints));
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): its lists are moved out
void Watches::tell_all(std::map<std::string, EndpointList, std::less<>> services) {
  all_known_ = true;
  for (auto& [name, known] : by_name_) {
    if (!services.contains(name)) change(known, {});
  }
  for (auto& [name, endpoints] : services) change(service(name), std::move(endpoints));
}

std::size_t Watches::services() const {
  return static_cast<std::size_t>(std::count_if(
      by_name_.begin(), by_name_.end(), [](const auto& s) { return !s.second.endpoints.empty(); }));
}

Watches::Service& Watches::service(std::string_view name) {
  const auto found = by_name_.find(name);
  if (found != by_name_.end()) return found->second;
  if (by_name_.size() >= forget_at_) forget_unused();
  Service& fresh = by_name_[std::string(name)];
  fresh.known = all_known_;
  return fresh;
}

// Names that were asked for and do not exist would pile up otherwise. What is known of a service
// with endpoints stays, for the next subscriber.
void Watches::forget_unused() {
  std::erase_if(by_name_,
                [](auto& s) { return s.second.watches.empty() && s.second.endpoints.empty(); });
  forget_at_ = std::max<std::size_t>(1024, by_name_.size() * 2);
}

void Watches::change(Service& service, EndpointList endpoints) {
  if (service.known && service.endpoints == endpoints) return;
  service.known = true;
  service.endpoints = std::move(endpoints);
  for (Watch& watch : service.watches) deliver_soon(watch);
}

void Watches::deliver_soon(Watch& watch) {
  if (!static_cast<ListLink<Pending>&>(watch).linked()) pending_.push_back(watch);
  loop_.in_next_turn(*this);
}

// A callback may subscribe, which is answered in the next turn, and drop any subscription, its own
// too.
void Watches::on_next_turn() {
  IntrusiveList<Watch, Pending> now;
  now.take_all(pending_);
  while (!now.empty()) {
    const Watch& watch = now.pop_front();
    watch.observer.on_endpoints(watch.service.endpoints);
  }
}

}  // namespace outrigger::discovery
