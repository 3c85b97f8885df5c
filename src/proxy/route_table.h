#pragma once

// Routes compiled from the configuration: which one takes a request, and what it does to it. Part
// of a snapshot: made on the back thread, const afterwards, used by every worker. It holds the
// configuration it was made from, whose text it points to.
//
//   auto table = RouteTable::compile(config);              // errors say where
//   const ServiceRoutes* routes = (*table)->of("orders");   // once, when the snapshot is compiled
//   const Route* route = routes ? routes->match(head) : nullptr;
//   if (route == nullptr) ...                               // no route: to the service as it is
//
// The path is matched as it is in the head: where ServiceRoutes::reads_paths(), it must already be
// normalised (http::normalise_path()), so that what is matched is what is forwarded.

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "config/model.h"
#include "http/head.h"
#include "proxy/header_edits.h"
#include "proxy/route_match.h"

namespace outrigger::proxy {

// A service, or a subset of one, that some route sends to. Routes refer to targets by number, so
// that a snapshot can keep what belongs to each in a parallel array.
struct Target {
  std::string service;
  std::string subset;  // empty: all of it
  bool operator==(const Target&) const = default;
};

class Route {
 public:
  // Name, timeout, retry, redirect, response: as configured.
  const config::Route& config() const { return *config_; }
  // Its position among all routes; the lowest that matches wins.
  std::uint32_t order() const { return order_; }

  // Goes to the service that was called (no other is configured).
  bool to_called_service() const { return shares_.empty(); }
  bool reads_path() const { return matcher_.reads_path() || !rewrite_from_.empty(); }
  // One of its targets, by weight. REQUIRES: !to_called_service()
  std::uint32_t choose(Random& random) const;
  // The number of its targets.
  std::size_t target_count() const { return shares_.size(); }

  const HeaderEdits& request_edits() const { return request_edits_; }
  const HeaderEdits& response_edits() const { return response_edits_; }
  // Replaces the path's prefix and the authority, if configured. New text goes to the arena.
  void rewrite(http::Head& request) const;
  // Where a redirect leads: what is not configured stays as requested, including the query.
  // REQUIRES: config().redirect
  std::string_view location(const http::Head& request) const;

 private:
  friend class RouteTable;
  friend class ServiceRoutes;
  struct Share {
    std::uint32_t until;  // weights up to and including this one
    std::uint32_t target;
  };
  Route(const config::Route& config, RouteMatcher matcher, std::uint32_t order)
      : config_(&config),
        matcher_(std::move(matcher)),
        order_(order),
        request_edits_(config.request_headers),
        response_edits_(config.response_headers) {}

  const config::Route* config_;
  RouteMatcher matcher_;
  std::uint32_t order_;
  std::vector<Share> shares_;
  HeaderEdits request_edits_;
  HeaderEdits response_edits_;
  std::string rewrite_from_;  // normalised
  std::string rewrite_to_;    // normalised
};

// Routes in order, indexed by first path segment for those that require one: a service with a
// thousand paths costs a request about as much as one with ten.
class RouteIndex {
 public:
  using List = std::vector<const Route*>;
  void add(const Route& route, std::string_view first_segment);
  // Those for `first_segment`, and those that may match any path.
  const List& with(std::string_view first_segment) const;
  const List& rest() const { return rest_; }
  bool empty() const { return by_segment_.empty() && rest_.empty(); }
  // Whether one of them depends on the path or changes it.
  bool reads_paths() const { return reads_paths_; }

 private:
  bool reads_paths_ = false;
  std::unordered_map<std::string_view, List> by_segment_;
  List rest_;
};

// The routes that concern one service: its own, and those for any service.
class ServiceRoutes {
 public:
  // The first route whose conditions hold; null when there is none. Allocates only from the head's
  // arena.
  const Route* match(const http::Head& request) const;
  bool reads_paths() const { return own_.reads_paths() || any_->reads_paths(); }

 private:
  friend class RouteTable;
  RouteIndex own_;
  const RouteIndex* any_ = nullptr;
};

class RouteTable {
 public:
  // All errors in one message, one per line, each beginning with file, line and column.
  static Result<std::shared_ptr<const RouteTable>> compile(
      const std::shared_ptr<const config::Config>& config);
  RouteTable(const RouteTable&) = delete;
  RouteTable& operator=(const RouteTable&) = delete;

  // The routes of a service; null when none concerns it. Lives as long as the table.
  const ServiceRoutes* of(std::string_view service) const;
  // of() and match() in one.
  const Route* match(const http::Head& request, std::string_view service) const {
    const ServiceRoutes* routes = of(service);
    return routes != nullptr ? routes->match(request) : nullptr;
  }

  // By number.
  std::span<const Target> targets() const { return targets_; }
  // In order, without the disabled ones.
  std::span<const std::unique_ptr<const Route>> routes() const { return routes_; }

 private:
  explicit RouteTable(std::shared_ptr<const config::Config> config) : config_(std::move(config)) {}
  Result<void> add(const config::Route& config, std::uint32_t order);
  static Result<void> compile_actions(const config::Route& config, Route& route);
  Result<void> compile_destinations(const config::Route& config, Route& route);

  const std::shared_ptr<const config::Config> config_;
  std::vector<std::unique_ptr<const Route>> routes_;
  std::vector<Target> targets_;
  std::map<std::pair<std::string_view, std::string_view>, std::uint32_t> target_numbers_;
  std::unordered_map<std::string_view, std::unique_ptr<ServiceRoutes>> services_;
  RouteIndex any_;
  ServiceRoutes only_any_;  // of services without routes of their own
};

// Which service a Host or :authority names: the host, in lower case and without port and trailing
// dot, is looked up as it is, then without one of the known suffixes ("orders.mesh" is "orders").
class HostTable {
 public:
  // The names of the services that speak HTTP, and discovery's suffixes. `config` outlives this.
  explicit HostTable(const config::Config& config);

  // The service's name, as configured; empty when it names none.
  std::string_view service_of(std::string_view authority, Arena& arena) const;
  // The name to look up on demand: normalised, with the longest known suffix removed. Empty when
  // the authority is malformed, an IPv6 address, or just a suffix.
  std::string_view name_of(std::string_view authority, Arena& arena) const;

 private:
  std::string_view without_suffix(std::string_view host) const;

  std::unordered_map<std::string_view, std::string_view> names_;
  std::vector<std::string> suffixes_;  // with their dot, the longest first
};

}  // namespace outrigger::proxy
