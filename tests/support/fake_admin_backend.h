#pragma once

// An AdminBackend with a small, fixed world and a memory of what it was told to do.

#include "admin/backend.h"

namespace outrigger::test {

class FakeAdminBackend final : public admin::AdminBackend {
 public:
  static constexpr WallTime started{std::chrono::sys_days{std::chrono::year{2026} / 11 / 22} +
                                    hours(10)};

  admin::ServerInfo server_info() override {
    return {.version = "0.1.0",
            .service = "web",
            .node_id = "web-7",
            .locality = {"aws", "eu-west-1", "a"},
            .config_version = "3f9a1c",
            .workers = 2,
            .pid = 4242,
            .started = started};
  }
  admin::Readiness readiness() override { return ready; }
  std::vector<admin::ClusterInfo> clusters() override {
    return {{.name = "orders",
             .protocol = "http",
             .policy = "peak_ewma",
             .mtls = "strict",
             .breakers = {{"connections", 3, 1024, false}, {"pending", 1024, 1024, true}},
             .endpoints = {{.address = "10.0.0.7:15006",
                            .locality = {"aws", "eu-west-1", "a"},
                            .labels = {{"version", "v42"}},
                            .weight = 2,
                            .requests = 100,
                            .failures = 1,
                            .active = 3,
                            .connections = 2,
                            .latency = microseconds(1500)},
                           {.address = "[2001:db8::1]:15006"}}},
            {.name = "<script>alert(1)</script>", .protocol = "tcp"}};
  }
  std::vector<admin::ListenerInfo> listeners() override {
    return {{.name = "orders-local",
             .address = "127.0.0.1:9001",
             .direction = "outbound",
             .protocol = "http",
             .target = "orders",
             .state = "listening",
             .connections = 5},
            {.name = "in",
             .address = "0.0.0.0:15006",
             .direction = "inbound",
             .protocol = "auto",
             .state = "closed"},
            {.name = "admin",
             .address = "unix:/run/outrigger/admin.sock",
             .direction = "admin",
             .state = "listening"}};
  }
  std::vector<admin::CertificateInfo> certificates() override {
    return {{.name = "identity",
             .path = "/run/certs/tls.crt",
             .subject = "CN=web",
             .issuer = "CN=ca",
             .serial = "0a1b",
             .uris = {"spiffe://example.org/web"},
             .dns_names = {"web.example.org"},
             .not_before = started - hours(24),
             .not_after = started + hours(24 * 30)},
            {.name = "ca",
             .path = "/run/certs/ca.crt",
             .is_ca = true,
             .subject = "CN=ca",
             .issuer = "CN=ca",
             .serial = "01",
             .not_before = started - hours(24),
             .not_after = started - hours(1)}};
  }
  admin::MemoryInfo memory() override {
    return {.resident = 20 << 20, .heap = 10 << 20, .allocated = 8 << 20, .buffers = 4096};
  }
  std::string config_json() override { return config; }

  void set_health_failed(bool failed) override { told += failed ? "fail " : "ok "; }
  void drain_listeners() override { told += "drain "; }
  void quit() override { told += "quit "; }

  admin::Readiness ready{.started = true, .ready = true, .state = "LIVE"};
  std::string config = "{\"version\":1}\n";
  std::string told;
};

}  // namespace outrigger::test
