#include "config/validate.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "config/scalars.h"

namespace outrigger::config {
namespace {

// A place in the tree, found by walking down; where the file says nothing it stays at what is
// around.
class Cursor {
 public:
  explicit Cursor(const YamlNode& root) : node_(&root), place_(root.place) {}

  Cursor operator[](std::string_view key) const {
    const YamlEntry* entry = node_ == nullptr ? nullptr : node_->find_entry(key);
    // A scalar may stand for its record's main field.
    if (entry == nullptr) return Cursor(nullptr, place_, scalar());
    return Cursor(&entry->value, entry->value.is_scalar() ? entry->value.place : entry->key.place);
  }
  Cursor operator[](std::size_t index) const {
    // A scalar may stand for a list of one.
    if (node_ != nullptr && node_->is_scalar()) return *this;
    if (node_ == nullptr || index >= node_->items.size()) return Cursor(nullptr, place_);
    return Cursor(&node_->items[index], node_->items[index].place);
  }
  // The name of an entry rather than its value.
  Cursor key(std::string_view name) const {
    const YamlEntry* entry = node_ == nullptr ? nullptr : node_->find_entry(name);
    return entry == nullptr ? Cursor(nullptr, place_) : Cursor(&entry->value, entry->key.place);
  }
  // Whether the file says anything here.
  bool given() const { return node_ != nullptr; }
  // A value that was read from here, as a message may show it.
  std::string shown(const std::string& value) const {
    const YamlNode* from = node_ == nullptr ? around_ : node_;
    return from != nullptr && from->filled_in() ? from->shown() : value;
  }
  std::string_view text() const { return node_ == nullptr ? std::string_view() : node_->text; }
  const Place& place() const { return place_; }

 private:
  Cursor(const YamlNode* node, Place place, const YamlNode* around = nullptr)
      : node_(node), place_(place), around_(around) {}
  const YamlNode* scalar() const {
    return node_ != nullptr && node_->is_scalar() ? node_ : around_;
  }

  const YamlNode* node_;
  Place place_;
  const YamlNode* around_ = nullptr;  // where there is no node, the scalar that stands for it
};

template <typename Map>
std::vector<std::string> names_of(const Map& map) {
  std::vector<std::string> out;
  for (const auto& [name, value] : map) out.push_back(name);
  return out;
}

bool is_wildcard(const Address& address) {
  return address.host == "0.0.0.0" || address.host == "::";
}

bool collide(const Address& a, const Address& b) {
  if (a.is_unix || b.is_unix) return a.is_unix && b.is_unix && a.host == b.host;
  if (a.port != b.port || a.port == 0) return false;
  const bool a6 = a.host.find(':') != std::string::npos;
  const bool b6 = b.host.find(':') != std::string::npos;
  return a.host == b.host || (a6 == b6 && (is_wildcard(a) || is_wildcard(b)));
}

class Validator {
 public:
  Validator(const Draft& draft, const YamlNode& root, const Environment& environment,
            Report& report)
      : draft_(draft), root_(root), environment_(environment), report_(report) {}

  void run() {
    check_admin();
    check_prometheus();
    check_identity();
    check_listeners();
    check_names();
    each(draft_.inbound.size(), [this](std::size_t i) { check_inbound(i); });
    each(draft_.outbound.size(), [this](std::size_t i) { check_outbound(i); });
    each(draft_.registries,
         [this](const auto& entry) { check_registry(entry.first, entry.second); });
    each(draft_.services, [this](const auto& entry) { check_service(entry.first, entry.second); });
    check_service_identity();
    each(draft_.routes.size(), [this](std::size_t i) { check_route(i); });
  }

 private:
  // To show where an error stands and what was meant costs a walk over all names: once the report
  // is full, none is looked for.
  template <typename Check>
  void each(std::size_t count, Check check) {
    for (std::size_t i = 0; i < count && !report_.full(); ++i) check(i);
  }
  template <typename Map, typename Check>
  void each(const Map& map, Check check) {
    for (const auto& entry : map) {
      if (report_.full()) return;
      check(entry);
    }
  }

  void error(const Cursor& at, const std::string& message) { report_.error(at.place(), message); }

