#include <utility>
#include <vector>

#include "config/schema_tables.h"
#include "config/schema_values.h"

namespace outrigger::config {
namespace {

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

const Record<LoadBalancer>& balancer_record() {
  using Policy = LoadBalancer::Policy;
  using Mode = LoadBalancer::LocalityMode;
  static const Record<LoadBalancer> table(
      "Load balancer", "How an endpoint is chosen.", "policy",
      {{"policy", &LoadBalancer::policy,
        choice<Policy>({{"peak_ewma", Policy::peak_ewma},
                        {"least_request", Policy::least_request},
                        {"round_robin", Policy::round_robin},
                        {"random", Policy::random},
                        {"ring_hash", Policy::ring_hash, Flag::later},
                        {"maglev", Policy::maglev, Flag::later}}),
        "The algorithm. peak_ewma takes latency and load into account."},
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
      "Health check", "Active health checks of every endpoint: one of http, grpc and tcp.", "",
      {{"http", health_target(Kind::http, url_path()), "GET this path; 2xx is healthy."},
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

}  // namespace

const Record<Breaker>& breaker_record() {
  static const Record<Breaker> table(
      "Breaker",
      "Limits on what is in progress towards one service or the app; beyond them calls fail at "
      "once.",
      "",
      {{"connections", &Breaker::connections, count<std::uint32_t>(1, 1'000'000),
        "Connections in use: being opened, or carrying requests or bytes. Each endpoint may always "
        "have one from each worker."},
       {"pending", &Breaker::pending, count<std::uint32_t>(0, 1'000'000),
        "Requests waiting for a connection."},
       {"requests", &Breaker::requests, count<std::uint32_t>(1, 1'000'000),
        "Requests in progress."},
       {"retries", &Breaker::retries, count<std::uint32_t>(0, 1'000'000), "Retries in progress.",
        Flag::later}});
  return table;
}

const Record<Http2Ping>& http2_ping_record() {
  static const Record<Http2Ping> table(
      "HTTP/2 ping",
      "Detects HTTP/2 peers that have gone while streams are open. The connection of such a peer "
      "is closed, and its requests fail as with any lost connection.",
      "after",
      {{"after", &Http2Ping::after, duration(Millis(0)),
        "How long a peer may be silent before it is sent a PING; 0s turns this off."},
       {"timeout", &Http2Ping::timeout, duration(),
        "How long to wait after the PING for anything to arrive."},
       {"again", &Http2Ping::again, duration(),
        "For servers: the minimum time between PINGs while the server sends nothing but "
        "acknowledgements; gRPC servers close a connection that sends PINGs more often than every "
        "five minutes."}});
  return table;
}

namespace {

// What `defaults` may set for every service.
std::vector<Field<Service>> shared_fields() {
  return {
      {"protocol", &Service::protocol,
       choice<Protocol>(
           {{"http", Protocol::http}, {"grpc", Protocol::grpc}, {"tcp", Protocol::tcp}}),
       "The protocol callers speak."},
      {"wire", &Service::wire,
       choice<Wire>({{"auto", Wire::auto_}, {"http1", Wire::http1}, {"http2", Wire::http2}}),
       "The protocol spoken to the endpoint; auto is HTTP/2 if both ends of an mTLS connection "
       "agree on it, otherwise what the caller speaks."},
      {"mtls", &Service::mtls,
       choice<Mtls>({{"strict", Mtls::strict}, {"disabled", Mtls::disabled}}),
       "Whether endpoints are reached over mTLS. There is no fallback to clear text."},
      {"timeout", &Service::timeout, duration(),
       "The time from the end of the request to the headers of its response, retries included."},
      {"connect_timeout", &Service::connect_timeout, duration(),
       "The time to open a connection, TLS included."},
      {"idle_timeout", &Service::idle_timeout, optional(duration()),
       "How long a stream or session may be idle; by default 5m, for tcp 1h."},
      {"http2_ping", &Service::http2_ping, record(http2_ping_record()),
       "When a silent HTTP/2 endpoint is sent a PING."},
      {"timeout_total", "The time from a request to the end of its response."},
      {"retry", &Service::retry, record(retry_record()), "When a failed attempt is retried."},
      {"breaker", &Service::breaker, record(breaker_record()), "Circuit breaker limits."},
      {"load_balancer", &Service::load_balancer, record(balancer_record()),
       "How an endpoint is chosen."},
      {"outlier", &Service::outlier, record(outlier_record()),
       "When a failing endpoint is left out.", Flag::later},
      {"health", &Service::health, record(health_record()), "Active health checks.", Flag::later},
  };
}

const Record<Service>& service_record() {
  static const Record<Service> table(
      "Service", "Something that can be called: endpoints, or registries that list them.", "", [] {
        std::vector<Field<Service>> fields{
            {"endpoints", &Service::endpoints, list(record(endpoint_record())),
             "The addresses of its instances."},
            {"registry", &Service::registries, list(name()),
             "Registries whose endpoints are merged."},
            {"subsets", &Service::subsets,
             map_of<std::map<std::string, std::string>>("subset", check_service_name, labels()),
             "Named subsets of its endpoints, each selected by labels."},
            {"expect_ids", &Service::expect_ids, list(spiffe_id_pattern()),
             "The SPIFFE IDs its endpoints may present, or spiffe://domain/path/* for all below a "
             "path; by default any ID that ends in the service's name."},
            {"addresses", "Virtual addresses for intercepted TCP."},
            {"proxy_protocol", "Sends the PROXY protocol."}};
        for (const Field<Service>& field : shared_fields()) fields.push_back(field);
        return fields;
      }());
  return table;
}

}  // namespace

Value<std::map<std::string, std::string>> labels() {
  return map_of<std::string>("label", check_line, text());
}

const Record<Endpoint>& endpoint_record() {
  static const Record<Endpoint> table(
      "Endpoint", "One instance of a service.", "address",
      {{"address", &Endpoint::address, dial_address(), "Where it is.", Flag::required},
       {"weight", &Endpoint::weight, count<std::uint32_t>(1, 1'000'000),
        "Its weight relative to other endpoints."},
       {"cloud", inside(&Endpoint::locality, &Locality::cloud, text("name")),
        "The cloud it runs in."},
       {"region", inside(&Endpoint::locality, &Locality::region, text("name")),
        "The region it runs in."},
       {"zone", inside(&Endpoint::locality, &Locality::zone, text("name")), "The zone it runs in."},
       {"labels", &Endpoint::labels, labels(), "Labels, by which subsets select."},
       {"id", &Endpoint::id, text(), "Its ID in its registry; by default its address."}});
  return table;
}

const Record<Retry>& retry_record() {
  static const Record<Retry> table(
      "Retry",
      "When a failed attempt is retried, at another endpoint if there is one. If a connection "
      "cannot be opened, another endpoint is always tried.",
      "max",
      {{"max", &Retry::max, count<int>(0, 10),
        "Maximum number of attempts after the first; 0 turns retries off."},
       {"retry_on", retry_conditions(),
        "What is retried: conditions, statuses (503) and ranges (500-504)."},
       {"headers", &Retry::headers, list(text("header name", check_header_name)),
        "Response headers that request a retry, with retry_on: retriable_headers."},
       {"per_try", &Retry::per_try, optional(duration()),
        "The time one attempt may take, from the end of the request if that is later."},
       {"budget", &Retry::budget, share(),
        "Retries as a share of the requests of the last 10 s; beyond it, up to 3 at a time are "
        "still allowed."},
       {"backoff", backoff_range(),
        "The delay before a retry: base and maximum, with full jitter."},
       {"body_max", &Retry::body_max, size(),
        "How much of a request's body is buffered for retries; larger requests are not retried."}});
  return table;
}

const Record<Service>& defaults_record() {
  static const Record<Service> table(
      "Defaults", "Settings for every service that does not override them.", "", shared_fields());
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

}  // namespace outrigger::config
