#pragma once

// Where endpoint lists come from, on the main thread: those in the configuration, their names
// resolved and looked up again as their records expire, and those that registries tell. Whenever a
// list changes it is published whole. A name that cannot be resolved keeps its last addresses, and
// a registry's new list takes the place of the one before once all the names in it have answered or
// failed to: until then that one stays in force, so that no endpoint is missing meanwhile.
//
// Lists may have tens of thousands of names. What a turn's answers change is published at its end,
// and of a long list that is not complete only so often that it costs a fraction of the time.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/model.h"
#include "net/dns.h"
#include "net/loop.h"
#include "outrigger/registry.h"
#include "server/snapshot.h"

namespace outrigger::server {

class EndpointBook final : private net::TurnHook {
 public:
  using Publish = std::function<void(const std::string& service,
                                     const std::vector<config::Endpoint>& endpoints)>;

  // `heard` runs at the end of a turn in which a name or a registry has answered or failed for the
  // first time: settled() may have become true.
  EndpointBook(
      net::Loop& loop, Publish publish, std::function<void()> heard = [] {});
  ~EndpointBook();

  // A service's own endpoints and the registries it is in. Before start().
  void add(const std::string& service, const std::vector<config::Endpoint>& endpoints,
           const std::vector<Registry*>& registries, const config::Locality& registry_locality);
  // Every name and every registry has answered once, or failed to, and what they told is published.
  bool settled() const;
  // The lists as they are.
  EndpointLists lists() const;

 private:
  struct Name;
  struct List;
  struct Source;
  struct Entry;

  static std::vector<config::Endpoint> list_of(const Entry& entry);
  // The name's look-up, which lists of an entry share.
  std::shared_ptr<Name> name_of(Entry& entry, const std::string& host);
  void look_up(Name& name);
  void answered(Name& name, const net::Resolved& resolved);
  // At the end of the turn the entry is looked at, or `heard` is called, or both.
  void look_at(Entry& entry);
  void hear();
  void on_turn_end() override;
  void publish(Entry& entry);

  net::Loop& loop_;
  Publish publish_;
  const std::function<void()> heard_;
  net::Resolver resolver_;
  std::map<std::string, std::unique_ptr<Entry>> entries_;
  std::vector<Entry*> to_look_at_;
  bool to_hear_ = false;
};

}  // namespace outrigger::server