  void check_readable(const Cursor& at, const std::string& path) {
    if (path.empty()) return;
    const auto readable = environment_.can_read(path);
    if (readable) return;
    std::string message = readable.error().message;
    const std::size_t found = message.find(path);
    if (found != std::string::npos) message.replace(found, path.size(), at.shown(path));
    error(at, message);
  }

  void check_admin() {
    check_socket_mode();
    const Cursor token = root_["admin"]["token_file"];
    if (!draft_.admin.token_file.empty()) return check_readable(token, draft_.admin.token_file);
    if (is_loopback(draft_.admin.listen)) return;
    error(root_["admin"]["listen"],
          "other machines could reach the admin port at " +
              root_["admin"]["listen"].shown(draft_.admin.listen.to_string()) +
              "; give it a loopback address (127.0.0.1:15000) or a unix socket, or a token_file");
  }

  void check_socket_mode() {
    const Cursor listen = root_["admin"]["listen"];
    const Cursor mode = root_["admin"]["socket_mode"];
    // A path that is wrong was complained about when it was read.
    if (!mode.given() || draft_.admin.listen.is_unix || listen.text().starts_with("unix:")) return;
    error(mode, "admin.socket_mode is for a Unix socket, but admin.listen is " +
                    listen.shown(draft_.admin.listen.to_string()) +
                    "; remove it, or set listen: unix:PATH");
  }

  void check_prometheus() {
    const Cursor at = root_["telemetry"]["prometheus"];
    if (!at["path"].given() || at["listen"].given()) return;
    error(at["path"],
          "prometheus.path needs prometheus.listen: it is the path on that address, and the admin "
          "port has the metrics under /stats/prometheus; give a listen, or remove it");
  }

  void check_identity() {
    if (!draft_.identity) return;
    const Cursor at = root_["identity"];
    const std::pair<const char*, const std::string&> files[] = {{"cert", draft_.identity->cert},
                                                                {"key", draft_.identity->key},
                                                                {"ca", draft_.identity->ca}};
    for (const auto& [key, path] : files) {
      if (!at[key].given()) {
        error(at, std::string("identity: '") + key + "' is missing");
      } else {
        check_readable(at[key], path);
      }
    }
  }

  struct Listening {
    Address address;
    std::string what;
    Cursor at;
  };

  void check_listeners() {
    std::vector<Listening> all;
    all.push_back({draft_.admin.listen, "admin.listen", root_["admin"]["listen"]});
    if (const auto& own = draft_.admin.probes)
      all.push_back({*own, "admin.probes", root_["admin"]["probes"]});
    if (const auto& own = draft_.telemetry.prometheus.listen) {
      all.push_back(
          {*own, "telemetry.prometheus.listen", root_["telemetry"]["prometheus"]["listen"]});
    }
    for (std::size_t i = 0; i < draft_.inbound.size(); ++i) {
      all.push_back({draft_.inbound[i].listen, "inbound[" + std::to_string(i) + "]",
                     root_["inbound"][i]["listen"]});
    }
    for (std::size_t i = 0; i < draft_.outbound.size(); ++i) {
      all.push_back({draft_.outbound[i].listen, "outbound[" + std::to_string(i) + "]",
                     root_["outbound"][i]["listen"]});
    }
    // By port first, so that a long list is not compared with itself.
    std::map<std::pair<int, std::string>, std::vector<const Listening*>> by_port;
    for (const Listening& each : all) {
      const Address& address = each.address;
      if (address.host.empty()) continue;
      auto& others = by_port[{address.port, address.is_unix ? address.host : ""}];
      for (const Listening* other : others) {
        if (!collide(other->address, address)) continue;
        error(each.at, each.what + ": " + each.at.shown(address.to_string()) +
                           " is already used by " + other->what + " (" +
                           other->at.shown(other->address.to_string()) + ")");
        break;
      }
      others.push_back(&each);
    }
  }

