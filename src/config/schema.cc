#include "config/schema.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "config/schema_values.h"

namespace outrigger::config {
namespace {

const Record<Locality>& locality_record() {
  static const Record<Locality> table(
      "Locality", "Where something runs: the labels that decide what is near.", "",
      {{"cloud", &Locality::cloud, text("name"), "The cloud provider, for instance aws."},
       {"region", &Locality::region, text("name"), "The region in the cloud."},
       {"zone", &Locality::zone, text("name"), "The zone in the region."}});
  return table;
}

Value<std::map<std::string, std::string>> labels() {
  return map_of<std::string>("label", check_line, text());
}

const Record<Node>& node_record() {
  static const Record<Node> table(
      "Node", "What this process stands beside.", "service",
      {{"service", &Node::service, service_name(), "The service of this node."},
       {"id", &Node::id, text(), "What tells this instance from others, in logs and metrics."},
       {"locality", &Node::locality, record(locality_record()), "Where this node runs."},
       {"labels", &Node::labels, labels(), "Labels of this node, such as its version."}});
  return table;
}

const Record<Admin>& admin_record() {
  static const Record<Admin> table(
      "Admin", "The port for operators.", "listen",
      {{"listen", &Admin::listen, listen_address(),
        "Where the admin pages are: a loopback address or a unix socket."},
       {"probes", &Admin::probes, optional(listen_address()),
        "A second address that answers health probes only.", Flag::later},
       {"token_file", &Admin::token_file, file_path(),
        "A file with the token that callers must show.", Flag::later}});
  return table;
}

const Record<Runtime>& runtime_record() {
  static const Record<Runtime> table(
      "Runtime", "Threads and limits of the process.", "",
      {{"workers", &Runtime::workers, worker_count(),
        "Worker threads; auto follows the CPU quota, from 1 to 4."},
       {"drain", &Runtime::drain, duration(Millis(0)),
        "How long a stopping process lets exchanges end."},
       {"memory", memory_budget(), "The memory budget: a share of the machine's, or a size."},
       {"connections", &Runtime::connections, optional(count<int>(1, 10'000'000)),
        "The most connections; without it the limit of open files less 512."}});
  return table;
}

const Record<Identity>& identity_record() {
  using Provider = Identity::Provider;
  static const Record<Identity> table(
      "Identity",
      "The certificate this node shows, and whom it trusts. Watched: a rotation drops no "
      "connection.",
      "",
      {{"provider", &Identity::provider,
        choice<Provider>({{"file", Provider::file},
                          {"spiffe", Provider::spiffe, Flag::later},
                          {"dev", Provider::dev, Flag::later}}),
        "Where the identity comes from."},
       {"trust_domain", &Identity::trust_domain, text("trust domain"),
        "The trust domain; without it the one in the certificate."},
       {"cert", &Identity::cert, file_path(), "The certificate chain, PEM."},
       {"key", &Identity::key, file_path(), "Its private key, PEM."},
       {"ca", &Identity::ca, file_path(), "The certificates that peers must chain to, PEM."},
       {"crl", &Identity::crl, file_path(), "Revoked certificates, PEM.", Flag::later},
       {"warn_before", &Identity::warn_before, duration(Millis(0)),
        "How long before its end a certificate is warned about."}});
  return table;
}

const Record<InboundLimits>& limits_record() {
  static const Record<InboundLimits> table(
      "Limits", "What one inbound listener lets in.", "",
      {{"body", &InboundLimits::body, optional(size()),
        "The largest request body; larger ones are answered 413. Without it there is no limit."},
       {"concurrency", "Requests in progress, found by measuring."},
       {"rate", "Requests a second, in total and for each identity."}});
  return table;
}

Value<Protocol> inbound_protocol() {
  return choice<Protocol>({{"auto", Protocol::auto_},
                           {"http", Protocol::http},
                           {"grpc", Protocol::grpc},
                           {"tcp", Protocol::tcp}});
}

const Record<Inbound>& inbound_record() {
  static const Record<Inbound> table(
      "Inbound", "A listener that others call, and the app behind it.", "",
      {{"name", &Inbound::name, name(), "Its name in logs and metrics; without it its address."},
       {"listen", &Inbound::listen, listen_address(), "Where callers connect.", Flag::required},
       {"app", &Inbound::app, dial_address(), "Where the app listens.", Flag::required},
       {"protocol", &Inbound::protocol, inbound_protocol(),
        "What the app speaks; auto looks at the first bytes."},
       {"mtls", &Inbound::mtls,
        choice<Mtls>({{"strict", Mtls::strict},
                      {"permissive", Mtls::permissive},
                      {"disabled", Mtls::disabled}}),
        "Whether callers must show a certificate; permissive takes plain text too, for migration."},
       {"limits", &Inbound::limits, record(limits_record()), "What is let in."},
       {"trusted_proxies", &Inbound::trusted_proxies, list(cidr()),
        "Addresses and networks whose x-forwarded-* headers are believed."},
       {"register", "Registries this service is announced in."},
       {"health", "A health check of the app, which decides readiness and registration."},
       {"proxy_protocol", "Accepts the PROXY protocol from these addresses."},
       {"authorize", "Rules for who may call what."}});
  return table;
}

// The only way to name the service of an outbound listener other than giving it.
Value<bool> route_by() {
  Shape shape{.kind = Shape::Kind::choice, .noun = "word"};
  shape.choices = {{"host"}};
  return scalar<bool>(
      shape,
      [choices = shape.choices](const std::string& given) -> Result<bool> {
        if (given == "host") return true;
        return Error{not_a_choice(given, choices)};
      },
      nullptr);
}

const Record<Outbound>& outbound_record() {
  static const Record<Outbound> table(
      "Outbound", "A listener that the local app calls to reach other services.", "",
      {{"name", &Outbound::name, name(), "Its name in logs and metrics; without it its address."},
       {"listen", &Outbound::listen, listen_address(), "Where the app connects.", Flag::required},
       {"service", &Outbound::service, service_name(), "The one service behind this listener."},
       {"route_by", &Outbound::route_by_host, route_by(),
        "host: the Host or :authority header names the service."},
       {"transparent", "Takes intercepted connections."},
       {"unknown", "What happens to intercepted connections that no service claims."}});
  return table;
}

const Record<Registry>& registry_record() {
  using Type = Registry::Type;
  static const Record<Registry> table(
      "Registry", "A source of endpoints.", "",
      {{"type", &Registry::type,
        choice<Type>({{"file", Type::file},
                      {"dns", Type::dns, Flag::later},
                      {"consul", Type::consul, Flag::later},
                      {"etcd", Type::etcd, Flag::later},
                      {"zookeeper", Type::zookeeper, Flag::later},
                      {"kubernetes", Type::kubernetes, Flag::later},
                      {"nacos", Type::nacos, Flag::later},
                      {"eureka", Type::eureka, Flag::later}}),
        "What it is.", Flag::required},
       {"path", &Registry::path, file_path(),
        "The file of type file: a map of services and their endpoints, watched for changes."}});
  return table;
}

// The other fields of an entry depend on its type: when that is not supported, only that is said.
Value<Draft> registries() {
  Shape shape{.kind = Shape::Kind::map, .noun = "map", .key_noun = "registry"};
  shape.element = std::make_shared<const Shape>(record(registry_record()).shape);
  const auto read = [](Reader& reader, const YamlNode& node, Draft& draft) {
    const Value<std::string> checked_name = name();
    draft.registries.clear();
    if (!reader.map(node, "a map of registries")) return;
    for (const YamlEntry& entry : node.entries) {
      const Reader::Step step(reader, entry.key.text);
      Registry registry;
      checked_name.read(reader, entry.key, registry.name);
      const YamlNode* type = entry.value.find("type");
      const FieldInfo* field = registry_record().info().find("type");
      const auto is_later = [&](const Choice& each) {
        return type != nullptr && type->text == each.name && each.later;
      };
      const auto& choices = field->shape.choices;
      if (std::find_if(choices.begin(), choices.end(), is_later) != choices.end()) {
        reader.not_yet(*type, reader.path() + ".type: " + quoted(type->text));
      } else {
        registry_record().read(reader, entry.value, registry);
      }
      registry.at = position_of(entry.key.place);
      draft.registries[entry.key.text] = std::move(registry);
    }
  };
  return {std::move(shape), read, nullptr};
}

const Record<Discovery>& discovery_record() {
  static const Record<Discovery> table(
      "Discovery", "How services are found by name.", "",
      {{"suffixes", &Discovery::suffixes, list(text("suffix")),
        "Endings that are cut off a host before it names a service."},
       {"cache", &Discovery::cache, file_path(), "A directory where endpoints outlive a restart.",
        Flag::later},
       {"on_demand", "The registry where a host nobody configured is looked up."},
       {"virtual_range", "Virtual addresses for services called over intercepted TCP."}});
  return table;
}

const Record<Retry>& retry_record() {
  static const Record<Retry> table(
      "Retry",
      "When a failed attempt is made again, at another endpoint if there is one. A connection that "
      "could not be opened is tried elsewhere in any case.",
      "max",
      {{"max", &Retry::max, count<int>(0, 10),
        "Further attempts after the first; 0 turns retries off."},
       {"retry_on", retry_conditions(),
        "What is tried again: conditions, statuses (503) and ranges (500-504)."},
       {"headers", &Retry::headers, list(text("header name", check_header_name)),
        "Response headers that ask for a retry, with retry_on: retriable_headers."},
       {"per_try", &Retry::per_try, optional(duration()), "The time one attempt may take."},
       {"budget", &Retry::budget, share(),
        "Retries as a share of the requests of the last 10 s; 3 at once are always allowed."},
       {"backoff", backoff_range(),
        "The pause before a retry: its base and its cap, with full jitter."},
       {"body_max", &Retry::body_max, size(),
        "The part of a request's body that is kept to send it again; larger requests are not "
        "retried."}});
  return table;
}

const Record<Outlier>& outlier_record() {
  static const Record<Outlier> table(
      "Outlier", "When a failing endpoint is left out for a while.", "",
      {{"consecutive_5xx", &Outlier::consecutive_5xx, count<int>(0, 1000),
        "Server errors in a row; 0 turns this off."},
       {"eject", &Outlier::eject, duration(), "How long, times the number of ejections."},
       {"max_ejected", &Outlier::max_ejected, share(),
        "The largest share of endpoints left out."}});
  return table;
}

const Record<Breaker>& breaker_record() {
  static const Record<Breaker> table(
      "Breaker",
      "Limits of what is in progress towards one service; beyond them calls fail at once.", "",
      {{"connections", &Breaker::connections, count<std::uint32_t>(1, 1'000'000),
        "Open connections."},
       {"pending", &Breaker::pending, count<std::uint32_t>(0, 1'000'000),
        "Requests that wait for a connection."},
       {"requests", &Breaker::requests, count<std::uint32_t>(1, 1'000'000),
        "Requests in progress."},
       {"retries", &Breaker::retries, count<std::uint32_t>(0, 1'000'000), "Retries in progress.",
        Flag::later}});
  return table;
}

const Record<LoadBalancer>& balancer_record() {
  using Policy = LoadBalancer::Policy;
  using Mode = LoadBalancer::LocalityMode;
  static const Record<LoadBalancer> table(
      "Load balancer", "How an endpoint is picked.", "policy",
      {{"policy", &LoadBalancer::policy,
        choice<Policy>({{"peak_ewma", Policy::peak_ewma},
                        {"least_request", Policy::least_request},
                        {"round_robin", Policy::round_robin},
                        {"random", Policy::random},
                        {"ring_hash", Policy::ring_hash, Flag::later},
                        {"maglev", Policy::maglev, Flag::later}}),
        "The algorithm. peak_ewma follows latency and load."},
       {"locality", &LoadBalancer::locality,
        choice<Mode>({{"spill", Mode::spill}, {"weighted", Mode::weighted}, {"none", Mode::none}}),
        "How near endpoints are preferred.", Flag::later},
       {"slow_start", &LoadBalancer::slow_start, duration(Millis(0)),
        "How long a new endpoint takes to its full share.", Flag::later},
       {"hash", &LoadBalancer::hash, text(),
        "What ring_hash and maglev hash, for instance header:x-user-id.", Flag::later},
       {"plugin", &LoadBalancer::plugin, file_path(), "A shared object that brings the policy.",
        Flag::later}});
  return table;
}

const Record<HealthCheck>& health_record() {
  using Kind = HealthCheck::Kind;
  static const Record<HealthCheck> table(
      "Health check", "Asks every endpoint whether it is well. One of http, grpc and tcp.", "",
      {{"http", health_target(Kind::http, url_path()), "GET this path; 2xx is well."},
       {"grpc", health_target(Kind::grpc, text("service name")),
        "Ask grpc.health.v1 for this service."},
       {"tcp", health_tcp(), "Open a connection."},
       {"interval", &HealthCheck::interval, duration(), "The time between two checks."},
       {"timeout", &HealthCheck::timeout, duration(), "The time a check may take."},
       {"unhealthy", &HealthCheck::unhealthy, count<int>(1, 100),
        "Failures in a row until an endpoint is left out."},
       {"healthy", &HealthCheck::healthy, count<int>(1, 100),
        "Successes in a row until it is taken back."}});
  return table;
}

// What `defaults` may set for every service.
std::vector<Field<Service>> shared_fields() {
  return {
      {"protocol", &Service::protocol,
       choice<Protocol>(
           {{"http", Protocol::http}, {"grpc", Protocol::grpc}, {"tcp", Protocol::tcp}}),
       "What callers speak."},
      {"wire", &Service::wire,
       choice<Wire>({{"auto", Wire::auto_}, {"http1", Wire::http1}, {"http2", Wire::http2}}),
       "What is spoken to the endpoint; auto is HTTP/2 where both ends of an mTLS connection "
       "agree, else as the caller."},
      {"mtls", &Service::mtls,
       choice<Mtls>({{"strict", Mtls::strict}, {"disabled", Mtls::disabled}}),
       "Whether endpoints are reached over mTLS. There is no fall-back to plain text."},
      {"timeout", &Service::timeout, duration(),
       "From the whole request to the headers of its answer, retries included."},
      {"connect_timeout", &Service::connect_timeout, duration(),
       "The time to open a connection, TLS included."},
      {"idle_timeout", &Service::idle_timeout, duration(), "The time a stream may stand still."},
      {"timeout_total", "The time from a request to the end of its answer."},
      {"retry", &Service::retry, record(retry_record()), "When a failed attempt is made again."},
      {"breaker", &Service::breaker, record(breaker_record()), "Limits of what is in progress."},
      {"load_balancer", &Service::load_balancer, record(balancer_record()),
       "How an endpoint is picked."},
      {"outlier", &Service::outlier, record(outlier_record()),
       "When a failing endpoint is left out.", Flag::later},
      {"health", &Service::health, record(health_record()), "Active health checks.", Flag::later},
  };
}

const Record<Service>& defaults_record() {
  static const Record<Service> table(
      "Defaults", "What holds for every service unless it says otherwise.", "", shared_fields());
  return table;
}

const Record<Service>& service_record() {
  static const Record<Service> table(
      "Service", "Something that can be called: endpoints, or registries that know them.", "", [] {
        std::vector<Field<Service>> fields{
            {"endpoints", &Service::endpoints, list(record(endpoint_record())),
             "Addresses of its instances."},
            {"registry", &Service::registries, list(name()),
             "Registries whose endpoints are merged."},
            {"subsets", &Service::subsets,
             map_of<std::map<std::string, std::string>>("subset", check_service_name, labels()),
             "Named parts of its endpoints, each by the labels they must have."},
            {"expect_ids", &Service::expect_ids, list(spiffe_id()),
             "The SPIFFE IDs its endpoints may show; without them an ID that ends in the service's "
             "name."},
            {"addresses", "Virtual addresses for intercepted TCP."},
            {"proxy_protocol", "Sends the PROXY protocol."}};
        for (const Field<Service>& field : shared_fields()) fields.push_back(field);
        return fields;
      }());
  return table;
}

// Every service starts from what `defaults` says.
Value<Draft> services() {
  Shape shape{.kind = Shape::Kind::map, .noun = "map", .key_noun = "service"};
  shape.element = std::make_shared<const Shape>(record(service_record()).shape);
  const auto read = [](Reader& reader, const YamlNode& node, Draft& draft) {
    const Value<std::string> checked_name = service_name();
    draft.services.clear();
    if (!reader.map(node, "a map of services")) return;
    for (const YamlEntry& entry : node.entries) {
      const Reader::Step step(reader, entry.key.text);
      Service service = draft.defaults;
      checked_name.read(reader, entry.key, service.name);
      service_record().read(reader, entry.value, service);
      service.at = position_of(entry.key.place);
      draft.services[entry.key.text] = std::move(service);
    }
  };
  return {std::move(shape), read, nullptr};
}

const Record<TextMatch>& text_match_record() {
  using Kind = TextMatch::Kind;
  static const Record<TextMatch> table(
      "Text match", "What a header or query parameter must hold. One of these.", "exact",
      {{"exact", text_match(Kind::exact), "This text."},
       {"prefix", text_match(Kind::prefix), "Text that begins so."},
       {"suffix", text_match(Kind::suffix), "Text that ends so."},
       {"regex", text_match(Kind::regex), "Text that this RE2 expression matches as a whole."},
       {"present", presence(true), "true: it is there, whatever it holds."},
       {"absent", presence(false), "true: it is not there."}});
  return table;
}

const Record<Match>& match_record() {
  static const Record<Match> table(
      "Match", "Which requests a route takes; all that is given must hold.", "service",
      {{"service", &Match::service, service_name(), "The service that is called."},
       {"host", &Match::host, optional(host_pattern()),
        "The host, or '*.example.org' for all below it."},
       {"path", &Match::path, optional(path_pattern()),
        "The path: /exact, /prefix/** for all below /prefix/, or '~ REGEX' (RE2)."},
       {"methods", &Match::methods, list(http_method()), "Any of these methods."},
       {"headers", &Match::headers,
        named_matches("header", check_header_name, record(text_match_record())),
        "What headers must hold."},
       {"query", &Match::query, named_matches("parameter", check_line, record(text_match_record())),
        "What query parameters must hold."}});
  return table;
}

const Record<Rewrite>& rewrite_record() {
  static const Record<Rewrite> prefix(
      "Prefix", "A beginning of the path and what replaces it.", "",
      {{"from", &Rewrite::prefix_from, url_path(), "The beginning to replace.", Flag::required},
       {"to", &Rewrite::prefix_to, url_path(), "What stands there instead.", Flag::required}});
  static const Record<Rewrite> table(
      "Rewrite", "Changes the request before it is sent.", "",
      {{"prefix", record(prefix), "Replaces the beginning of the path."},
       {"host", &Rewrite::host, text("host"), "Replaces the Host or :authority header."}});
  return table;
}

const Record<Redirect>& redirect_record() {
  static const Record<Redirect> table(
      "Redirect", "Answers with another address. What is not given stays as it was called.", "path",
      {{"status", &Redirect::status, redirect_status(), "The status of the answer."},
       {"scheme", &Redirect::scheme, one_of({"http", "https"}), "The scheme to go to."},
       {"host", &Redirect::host, text("host"), "The host to go to."},
       {"path", &Redirect::path, url_path(), "The path to go to."}});
  return table;
}

const Record<FixedAnswer>& answer_record() {
  static const Record<FixedAnswer> table(
      "Answer", "Answers without calling anybody.", "status",
      {{"status", &FixedAnswer::status, count<int>(200, 599), "The status of the answer."},
       {"body", &FixedAnswer::body, answer_body(), "Its body."},
       {"content_type", &FixedAnswer::content_type, header_value(), "Its content-type."}});
  return table;
}

const Record<HeaderEdits>& edits_record() {
  static const Record<HeaderEdits> table(
      "Header edits", "Changes headers on their way: removed first, then set, then added.", "",
      {{"add", &HeaderEdits::add, header_values(), "Adds a value beside those that are there."},
       {"set", &HeaderEdits::set, header_values(), "Replaces all values."},
       {"remove", &HeaderEdits::remove, list(editable_header()), "Removes all values."}});
  return table;
}

// A route while it is read: its retry builds on that of the service it goes to.
struct RouteDraft : Route {
  const Draft* draft = nullptr;

