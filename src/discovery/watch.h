#pragma once

// What every registry client needs: who subscribes to which service, what is known about it, and
// passing the latter to the former. A registry owns one and feeds it; subscribers get a list in
// a later turn than the call that brought it, each list once, and never the same list again.
//
//   watches.subscribe("orders", observer)      // behind Registry::subscribe()
//   watches.tell("orders", {...})              // a good answer about one service
//   watches.tell_all({{"orders", {...}}, ...}) // a good answer about all there are
//
// Main thread. Subscriptions may outlive it; they get no more callbacks.

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/intrusive_list.h"
#include "net/loop.h"
#include "outrigger/registry.h"

namespace outrigger::discovery {

using EndpointList = std::vector<RegisteredEndpoint>;

class Watches final : private net::YieldingHook {
 public:
  explicit Watches(net::Loop& loop) : loop_(loop) {}
  Watches(const Watches&) = delete;
  Watches& operator=(const Watches&) = delete;

  std::unique_ptr<Subscription> subscribe(std::string_view service, EndpointObserver& observer);
  // The service has these endpoints now.
  void tell(std::string_view service, EndpointList endpoints);
  // Services that are not in it have none.
  void tell_all(std::map<std::string, EndpointList, std::less<>> services);

  // Services with at least one endpoint.
  std::size_t services() const;

 private:
  class Watch;
  struct Pending {};  // tells a watch's second list from its first

  // One service, known or wanted.
  struct Service {
    bool known = false;
    EndpointList endpoints;
    IntrusiveList<Watch> watches;
  };

  Service& service(std::string_view name);
  void forget_unused();
  void change(Service& service, EndpointList endpoints);
  void deliver_soon(Watch& watch);
  void on_next_turn() override;

  net::Loop& loop_;
  std::map<std::string, Service, std::less<>> by_name_;
  std::size_t forget_at_ = 1024;
  bool all_known_ = false;  // after tell_all(): services that are not listed have no endpoints
  IntrusiveList<Watch, Pending> pending_;
};

}  // namespace outrigger::discovery
