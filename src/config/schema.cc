#include "config/schema.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "config/schema_tables.h"
#include "config/schema_values.h"

namespace outrigger::config {
namespace {

const Record<Locality>& locality_record() {
  static const Record<Locality> table(
      "Locality", "Where something runs: the labels that decide which endpoints are near.", "",
      {{"cloud", &Locality::cloud, text("name"), "The cloud provider, for instance aws."},
       {"region", &Locality::region, text("name"), "The region in the cloud."},
       {"zone", &Locality::zone, text("name"), "The zone in the region."}});
  return table;
}

const Record<Node>& node_record() {
  static const Record<Node> table(
      "Node", "The service this sidecar belongs to.", "service",
      {{"service", &Node::service, service_name(), "The service of this node."},
       {"id", &Node::id, text(), "Identifies this instance; shown in /server_info."},
       {"locality", &Node::locality, record(locality_record()), "Where this node runs."},
       {"labels", &Node::labels, labels(),
        "Labels of this node, such as its version; shown in /server_info."}});
  return table;
}

const Record<Admin>& admin_record() {
  static const Record<Admin> table(
      "Admin", "The admin port.", "listen",
      {{"listen", &Admin::listen, listen_address(),
        "Where the admin port listens. Anything but a loopback address or a Unix socket needs "
        "token_file."},
       {"probes", &Admin::probes, optional(listen_address()),
        "A second address that serves only /livez, /readyz and /startupz."},
       {"socket_mode", &Admin::socket_mode, file_mode(),
        "The mode of the Unix socket's file, in octal."},
       {"token_file", &Admin::token_file, file_path(),
        "A file with the bearer token that clients must send; read again when it changes."}});
  return table;
}

const Record<Runtime>& runtime_record() {
  static const Record<Runtime> table(
      "Runtime", "Threads and limits of the process.", "",
      {{"workers", &Runtime::workers, worker_count(),
        "Worker threads; auto follows the CPU quota, from 1 to 4."},
       {"drain", &Runtime::drain, duration(Millis(0)),
        "How long a stopping process waits for requests in progress."},
       {"drain_min", &Runtime::drain_min, duration(Millis(0)),
        "The minimum time for which a stopping process keeps its outbound listeners open even if "
        "no connection is: the app may still make calls. At most half of drain."},
       {"memory", memory_budget(), "The memory budget: a share of the machine's, or a size.",
        Flag::later},
       {"connections", &Runtime::connections, optional(count<int>(1, 10'000'000)),
        "The maximum number of connections; by default the limit on open files minus 512."},
       {"tcp_user_timeout", &Runtime::tcp_user_timeout, duration(Millis(0)),
        "How long a TCP peer may fail to acknowledge data before it is considered dead; 0s leaves "
        "it to the kernel."},
       {"write_timeout", &Runtime::write_timeout, duration(Millis(0)),
        "How long an HTTP client may read nothing of a pending response before its connection is "
        "reset, or over HTTP/2 the stream whose window it keeps shut; 0s means no limit. Does not "
        "apply to tunnels, to gRPC over HTTP/1 and to the windows of gRPC streams."}});
  return table;
}

const Record<Identity>& identity_record() {
  using Provider = Identity::Provider;
  static const Record<Identity> table(
      "Identity",
      "The certificate this node presents, and the CAs it trusts. The files are watched; a "
      "rotation drops no connection.",
      "",
      {{"provider", &Identity::provider,
        choice<Provider>({{"file", Provider::file},
                          {"spiffe", Provider::spiffe, Flag::later},
                          {"dev", Provider::dev, Flag::later}}),
        "Where the identity comes from."},
       {"trust_domain", &Identity::trust_domain, text("trust domain"),
        "The trust domain; by default that of the certificate."},
       {"cert", &Identity::cert, file_path(), "The certificate chain, PEM."},
       {"key", &Identity::key, file_path(), "Its private key, PEM."},
       {"ca", &Identity::ca, file_path(), "The CA certificates that peers must chain to, PEM."},
       {"crl", &Identity::crl, file_path(), "Revoked certificates, PEM.", Flag::later},
       {"warn_before", &Identity::warn_before, duration(Millis(0)),
        "How long before a certificate expires warnings are logged, once a day."}});
  return table;
}

const Record<InboundLimits>& limits_record() {
  static const Record<InboundLimits> table(
      "Limits", "Limits of one inbound listener.", "",
      {{"body", &InboundLimits::body, optional(size()),
        "The maximum size of a request body; larger ones are answered 413. Unlimited by default."},
       {"body_rate", &InboundLimits::body_rate, optional(size()),
        "The minimum average rate of a request body from 30 s after its first byte, in bytes a "
        "second; a slower one is answered 408. 500B by default; does not apply to upgrades and "
        "gRPC; 0B turns it off."},
       {"concurrency", "Requests in progress, found by measuring."},
       {"rate", "Requests a second, in total and for each identity."}});
  return table;
}

// One word, or the list [http, tcp].
Value<Protocol> inbound_protocol() {
  const auto word = choice<Protocol>({{"auto", Protocol::auto_},
                                      {"http", Protocol::http},
                                      {"grpc", Protocol::grpc},
                                      {"tcp", Protocol::tcp}});
  Shape shape{.kind = Shape::Kind::list, .noun = "list"};
  shape.element = std::make_shared<const Shape>(word.shape);
  const auto read = [word](Reader& reader, const YamlNode& node, Protocol& out) {
    if (!node.is_list()) return word.read(reader, node, out);
    if (node.items.size() == 1) return word.read(reader, node.items[0], out);
    const auto is_item = [&node](std::size_t i, std::string_view text) {
      return node.items[i].is_scalar() && node.items[i].text == text;
    };
    const bool both = node.items.size() == 2 && ((is_item(0, "http") && is_item(1, "tcp")) ||
                                                 (is_item(0, "tcp") && is_item(1, "http")));
    if (both) {
      out = Protocol::http_or_tcp;
    } else {
      reader.error(node, "the only valid list is [http, tcp]");
    }
  };
  return {std::move(shape), read, word.show};
}

Value<Paths> path_forms() {
  return choice<Paths>(
      {{"auto", Paths::auto_}, {"normalise", Paths::normalise}, {"as_is", Paths::as_is}});
}

const Record<Inbound>& inbound_record() {
  static const Record<Inbound> table(
      "Inbound", "A listener that other services call, and the app behind it.", "",
      {{"name", &Inbound::name, name(), "Its name in logs and metrics; by default its address."},
       {"listen", &Inbound::listen, listen_address(), "Where callers connect.", Flag::required},
       {"app", &Inbound::app, dial_address(), "Where the app listens.", Flag::required},
       {"protocol", &Inbound::protocol, inbound_protocol(),
        "What is accepted and what the app speaks. auto: accepts HTTP/1 and HTTP/2; the app gets "
        "the version it speaks. http: the same, for an app that speaks HTTP/1.1, and HTTP/2 for "
        "gRPC. grpc: the same, for an app that speaks only HTTP/2. tcp: any bytes, passed "
        "unchanged. [http, tcp]: as auto if the first bytes look like HTTP, otherwise any bytes, "
        "so callers can forge the identity headers that the app reads."},
       {"mtls", &Inbound::mtls,
        choice<Mtls>({{"strict", Mtls::strict},
                      {"permissive", Mtls::permissive},
                      {"disabled", Mtls::disabled}}),
        "Whether callers must present a certificate; permissive accepts clear text too, for "
        "migrations."},
       {"paths", &Inbound::paths, path_forms(),
        "normalise: paths are normalised and forwarded in that form. as_is: paths are not changed. "
        "auto: not changed either, since no rule of an inbound listener looks at paths."},
       {"limits", &Inbound::limits, record(limits_record()), "Limits on what is accepted."},
       {"http2_ping", &Inbound::http2_ping, record(http2_ping_record()),
        "When a silent HTTP/2 caller, or a silent app, is sent a PING."},
       {"breaker", &Inbound::breaker, record(breaker_record()),
        "Circuit breaker limits of what is in progress towards the app."},
       {"trusted_proxies", &Inbound::trusted_proxies, list(cidr()),
        "Addresses and networks whose x-forwarded-* headers are trusted."},
       {"upgrades", &Inbound::upgrades, list(upgrade_protocol()),
        "Protocols that requests may switch to with Upgrade or extended CONNECT, such as "
        "websocket, SPDY/3.1 or tcp; CONNECT allows that method. Others are ignored; [] allows "
        "none."},
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
      {{"name", &Outbound::name, name(), "Its name in logs and metrics; by default its address."},
       {"listen", &Outbound::listen, listen_address(), "Where the app connects.", Flag::required},
       {"service", &Outbound::service, service_name(), "The one service behind this listener."},
       {"route_by", &Outbound::route_by_host, route_by(),
        "host: the Host or :authority header names the service."},
       {"paths", &Outbound::paths, path_forms(),
        "normalise: paths are normalised; routes match that form and it is forwarded. as_is: paths "
        "are not changed, so another spelling of a path can bypass a route. auto: normalise if a "
        "route of the service matches or rewrites paths, otherwise as_is."},
       {"upgrades", &Outbound::upgrades, list(upgrade_protocol()),
        "Protocols that requests may switch to with Upgrade or extended CONNECT, such as "
        "websocket, SPDY/3.1 or tcp; CONNECT allows that method. Others are ignored; [] allows "
        "none."},
       {"http2_ping", &Outbound::http2_ping, record(http2_ping_record()),
        "When a silent HTTP/2 caller is sent a PING."},
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
        "The type of the registry.", Flag::required},
       {"path", &Registry::path, file_path(),
        "For type file: the file, a map of services to their endpoints, watched for changes."}});
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
        "Suffixes that are removed from a host to get the name of the service."},
       {"cache", &Discovery::cache, file_path(), "A directory where endpoints outlive a restart.",
        Flag::later},
       {"on_demand", "The registry where a host nobody configured is looked up."},
       {"virtual_range", "Virtual addresses for services called over intercepted TCP."}});
  return table;
}