  void check_names() {
    std::map<std::string, std::string> listeners;
    for (std::size_t i = 0; i < draft_.inbound.size(); ++i) {
      check_name(listeners, root_["inbound"][i]["name"], draft_.inbound[i].name,
                 "inbound[" + std::to_string(i) + "]");
    }
    for (std::size_t i = 0; i < draft_.outbound.size(); ++i) {
      check_name(listeners, root_["outbound"][i]["name"], draft_.outbound[i].name,
                 "outbound[" + std::to_string(i) + "]");
    }
    std::map<std::string, std::string> routes;
    for (std::size_t i = 0; i < draft_.routes.size(); ++i) {
      check_name(routes, root_["routes"][i]["name"], draft_.routes[i].name,
                 "routes[" + std::to_string(i) + "]");
    }
  }
  void check_name(std::map<std::string, std::string>& taken, const Cursor& at,
                  const std::string& name, const std::string& what) {
    const auto [first, fresh] = taken.emplace(name, what);
    if (!fresh && at.given()) {
      error(at,
            what + ": the name " + quoted(at.shown(name)) + " is already used by " + first->second);
    }
  }

  // Without a name of its own it is called by its address.
  static std::string name_of_listener(const Cursor& at, const std::string& name) {
    return at[at["name"].given() ? "name" : "listen"].shown(name);
  }

  void check_inbound(std::size_t index) {
    const Inbound& inbound = draft_.inbound[index];
    const Cursor at = root_["inbound"][index];
    const std::string what = "inbound " + quoted(name_of_listener(at, inbound.name));
    if (inbound.mtls != Mtls::disabled && !draft_.identity) {
      const char* why = at["mtls"].given() ? "" : " (mtls: strict is the default)";
      error(at["mtls"], what + " needs mTLS" + why +
                            ", but there is no identity; give 'identity: {cert, key, ca}', or set "
                            "'mtls: disabled' here");
    }
    if (!inbound.app.host.empty() && inbound.app == inbound.listen) {
      error(at["app"], what + " would call itself: app and listen are the same address");
    }
    if (inbound.protocol == Protocol::http_or_tcp) return check_http_or_tcp(inbound, at);
    if (inbound.protocol != Protocol::tcp) return;
    check_unread_by_tcp(at["limits"], "limits.", {"body", "body_rate"});
    check_unread_by_tcp(at["breaker"], "breaker.", {"pending", "requests"});
    check_unread_by_tcp(at, "", {"paths", "trusted_proxies", "upgrades", "http2_ping"});
  }

  // Keys that only HTTP reads; `why` is what makes the bytes opaque.
  void check_unread_by_tcp(const Cursor& at, const std::string& prefix,
                           std::initializer_list<const char*> keys,
                           const std::string& why = "with protocol: tcp") {
    for (const char* key : keys) {
      if (at[key].given()) error(at[key], prefix + key + " has no effect " + why + "; remove it");
    }
  }

  void check_http_or_tcp(const Inbound& inbound, const Cursor& at) {
    if (inbound.limits.body) {
      error(at["limits"]["body"],
            "limits.body cannot be enforced if protocol includes tcp: what does not look like HTTP "
            "would bypass it");
    }
    if (inbound.limits.body_rate) {
      error(at["limits"]["body_rate"],
            "limits.body_rate cannot be enforced if protocol includes tcp: what does not look like "
            "HTTP would bypass it");
    }
    std::string who = "any caller";
    if (inbound.mtls == Mtls::strict) who = "any caller with a certificate";
    if (inbound.mtls == Mtls::permissive) who = "any caller (with or without a certificate)";
    report_.warning(
        at["protocol"].place(),
        "inbound " + quoted(name_of_listener(at, inbound.name)) +
            ": bytes that do not look like HTTP reach the app unchecked, so " + who +
            " can send it a request with forged identity headers (x-forwarded-client-cert, "
            "x-forwarded-for); the app must not trust them. Two listeners, one with protocol: http "
            "and one with protocol: tcp, avoid this");
  }

  void check_outbound(std::size_t index) {
    const Outbound& outbound = draft_.outbound[index];
    const Cursor at = root_["outbound"][index];
    const std::string what = "outbound " + quoted(name_of_listener(at, outbound.name));
    const bool service = at["service"].given();
    const bool by_host = at["route_by"].given();
    if (service && by_host) {
      error(at["route_by"], what + ": give service or route_by, not both");
    } else if (!service && !by_host) {
      error(at, what +
                    " has no destination; give 'service: NAME' or "
                    "'route_by: host'");
    }
    if (service) check_service_name(at["service"], outbound.service);
    const auto called = draft_.services.find(outbound.service);
    if (called != draft_.services.end() && called->second.protocol == Protocol::tcp) {
      return check_unread_by_tcp(
          at, "", {"paths", "upgrades", "http2_ping"},
          "here: service " + quoted(at["service"].shown(outbound.service)) + " uses protocol: tcp");
    }
    if (outbound.paths == Paths::as_is) warn_of_raw_paths(outbound, at);
  }

