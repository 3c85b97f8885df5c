#include "proxy/route_table.h"

#include <algorithm>
#include <array>

#include "http/validation.h"

namespace outrigger::proxy {
namespace {

std::string place_of(const config::Position& at) {
  std::string out = at.file.empty() ? "configuration" : at.file;
  if (at.line > 0) {
    out += ":" + std::to_string(at.line) + ":" + std::to_string(std::max(at.column, 1));
  }
  return out;
}

// "/api/x" with /api/ -> /v2/ is "/v2/x"; "/api" itself and "/api?q" are "/v2/" and "/v2/?q". A
// prefix ends where a segment ends; both sides are joined by exactly one slash.
std::string_view replace_prefix(std::string_view path, std::string_view from, std::string_view to,
                                Arena& arena) {
  if (from.ends_with('/')) from.remove_suffix(1);
  if (!path.starts_with(from)) return path;
  std::string_view rest = path.substr(from.size());
  const bool at_boundary = rest.empty() || rest.front() == '/' || rest.front() == '?';
  if (!at_boundary) return path;
  if (rest.starts_with('/') && to.ends_with('/')) to.remove_suffix(1);
  return arena.concat(to, rest);
}

}  // namespace

std::uint32_t Route::choose(Random& random) const {
  if (shares_.size() == 1) return shares_.front().target;
  const std::uint32_t drawn = random.below(shares_.back().until);
  return std::upper_bound(shares_.begin(), shares_.end(), drawn,
                          [](std::uint32_t d, const Share& s) { return d < s.until; })
      ->target;
}

void Route::rewrite(http::Head& request) const {
  if (!config_->rewrite) return;
  const config::Rewrite& rewrite = *config_->rewrite;
  if (!rewrite.prefix_from.empty()) {
    request.path = replace_prefix(request.path, rewrite_from_, rewrite_to_, *request.arena);
  }
  if (!rewrite.host.empty()) request.authority = rewrite.host;
}

std::string_view Route::location(const http::Head& request) const {
  const config::Redirect& redirect = *config_->redirect;
  Arena& arena = *request.arena;
  std::string_view path = request.path;
  if (!redirect.path.empty()) {
    const std::size_t question = path.find('?');
    path = question == std::string_view::npos ? std::string_view(redirect.path)
                                              : arena.concat(redirect.path, path.substr(question));
  }
  std::string_view host = redirect.host;
  if (host.empty()) {
    host = request.authority;
    // The old scheme's default port means nothing in the new one.
    const std::uint16_t old_port = request.scheme == "https" ? 443 : 80;
    const bool other_scheme = !redirect.scheme.empty() && redirect.scheme != request.scheme;
    if (other_scheme && http::is_authority(host) && http::port_of(host) == old_port) {
      host = http::host_of(host);
    }
  }
  if (host.empty()) return path;
  const std::string_view scheme = redirect.scheme.empty() ? request.scheme : redirect.scheme;
  return arena.concat(arena.concat(scheme.empty() ? "http" : scheme, "://", host), path);
}

void RouteIndex::add(const Route& route, std::string_view first_segment) {
  reads_paths_ |= route.reads_path();
  (first_segment.empty() ? rest_ : by_segment_[first_segment]).push_back(&route);
}

const RouteIndex::List& RouteIndex::with(std::string_view first_segment) const {
  static const List none;
  const auto found = by_segment_.find(first_segment);
  return found == by_segment_.end() ? none : found->second;
}

const Route* ServiceRoutes::match(const http::Head& request) const {
  RequestView view(request);
  const std::string_view segment = view.first_segment();
  // Four lists, each in order; of their first routes, the lowest is tried next.
  struct Rest {
    const Route* const* at;
    const Route* const* end;
  };
  const auto rest_of = [](const RouteIndex::List& list) {
    return Rest{list.data(), list.data() + list.size()};
  };
  std::array<Rest, 4> lists{rest_of(own_.with(segment)), rest_of(own_.rest()),
                            rest_of(any_->with(segment)), rest_of(any_->rest())};
  for (;;) {
    Rest* next = nullptr;
    for (Rest& list : lists) {
      if (list.at == list.end) continue;
      if (next == nullptr || (*list.at)->order() < (*next->at)->order()) next = &list;
    }
    if (next == nullptr) return nullptr;
    const Route* route = *next->at++;
    if (route->matcher_.holds(view)) return route;
  }
}

Result<std::shared_ptr<const RouteTable>> RouteTable::compile(
    const std::shared_ptr<const config::Config>& config) {
  const std::shared_ptr<RouteTable> table(new RouteTable(config));  // NOLINT: private constructor
  table->only_any_.any_ = &table->any_;
  std::string errors;
  std::uint32_t order = 0;
  for (const config::Route& route : config->routes) {
    const auto added = table->add(route, order++);
    if (added) continue;
    if (!errors.empty()) errors += '\n';
    errors += place_of(route.at) + ": error: route '" + route.name + "': " + added.error().message;
  }
  if (!errors.empty()) return Error{errors};
  table->target_numbers_.clear();
  return std::shared_ptr<const RouteTable>(table);
}

// Disabled ones are compiled too, so that their errors are found before they are enabled.
Result<void> RouteTable::add(const config::Route& config, std::uint32_t order) {
  auto matcher = RouteMatcher::compile(config.match);
  if (!matcher) return matcher.error();
  std::unique_ptr<Route> route(new Route(config, std::move(matcher).value(), order));  // NOLINT
  if (auto actions = compile_actions(config, *route); !actions) return actions;
  if (auto to = compile_destinations(config, *route); !to) return to;
  if (!config.enabled) return {};

  const std::string_view segment = route->matcher_.first_segment();
  if (config.match.service.empty()) {
    any_.add(*route, segment);
  } else {
    std::unique_ptr<ServiceRoutes>& routes = services_[config.match.service];
    if (routes == nullptr) {
      routes = std::make_unique<ServiceRoutes>();
      routes->any_ = &any_;
    }
    routes->own_.add(*route, segment);
  }
  routes_.push_back(std::move(route));
  return {};
}

Result<void> RouteTable::compile_actions(const config::Route& config, Route& route) {
  std::string_view host, path;
  if (config.rewrite) {
    host = config.rewrite->host;
    if (!config.rewrite->prefix_from.empty()) {
      auto from = normal_path(config.rewrite->prefix_from);
      if (!from) return Error{"rewrite: " + from.error().message};
      route.rewrite_from_ = std::move(from).value();
      auto to = normal_path(config.rewrite->prefix_to);
      if (!to) return Error{"rewrite: " + to.error().message};
      route.rewrite_to_ = std::move(to).value();
    }
  } else if (config.redirect) {
    host = config.redirect->host;
    path = config.redirect->path;
  }
  if (!host.empty() && !http::is_authority(host)) {
    return Error{"'" + std::string(host) + "' is not a host with or without a port"};
  }
  if (!path.empty()) {
    if (auto normal = normal_path(path); !normal) return normal.error();
  }
  return {};
}

Result<void> RouteTable::compile_destinations(const config::Route& config, Route& route) {
  std::uint32_t until = 0;
  for (const config::Destination& to : config.destinations) {
    if (to.weight == 0) continue;
    const auto next = static_cast<std::uint32_t>(targets_.size());
    const auto [entry, fresh] = target_numbers_.try_emplace({to.service, to.subset}, next);
    if (fresh) targets_.push_back({to.service, to.subset});
    until += to.weight;
    route.shares_.push_back({until, entry->second});
  }
  if (!config.destinations.empty() && route.shares_.empty()) {
    return Error{"all its destinations have weight 0"};
  }
  return {};
}

const ServiceRoutes* RouteTable::of(std::string_view service) const {
  const auto found = services_.find(service);
  if (found != services_.end()) return found->second.get();
  return any_.empty() ? nullptr : &only_any_;
}

HostTable::HostTable(const config::Config& config) : suffixes_(config.discovery.suffixes) {
  for (const auto& [name, service] : config.services) {
    if (service.protocol != config::Protocol::tcp) names_.emplace(name, name);
  }
  std::erase_if(suffixes_, [](const std::string& s) { return s.size() < 2; });
  for (std::string& suffix : suffixes_) {
    if (suffix.front() != '.') suffix.insert(suffix.begin(), '.');
    while (suffix.ends_with('.')) suffix.pop_back();
  }
  std::sort(suffixes_.begin(), suffixes_.end(),
            [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
}

std::string_view HostTable::service_of(std::string_view authority, Arena& arena) const {
  if (!http::is_authority(authority)) return {};
  const std::string_view host = http::normalise_host(authority, arena);
  for (const std::string_view name : {host, without_suffix(host)}) {
    const auto found = names_.find(name);
    if (found != names_.end()) return found->second;
  }
  return {};
}

std::string_view HostTable::name_of(std::string_view authority, Arena& arena) const {
  if (!http::is_authority(authority) || authority.front() == '[') return {};
  return without_suffix(http::normalise_host(authority, arena));
}

std::string_view HostTable::without_suffix(std::string_view host) const {
  for (const std::string& suffix : suffixes_) {
    if (host.ends_with(suffix)) return host.substr(0, host.size() - suffix.size());
  }
  return host;
}

}  // namespace outrigger::proxy
