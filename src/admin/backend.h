#pragma once

// What the admin pages query and control in the daemon: plain values and one interface, implemented
// by the server room.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/time.h"
#include "config/model.h"

namespace outrigger::admin {

struct ServerInfo {
  std::string version{};  // of the build
  std::string service{};
  std::string node_id{};
  config::Locality locality{};
  std::map<std::string, std::string> labels{};
  std::string config_version{};  // hash of the configuration in force
  int workers = 0;
  int pid = 0;
  WallTime started{};
};

struct Readiness {
  bool started = false;  // the first snapshot was whole and the listeners are bound
  bool ready = false;
  std::string state{};   // "LIVE", "DRAINING", "PRE_INITIALIZING", "INITIALIZING"
  std::string reason{};  // for people, when not ready
};

struct EndpointInfo {
  std::string address{};
  std::string id{};  // what its registry calls it
  config::Locality locality{};
  std::map<std::string, std::string> labels{};
  std::uint32_t weight = 1;
  std::uint64_t requests = 0;
  std::uint64_t failures = 0;
  std::int64_t active = 0;
  std::int64_t connections = 0;
  Duration latency{};  // the balancer's running average
};

struct BreakerInfo {
  std::string resource{};  // "connections", "pending", "requests", "retries"
  std::uint64_t used = 0;
  std::uint64_t limit = 0;
  bool open = false;
};

struct ClusterInfo {
  std::string name{};
  std::string protocol{};  // "http", "grpc", "tcp"
  std::string policy{};    // "peak_ewma"
  std::string mtls{};      // "strict"
  std::vector<BreakerInfo> breakers{};
  std::vector<EndpointInfo> endpoints{};
};

struct ListenerInfo {
  std::string name{};
  std::string address{};
  std::string direction{};  // "inbound", "outbound", "admin", "probes", "metrics"
  std::string protocol{};   // "auto", "http", …; empty where it does not apply
  std::string mtls{};
  std::string target{};  // the app's address or the service
  std::string state{};   // "waiting": it is bound; "listening"; "closed"
  std::int64_t connections = 0;
};

struct CertificateInfo {
  std::string name{};  // "identity", "ca", …
  std::string path{};
  bool is_ca = false;
  std::string subject{};
  std::string issuer{};
  std::string serial{};
  std::vector<std::string> uris{};
  std::vector<std::string> dns_names{};
  WallTime not_before{};
  WallTime not_after{};
};

struct MemoryInfo {
  std::uint64_t resident = 0;
  std::uint64_t heap = 0;       // what the allocator holds
  std::uint64_t allocated = 0;  // of it in use
  std::uint64_t buffers = 0;    // in connections' buffers
};

// Called on the thread of the admin server; answers at once, from values of its own or under a lock
// that no worker takes. Nothing it returns may hold a key or a token.
class AdminBackend {
 public:
  virtual ~AdminBackend() = default;

  virtual ServerInfo server_info() = 0;
  virtual Readiness readiness() = 0;
  virtual std::vector<ClusterInfo> clusters() = 0;
  virtual std::vector<ListenerInfo> listeners() = 0;
  virtual std::vector<CertificateInfo> certificates() = 0;
  virtual MemoryInfo memory() = 0;
  // The configuration in force as one JSON value, secrets taken out.
  virtual std::string config_json() = 0;

  // Readiness says no until told otherwise; traffic goes on.
  virtual void set_health_failed(bool failed) = 0;
  // Begins to drain: no new connections, open ones finish. The process goes on.
  virtual void drain_listeners() = 0;
  // Ends the process as SIGTERM does. Returns before that happens, so that the answer can leave.
  virtual void quit() = 0;
};

}  // namespace outrigger::admin