  Retry service_retry() const {
    const std::string& to = destinations.empty() ? match.service : destinations[0].service;
    const auto found = draft->services.find(to);
    return found == draft->services.end() ? draft->defaults.retry : found->second.retry;
  }
};

Value<RouteDraft> route_retry() {
  return {record(retry_record()).shape,
          [](Reader& reader, const YamlNode& node, RouteDraft& out) {
            out.retry = out.service_retry();
            retry_record().read(reader, node, *out.retry);
          },
          nullptr};
}

const Record<RouteDraft>& route_record() {
  static const Record<RouteDraft> table(
      "Route", "What happens to some of the requests; the first route that matches is taken.", "",
      {{"name", &Route::name, name(), "Its name in logs and metrics; without it its number."},
       {"match", &Route::match, record(match_record()), "Which requests."},
       {"to", &Route::destinations, destination(),
        "The service, or service/subset, they go to; without any destination the one that is "
        "matched."},
       {"split", &Route::destinations, weighted_destinations(),
        "Several destinations, with percentages that add up to 100%."},
       {"redirect", &Route::redirect, optional(record(redirect_record())),
        "Answers with another address."},
       {"answer", &Route::answer, optional(record(answer_record())),
        "Answers without calling anybody."},
       {"rewrite", &Route::rewrite, optional(record(rewrite_record())),
        "Changes the path or host."},
       {"request_headers", &Route::request_headers, record(edits_record()),
        "Changes headers of the request."},
       {"response_headers", &Route::response_headers, record(edits_record()),
        "Changes headers of the answer."},
       {"timeout", &Route::timeout, optional(duration()), "Instead of the service's."},
       {"retry", route_retry(), "On top of the service's."},
       {"enabled", &Route::enabled, boolean(), "false takes the route out."},
       {"mirror", "Sends a copy elsewhere."},
       {"hedge", "A second attempt before the first has failed."},
       {"rollout", "Moves traffic to a destination step by step."},
       {"fault", "Delays or fails requests on purpose."},
       {"timeout_total", "The time from a request to the end of its answer."}});
  return table;
}

// A route does one thing with a request; without any it goes to the service it matches.
void settle_destination(Reader& reader, const YamlNode& node, RouteDraft& route) {
  std::vector<const YamlEntry*> actions;
  for (const char* key : {"to", "split", "redirect", "answer"}) {
    if (const YamlEntry* entry = node.find_entry(key)) actions.push_back(entry);
  }
  for (std::size_t i = 1; i < actions.size(); ++i) {
    reader.error(actions[i]->key, "'" + actions[i]->key.text + "' beside '" + actions[0]->key.text +
                                      "'; a route has one of to, split, redirect and answer");
  }
  const bool elsewhere = node.find("rollout") != nullptr;
  if (!actions.empty() || elsewhere || !node.is_map()) return;
  if (route.match.service.empty()) {
    reader.error(node, "this route goes nowhere; give it to, split, redirect or answer");
    return;
  }
  route.destinations = {Destination{route.match.service, ""}};
}

Value<Draft> routes() {
  Shape shape{.kind = Shape::Kind::list, .noun = "list"};
  shape.element = std::make_shared<const Shape>(record(route_record()).shape);
  const auto read = [](Reader& reader, const YamlNode& node, Draft& draft) {
    draft.routes.clear();
    if (!reader.list(node, "routes")) return;
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const Reader::Step step(reader, i);
      RouteDraft route;
      route.draft = &draft;
      route_record().read(reader, node.items[i], route);
      settle_destination(reader, node.items[i], route);
      draft.routes.push_back(std::move(route));
    }
  };
  return {std::move(shape), read, nullptr};
}

const Record<AccessLog>& access_log_record() {
  using Format = AccessLog::Format;
  static const Record<AccessLog> table(
      "Access log", "One line for each exchange.", "path",
      {{"format", &AccessLog::format,
        choice<Format>(
            {{"json", Format::json}, {"text", Format::text}, {"logfmt", Format::logfmt}}),
        "How a line is written."},
       {"path", &AccessLog::path, log_target(), "stdout, stderr, none, or a file."},
       {"sample", &AccessLog::sample, share(), "The share of exchanges that is logged."},
       {"always", always_logged(), "What is logged whatever the sample: errors, and slow>500ms."}});
  return table;
}

const Record<Prometheus>& prometheus_record() {
  static const Record<Prometheus> table(
      "Prometheus", "Metrics to be scraped.", "listen",
      {{"listen", &Prometheus::listen, optional(listen_address()),
        "An address of its own for scrapes; the admin port has them in any case."},
       {"path", &Prometheus::path, url_path(), "The path there."},
       {"max_series", &Prometheus::max_series, count<std::uint32_t>(100, 10'000'000),
        "The most series; what would be more is counted and left out."},
       {"per_endpoint", &Prometheus::per_endpoint, boolean(), "Series for each endpoint too."},
       {"compat", "The names of other meshes' metrics, too."}});
  return table;
}

std::vector<std::string> log_levels() {
  return {"trace", "debug", "info", "warn", "error", "off"};
}

Result<std::string> check_room(const std::string& given) {
  std::vector<Choice> rooms;
  for (const char* room : {"base", "config", "net", "tls", "http", "policy", "upstream",
                           "discovery", "telemetry", "tcp", "proxy", "admin", "server", "cli"}) {
    rooms.push_back({room});
    if (given == room) return given;
  }
  return Error{not_a_choice(given, rooms)};
}

const Record<Log>& log_record() {
  static const Record<Log> table(
      "Log", "What the process tells about itself, on stderr.", "level",
      {{"level", &Log::level, one_of(log_levels()), "What is told."},
       {"format", &Log::format, one_of({"text", "json"}), "How it is written."},
       {"levels", &Log::levels, map_of<std::string>("room", check_room, one_of(log_levels())),
        "Levels of single rooms of the program, for instance tls: debug."}});
  return table;
}

const Record<Telemetry>& telemetry_record() {
  static const Record<Telemetry> table(
      "Telemetry", "What happened, told outside.", "",
      {{"access_log", &Telemetry::access_log, record(access_log_record()),
        "One line for each exchange."},
       {"prometheus", &Telemetry::prometheus, record(prometheus_record()),
        "Metrics to be scraped."},
       {"log", &Telemetry::log, record(log_record()), "What the process tells about itself."},
       {"tracing", "Spans, exported by OTLP."}});
  return table;
}

// Files are put together before anything is read; the field is here to be known.
Value<Draft> include() {
  Shape shape{.kind = Shape::Kind::list, .noun = "list"};
  shape.element =
      std::make_shared<const Shape>(Shape{.kind = Shape::Kind::text, .noun = "path or pattern"});
  return {std::move(shape), nullptr, nullptr};
}

}  // namespace

