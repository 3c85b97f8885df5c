#pragma once

// What to implement for a service registry of your own.
//
// A Registry is asked which endpoints a service has, and tells again whenever that changes. It is
// owned by the process's main thread; all calls and callbacks happen there. An implementation must
// not block that thread: it uses the loop it was given, or a thread of its own and posts.
//
// Call order:
//
//   auto orders = registry.subscribe("orders", observer);
//   registry.start(events);                   // once; subscriptions come before or after
//     observer.on_endpoints({...});           // the first answer, then every change
//     observer.on_endpoints({});              // the registry says: nobody serves it now
//     events.on_registry_error({...});        // the registry is down or talks nonsense
//     ...                                     // silence: the last list stays in force
//     events.on_registry_current();           // it answers again; lists that changed follow
//   orders.reset();                           // no callback after this returns
//
// Rules. Callbacks never come from inside subscribe() or start(), but in a later turn. A list is
// whole: what is not in it is gone. A list is given only when it comes from a good answer; when in
// doubt (an outage, a half-written file, an answer filtered by permissions) report an error and
// give no list, never an empty one. Equal lists need not be given twice. Subscriptions end before
// their registry does.

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "outrigger/values.h"

namespace outrigger {

// Hears about one service. Owned by the subscriber, outlives the subscription.
class EndpointObserver {
 public:
  virtual void on_endpoints(std::span<const RegisteredEndpoint> endpoints) = 0;

 protected:
  ~EndpointObserver() = default;
};

// Why a registry's answers are not to be had; told to a person.
struct RegistryError {
  std::string message;  // with file, line and column, or the address, where there is one
};

// Hears about the registry itself. Outlives it.
class RegistryEvents {
 public:
  // The registry has failed, or fails in another way than before. Lists already given stay in
  // force.
  virtual void on_registry_error(const RegistryError& error) = 0;
  // The first good answer, or the first one after an error.
  virtual void on_registry_current() = 0;

 protected:
  ~RegistryEvents() = default;
};

// Dropping it ends the subscription before the destructor returns.
class Subscription {
 public:
  virtual ~Subscription() = default;
};

// For the admin page and metrics.
struct RegistryStatus {
  bool answered = false;                 // at least one good answer since start()
  bool stale = false;                    // what was given is not known to be true any more
  std::chrono::nanoseconds last_good{};  // loop time of the last good answer
  std::string error;                     // the present trouble; empty when there is none
  std::size_t services = 0;              // known to the registry, where it can tell
};

class Registry {
 public:
  virtual ~Registry() = default;

  virtual void start(RegistryEvents& events) = 0;
  // Several subscriptions to one service are legal.
  virtual std::unique_ptr<Subscription> subscribe(std::string_view service,
                                                  EndpointObserver& observer) = 0;
  virtual RegistryStatus status() const = 0;
};

}  // namespace outrigger