  void warn_of_raw_paths(const Outbound& outbound, const Cursor& at) {
    const auto reached = [&outbound](const Route& route) {
      return route.enabled && route.match.path &&
             (outbound.route_by_host || route.match.service.empty() ||
              route.match.service == outbound.service);
    };
    const auto route = std::find_if(draft_.routes.begin(), draft_.routes.end(), reached);
    if (route == draft_.routes.end()) return;
    const Cursor found = root_["routes"][static_cast<std::size_t>(route - draft_.routes.begin())];
    report_.warning(at["paths"].place(), "outbound " + quoted(name_of_listener(at, outbound.name)) +
                                             ": route " + quoted(found["name"].shown(route->name)) +
                                             " matches paths, and with paths: as_is another "
                                             "spelling of a path (//a, /./a, /%61) bypasses it");
  }

  // Empty names were complained about when they were read.
  bool check_service_name(const Cursor& at, const std::string& name) {
    if (name.empty() || draft_.services.contains(name)) return true;
    error(at, "there is no service " + quoted(at.shown(name)) +
                  did_you_mean(name, names_of(draft_.services)));
    return false;
  }

  void check_registry(const std::string& name, const Registry& registry) {
    const Cursor at = root_["registries"];
    // What is said about a type that is missing or not supported is enough.
    if (at[name]["type"].text() != "file") return;
    if (!at[name]["path"].given()) {
      error(at.key(name), "registry " + quoted(name) + " of type file needs a 'path'");
      return;
    }
    check_readable(at[name]["path"], registry.path);
  }

  void check_service(const std::string& name, const Service& service) {
    const Cursor services = root_["services"];
    const auto at = [&] { return services[name]; };
    if (service.endpoints.empty() && service.registries.empty()) {
      error(services.key(name),
            "service " + quoted(name) + " has neither endpoints nor a registry");
    }
    for (std::size_t i = 0; i < service.registries.size(); ++i) {
      const std::string& registry = service.registries[i];
      if (registry.empty() || draft_.registries.contains(registry)) continue;
      error(at()["registry"][i], "there is no registry " +
                                     quoted(at()["registry"][i].shown(registry)) +
                                     did_you_mean(registry, names_of(draft_.registries)));
    }
    check_endpoints(name, service);
    check_subsets(name, service);
    if (service.mtls == Mtls::disabled && !service.expect_ids.empty()) {
      error(at()["expect_ids"], "expect_ids has no effect with mtls: disabled");
    }
    if (service.protocol == Protocol::tcp) {
      if (service.wire != Wire::auto_) check_unread_by_tcp(at(), "", {"wire"});
      check_unread_by_tcp(at(), "", {"timeout", "retry", "http2_ping"});
      check_unread_by_tcp(at()["breaker"], "breaker.", {"pending", "requests"});
    }
    if (service.protocol == Protocol::grpc && service.wire == Wire::http1) {
      error(at()["wire"], "gRPC needs HTTP/2; wire: http1 cannot carry it");
    }
    check_retry([&] { return at()["retry"]; }, service.retry);
  }

  void check_endpoints(const std::string& name, const Service& service) {
    std::set<std::string> seen;
    for (std::size_t i = 0; i < service.endpoints.size(); ++i) {
      const Address& address = service.endpoints[i].address;
      if (address.host.empty() || seen.insert(address.to_string()).second) continue;
      const Cursor at = root_["services"][name]["endpoints"][i];
      const Cursor written = at["address"].given() ? at["address"] : at;
      error(at, "endpoint " + written.shown(address.to_string()) + " of service " + quoted(name) +
                    " is given twice");
    }
  }

  // With a registry the endpoints are not known here.
  void check_subsets(const std::string& name, const Service& service) {
    if (!service.registries.empty()) return;
    for (const auto& [subset, labels] : service.subsets) {
      const auto matches = [&labels = labels](const Endpoint& endpoint) {
        return std::includes(endpoint.labels.begin(), endpoint.labels.end(), labels.begin(),
                             labels.end());
      };
      if (std::any_of(service.endpoints.begin(), service.endpoints.end(), matches)) continue;
      error(
          root_["services"][name]["subsets"].key(subset),
          "no endpoint of service " + quoted(name) + " has the labels of subset " + quoted(subset));
    }
  }