const Record<Endpoint>& endpoint_record() {
  static const Record<Endpoint> table(
      "Endpoint", "One instance of a service.", "address",
      {{"address", &Endpoint::address, dial_address(), "Where it is.", Flag::required},
       {"weight", &Endpoint::weight, count<std::uint32_t>(1, 1'000'000),
        "Its share relative to others."},
       {"cloud", inside(&Endpoint::locality, &Locality::cloud, text("name")),
        "The cloud it runs in."},
       {"region", inside(&Endpoint::locality, &Locality::region, text("name")),
        "The region it runs in."},
       {"zone", inside(&Endpoint::locality, &Locality::zone, text("name")), "The zone it runs in."},
       {"labels", &Endpoint::labels, labels(), "Labels, which subsets select by."},
       {"id", &Endpoint::id, text(), "What its registry calls it; without it its address."}});
  return table;
}

const Record<Draft>& root_record() {
  static const Record<Draft> table(
      "Configuration", "The whole file.", "",
      {{"version", &Config::version, language_version(), "The version of this language: 1.",
        Flag::required},
       {"include", include(),
        "More files, by name or pattern, relative to this one. Lists append, maps merge."},
       {"node", &Config::node, record(node_record()), "What this process stands beside."},
       {"admin", &Config::admin, record(admin_record()), "The port for operators."},
       {"runtime", &Config::runtime, record(runtime_record()),
        "Threads and limits of the process."},
       {"identity", &Config::identity, optional(record(identity_record())),
        "The certificate this node shows, and whom it trusts."},
       {"inbound", &Config::inbound, list(record(inbound_record())), "Listeners that others call."},
       {"outbound", &Config::outbound, list(record(outbound_record())),
        "Listeners that the local app calls."},
       {"registries", registries(), "Sources of endpoints, by name."},
       {"discovery", &Config::discovery, record(discovery_record()),
        "How services are found by name."},
       {"defaults", &Draft::defaults, record(defaults_record()),
        "What holds for every service unless it says otherwise."},
       {"services", services(), "What can be called, by name."},
       {"routes", routes(), "What happens to requests on their way out; a service needs none."},
       {"telemetry", &Config::telemetry, record(telemetry_record()),
        "What happened, told outside."},
       {"jwt", "Issuers of tokens that callers may show."},
       {"gateway", "Listeners that pass other clouds' TLS on by its server name."},
       {"dns", "A resolver that answers the names of services."},
       {"clouds", "Clouds that are reached through gateways."},
       {"alerts", "Rules that watch this sidecar's own signals."}});
  return table;
}

}  // namespace outrigger::config
