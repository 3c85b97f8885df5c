#pragma once

// The interface of service registries.
//
// A Registry reports the endpoints of the services that are subscribed to, and every change to
// them. It is owned by the process's main thread; all calls and callbacks happen there. An
// implementation must not block that thread: it uses the loop it was given, or a thread of its own
// that posts to the loop.
//
// Call order:
//
//   auto orders = registry.subscribe("orders", observer);
//   registry.start(events);                   // once; before or after subscriptions
//     observer.on_endpoints({...});           // the first list, then every change
//     observer.on_endpoints({});              // the registry says that nobody serves it now
//     events.on_registry_error({...});        // the registry is down or returns nonsense
//     ...                                     // the last list stays in force meanwhile
//     events.on_registry_current();           // it works again; lists that changed follow
//   orders.reset();                           // no callback after this returns
//
// Rules. Callbacks are never made from within subscribe() or start(), but in a later turn of the
// loop. A list is complete: endpoints that are not in it are gone. A list may be reported only if
// it comes from a valid answer; when in doubt (an outage, a half-written file, an answer filtered
// by permissions), report an error and no list, rather than an empty one. A list equal to the last
// one need not be reported. Subscriptions end before their registry does.

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "outrigger/values.h"

namespace outrigger {

// Receives the endpoints of one service. Owned by the subscriber; outlives the subscription.
class EndpointObserver {
 public:
  virtual void on_endpoints(std::span<const RegisteredEndpoint> endpoints) = 0;

 protected:
  ~EndpointObserver() = default;
};

// Why a registry does not work, for humans.
struct RegistryError {
  std::string message;  // with file, line and column, or the address, if there is one
};

// Receives changes in the state of the registry itself; outlives it.
class RegistryEvents {
 public:
  // The registry has failed, or fails differently than before. Lists already reported stay in
  // force.
  virtual void on_registry_error(const RegistryError& error) = 0;
  // The first valid answer, or the first one after an error.
  virtual void on_registry_current() = 0;

 protected:
  ~RegistryEvents() = default;
};

// Destroying it ends the subscription before the destructor returns.
class Subscription {
 public:
  virtual ~Subscription() = default;
};

// For the admin page and metrics.
struct RegistryStatus {
  bool answered = false;                 // at least one valid answer since start()
  bool stale = false;                    // the reported lists may be out of date
  std::chrono::nanoseconds last_good{};  // loop time of the last valid answer
  std::string error;                     // the current error; empty if there is none
  std::size_t services = 0;              // number known to the registry, if it can tell
};

class Registry {
 public:
  virtual ~Registry() = default;

  virtual void start(RegistryEvents& events) = 0;
  // Several subscriptions to one service are allowed.
  virtual std::unique_ptr<Subscription> subscribe(std::string_view service,
                                                  EndpointObserver& observer) = 0;
  virtual RegistryStatus status() const = 0;
};

}  // namespace outrigger