const Record<AccessLog>& access_log_record() {
  using Format = AccessLog::Format;
  static const Record<AccessLog> table(
      "Access log", "One line per request or TCP session.", "path",
      {{"format", &AccessLog::format,
        choice<Format>(
            {{"json", Format::json}, {"text", Format::text}, {"logfmt", Format::logfmt}}),
        "The format of a line."},
       {"path", &AccessLog::path, log_target(), "stdout, stderr, none, or a file."},
       {"sample", &AccessLog::sample, share(), "The share of requests that is logged."},
       {"always", always_logged(),
        "What is always logged, regardless of the sample: errors, slow>500ms."}});
  return table;
}

const Record<Prometheus>& prometheus_record() {
  static const Record<Prometheus> table(
      "Prometheus", "Metrics to be scraped.", "listen",
      {{"listen", &Prometheus::listen, optional(listen_address()),
        "A separate address for scrapes; the admin port always serves them."},
       {"path", &Prometheus::path, url_path(), "The path of the metrics on that address."},
       {"max_series", &Prometheus::max_series, count<std::uint32_t>(100, 10'000'000),
        "The maximum number of series; those beyond it are left out and counted."},
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
      "Log", "The process's own log, on stderr.", "level",
      {{"level", &Log::level, one_of(log_levels()), "The lowest level that is logged."},
       {"format", &Log::format, one_of({"text", "json"}), "The format of its lines."},
       {"levels", &Log::levels, map_of<std::string>("room", check_room, one_of(log_levels())),
        "Levels of individual rooms of the program, for example tls: warn."}});
  return table;
}

const Record<Telemetry>& telemetry_record() {
  static const Record<Telemetry> table(
      "Telemetry", "Metrics and logs.", "",
      {{"access_log", &Telemetry::access_log, record(access_log_record()),
        "One line per request or TCP session."},
       {"prometheus", &Telemetry::prometheus, record(prometheus_record()),
        "Metrics to be scraped."},
       {"log", &Telemetry::log, record(log_record()), "The process's own log."},
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

const Record<Draft>& root_record() {
  static const Record<Draft> table(
      "Configuration", "The whole file.", "",
      {{"version", &Config::version, language_version(),
        "The version of the configuration language: 1.", Flag::required},
       {"include", include(),
        "More files, by name or pattern, relative to this one. Lists are appended, maps merged."},
       {"node", &Config::node, record(node_record()), "The service this sidecar belongs to."},
       {"admin", &Config::admin, record(admin_record()), "The admin port."},
       {"runtime", &Config::runtime, record(runtime_record()),
        "Threads and limits of the process."},
       {"identity", &Config::identity, optional(record(identity_record())),
        "The certificate this node presents, and the CAs it trusts."},
       {"inbound", &Config::inbound, list(record(inbound_record())),
        "Listeners that other services call."},
       {"outbound", &Config::outbound, list(record(outbound_record())),
        "Listeners that the local app calls."},
       {"registries", registries(), "Sources of endpoints, by name."},
       {"discovery", &Config::discovery, record(discovery_record()),
        "How services are found by name."},
       {"defaults", &Draft::defaults, record(defaults_record()),
        "Settings for every service that does not override them."},
       {"services", services(), "What can be called, by name."},
       {"routes", routes(), "How outbound requests are routed; a service needs no route."},
       {"telemetry", &Config::telemetry, record(telemetry_record()), "Metrics and logs."},
       {"jwt", "Issuers of tokens that callers may show."},
       {"gateway", "Listeners that pass other clouds' TLS on by its server name."},
       {"dns", "A resolver that answers the names of services."},
       {"clouds", "Clouds that are reached through gateways."},
       {"alerts", "Rules that watch this sidecar's own signals."}});
  return table;
}

}  // namespace outrigger::config