  template <typename Where>
  void check_retry(Where at, const Retry& retry) {
    const bool by_header = std::find(retry.retry_on.begin(), retry.retry_on.end(),
                                     RetryOn::retriable_headers) != retry.retry_on.end();
    if (by_header && retry.headers.empty()) {
      error(at()["retry_on"], "retriable_headers also needs 'headers: [NAME]'");
    }
  }

  // Said once, however many services there are.
  void check_service_identity() {
    if (draft_.identity) return;
    std::vector<std::string> wanting;
    for (const auto& [name, service] : draft_.services) {
      if (service.mtls != Mtls::disabled) wanting.push_back(name);
    }
    if (wanting.empty()) return;
    const Cursor services = root_["services"];
    const Cursor at = services[wanting[0]]["mtls"].given() ? services[wanting[0]]["mtls"]
                                                           : services.key(wanting[0]);
    const std::size_t others = wanting.size() - 1;
    error(at,
          "service " + quoted(wanting[0]) +
              (others == 0 ? " is" : " and " + std::to_string(others) + " more are") +
              " reached over mTLS (mtls: strict is the default), but there is no identity; give "
              "'identity: {cert, key, ca}', or set 'mtls: disabled' there or in defaults");
  }

  void check_route(std::size_t index) {
    const Route& route = draft_.routes[index];
    const Cursor at = root_["routes"][index];
    const std::string what = "route " + quoted(at["name"].shown(route.name));
    if (check_service_name(at["match"]["service"], route.match.service)) {
      check_speaks_http(at["match"]["service"], route.match.service);
    }
    for (const Destination& to : route.destinations) check_destination(at, to);
    if (route.retry) check_retry([&] { return at["retry"]; }, *route.retry);
    if (route.redirect && route.redirect->host.empty() && route.redirect->path.empty() &&
        route.redirect->scheme.empty()) {
      error(at["redirect"], what + ": a redirect needs a scheme, host or path to go to");
    }
    if (route.rewrite && route.rewrite->host.empty() && route.rewrite->prefix_from.empty() &&
        !at["rewrite"]["prefix"].given()) {
      error(at["rewrite"], what + ": a rewrite needs a prefix or host");
    }
    if (!route.redirect && !route.answer) return;
    const char* action = route.redirect ? "redirect" : "answer";
    for (const char* key : {"rewrite", "request_headers", "timeout", "retry"}) {
      if (at[key].given()) {
        error(at.key(key), what + ": " + key + " has no effect with " + action);
      }
    }
  }

  void check_speaks_http(const Cursor& at, const std::string& name) {
    const auto service = draft_.services.find(name);
    if (service == draft_.services.end() || service->second.protocol != Protocol::tcp) return;
    error(at, "service " + quoted(at.shown(name)) +
                  " uses protocol: tcp; routes are for HTTP and gRPC");
  }

  void check_destination(const Cursor& route, const Destination& to) {
    const std::string text = to.subset.empty() ? to.service : to.service + "/" + to.subset;
    const Cursor at = route["to"].given()      ? route["to"]
                      : route["split"].given() ? route["split"].key(text)
                                               : route["match"]["service"];
    if (!check_service_name(at, to.service)) return;
    check_speaks_http(at, to.service);
    const auto service = draft_.services.find(to.service);
    if (to.subset.empty() || service == draft_.services.end()) return;
    const auto& subsets = service->second.subsets;
    if (subsets.contains(to.subset)) return;
    // One value holds both names.
    const std::string pair = quoted(at.shown(text));
    const bool hidden = pair != quoted(text);
    error(at, (hidden ? "the service in " + pair + " has no such subset"
                      : "service " + quoted(to.service) + " has no subset " + quoted(to.subset)) +
                  did_you_mean(to.subset, names_of(subsets)));
  }

  const Draft& draft_;
  const Cursor root_;
  const Environment& environment_;
  Report& report_;
};

}  // namespace

void validate(const Draft& draft, const YamlNode& root, const Environment& environment,
              Report& report) {
  Validator(draft, root, environment, report).run();
}

}  // namespace outrigger::config
