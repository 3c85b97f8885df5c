#pragma once

// The configuration as typed values: what YAML is parsed into and what the server compiles into
// route tables and clusters. Plain data, no behaviour, no runtime types; const once parsed.
// Defaults stand here and nowhere else.

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace outrigger::config {

using Millis = std::chrono::milliseconds;

// Where a value stood, for errors found after parsing. Lines and columns count from one; 0 is
// unknown.
struct Position {
  std::string file;
  int line = 0;
  int column = 0;
};

// "10.0.0.7:15006", "[::1]:80", "orders.internal:80" or "unix:/run/app.sock".
struct Address {
  std::string host;  // IPv4, IPv6 without brackets, a name; for unix sockets the path
  std::uint16_t port = 0;
  bool is_unix = false;

  std::string to_string() const;
  bool operator==(const Address&) const = default;
};

struct Locality {
  std::string cloud;
  std::string region;
  std::string zone;
  bool operator==(const Locality&) const = default;
};

struct Node {
  std::string service;
  std::string id;
  Locality locality;
  std::map<std::string, std::string> labels;
};

struct Admin {
  Address listen{"127.0.0.1", 15000, false};
  unsigned socket_mode = 0600;  // of a Unix socket's file
  std::optional<Address> probes;
  std::string token_file;
  Position at;
};

struct Runtime {
  int workers = 0;  // 0: auto
  Millis drain{30'000};
  Millis drain_min{5'000};
  std::optional<double> memory_share;  // 0.8 for "80%"
  std::optional<std::uint64_t> memory_bytes;
  std::optional<int> connections;   // none: RLIMIT_NOFILE - 512
  Millis tcp_user_timeout{30'000};  // 0: the kernel's
  Millis write_timeout{30'000};     // 0: none
};

struct Identity {
  enum class Provider { file, spiffe, dev };
  Provider provider = Provider::file;
  std::string trust_domain;  // empty: the one in our own certificate
  std::string cert;
  std::string key;
  std::string ca;
  std::string crl;
  Millis warn_before{std::chrono::hours(72)};
  Position at;
};

// `http_or_tcp` is an inbound listener's [http, tcp].
enum class Protocol { auto_, http, grpc, tcp, http_or_tcp };
enum class Mtls { strict, permissive, disabled };
// Whether a listener brings paths into their normal form before anything decides on them; auto:
// where a rule looks at paths.
enum class Paths { auto_, normalise, as_is };
enum class Wire { auto_, http1, http2 };

// When an HTTP/2 peer that is silent while streams are open is asked whether it is still there.
struct Http2Ping {
  Millis after{30'000};  // 0: never
  Millis timeout{10'000};
  Millis again{310'000};
};

struct Breaker {
  std::uint32_t connections = 1024;
  std::uint32_t pending = 1024;
  std::uint32_t requests = 4096;
  std::uint32_t retries = 64;
};

struct InboundLimits {
  std::optional<std::uint64_t> body;       // bytes; none: no limit
  std::optional<std::uint64_t> body_rate;  // bytes a second; 0: any
  static constexpr std::uint64_t body_rate_default = 500;
};

struct Inbound {
  std::string name;  // made from the address when not given
  Address listen;
  Address app;
  Protocol protocol = Protocol::auto_;
  Mtls mtls = Mtls::strict;
  Paths paths = Paths::auto_;
  InboundLimits limits;
  Http2Ping http2_ping;
  Breaker breaker;                           // of the app
  std::vector<std::string> trusted_proxies;  // addresses and CIDRs
  std::vector<std::string> upgrades{"websocket"};
  Position at;
};

struct Outbound {
  std::string name;
  Address listen;
  std::string service;  // or
  bool route_by_host = false;
  Paths paths = Paths::auto_;
  std::vector<std::string> upgrades{"websocket"};
  Http2Ping http2_ping;
  Position at;
};

struct Endpoint {
  Address address;
  Locality locality;
  std::uint32_t weight = 1;
  std::map<std::string, std::string> labels;
  std::string id;  // what the endpoint's registry calls it; empty: its address
  bool operator==(const Endpoint&) const = default;
};

struct Registry {
  enum class Type { file, dns, consul, etcd, zookeeper, kubernetes, nacos, eureka };
  Type type = Type::file;
  std::string name;
  std::string path;  // file
  Position at;
};

enum class RetryOn {
  refused_stream,
  not_processed,
  reset,
  reset_before_response,
  gateway_error,
  server_error,   // "5xx"
  retriable_4xx,  // 409
  retriable_headers,
  grpc_cancelled,
  grpc_deadline_exceeded,
  grpc_internal,
  grpc_resource_exhausted,
  grpc_unavailable,
};
struct StatusRange {
  int first = 0;
  int last = 0;
  bool operator==(const StatusRange&) const = default;
};
struct Retry {
  int max = 1;
  std::vector<RetryOn> retry_on{RetryOn::refused_stream, RetryOn::not_processed,
                                RetryOn::reset_before_response};
  std::vector<StatusRange> statuses;
  std::vector<std::string> headers;  // retriable_headers
  std::optional<Millis> per_try;
  double budget = 0.20;  // share of the requests of the last 10 s
  Millis backoff_base{25};
  Millis backoff_max{250};
  std::uint64_t body_max = 64 * 1024;  // kept for replay
};

struct Outlier {
  int consecutive_5xx = 5;  // 0: off
  Millis eject{30'000};
  double max_ejected = 0.50;
};

struct LoadBalancer {
  enum class Policy { round_robin, random, least_request, peak_ewma, ring_hash, maglev };
  enum class LocalityMode { spill, weighted, none };
  Policy policy = Policy::peak_ewma;
  LocalityMode locality = LocalityMode::spill;
  Millis slow_start{0};
  std::string hash;  // "header:x-user-id"
  std::string plugin;
};

struct HealthCheck {
  enum class Kind { none, http, grpc, tcp };
  Kind kind = Kind::none;
  std::string path;
  Millis interval{5000};
  Millis timeout{1000};
  int unhealthy = 3;
  int healthy = 2;
};

// A service after `defaults` have been applied to it.
struct Service {
  std::string name;
  std::vector<Endpoint> endpoints;
  std::vector<std::string> registries;
  std::map<std::string, std::map<std::string, std::string>>
      subsets;  // name -> labels that must match
  Protocol protocol = Protocol::http;
  Wire wire = Wire::auto_;
  Mtls mtls = Mtls::strict;
  std::vector<std::string> expect_ids;
  Millis timeout{15'000};
  Millis connect_timeout{1000};
  std::optional<Millis>
      idle_timeout;  // a stream or session without progress; none: 5 min, for tcp 1 h

  Http2Ping http2_ping;

  Millis idle() const {
    return protocol == Protocol::tcp ? session_idle()
                                     : idle_timeout.value_or(Millis(std::chrono::minutes(5)));
  }
  Millis session_idle() const { return idle_timeout.value_or(Millis(std::chrono::hours(1))); }
  Retry retry;
  Outlier outlier;
  Breaker breaker;
  LoadBalancer load_balancer;
  HealthCheck health;
  Position at;
};

struct TextMatch {
  enum class Kind { exact, prefix, suffix, regex, present, absent };
  Kind kind = Kind::exact;
  std::string text;
  bool from_variable = false;  // no message shows it
};
struct NamedMatch {
  std::string name;
  TextMatch match;
};

struct Match {
  std::string service;               // empty: any
  std::optional<TextMatch> host;     // exact or suffix ("*.example.org")
  std::optional<TextMatch> path;     // exact, prefix ("/api/**") or regex ("~ ^/v[0-9]+/")
  std::vector<std::string> methods;  // empty: any
  std::vector<NamedMatch> headers;
  std::vector<NamedMatch> query;
};

struct Destination {
  std::string service;
  std::string subset;
  std::uint32_t weight = 10'000;  // hundredths of a percent; a route's weights add up to 10,000
};

struct Rewrite {
  std::string prefix_from;
  std::string prefix_to;
  std::string host;
};

struct HeaderEdits {
  std::vector<std::pair<std::string, std::string>> add;
  std::vector<std::pair<std::string, std::string>> set;
  std::vector<std::string> remove;
};

struct Redirect {
  int status = 302;
  std::string scheme;
  std::string host;
  std::string path;
};

struct FixedAnswer {
  int status = 200;
  std::string body;
  std::string content_type = "text/plain";
};

struct Route {
  std::string name;
  Match match;
  std::vector<Destination> destinations;  // `to` or `split`
  std::optional<Rewrite> rewrite;
  std::optional<Redirect> redirect;
  std::optional<FixedAnswer> answer;
  HeaderEdits request_headers;
  HeaderEdits response_headers;
  std::optional<Millis> timeout;
  std::optional<Retry> retry;
  bool enabled = true;
  Position at;
};

struct AccessLog {
  enum class Format { json, text, logfmt };
  Format format = Format::json;
  std::string path = "stdout";  // stdout, stderr, none or a file
  double sample = 1.0;
  bool always_errors = false;
  std::optional<Millis> always_slower;
  Position at;
};

struct Prometheus {
  std::optional<Address> listen;
  std::string path = "/metrics";
  std::uint32_t max_series = 20'000;
  bool per_endpoint = false;
  Position at;
};

struct Log {
  std::string level = "info";
  std::string format = "text";
  std::map<std::string, std::string> levels;
};

struct Telemetry {
  AccessLog access_log;
  Prometheus prometheus;
  Log log;
};

struct Discovery {
  std::string cache;  // directory; empty: none
  std::vector<std::string> suffixes{".mesh", ".svc.cluster.local"};
};

struct Config {
  int version = 1;
  // The whole as JSON, variables as they are written, for the admin page; and a short hash that
  // names what is in force.
  std::string json;
  std::string hash;
  Node node;
  Admin admin;
  Runtime runtime;
  std::optional<Identity> identity;
  std::vector<Inbound> inbound;
  std::vector<Outbound> outbound;
  std::map<std::string, Registry> registries;
  Discovery discovery;
  std::map<std::string, Service> services;
  std::vector<Route> routes;
  Telemetry telemetry;
};

}  // namespace outrigger::config
