#pragma once

// The admin port's pages and actions. GET pages never change anything; actions are POST. Every
// answer is plain text or JSON with nosniff (the index alone is HTML, without scripts), and none
// carries key material.

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "admin/backend.h"
#include "admin/gate.h"
#include "admin/page_handler.h"
#include "admin/query.h"
#include "telemetry/metrics.h"

namespace outrigger::admin {

// Owned by the server, which outlives nothing it refers to: backend and metrics outlive this.
class AdminHandler final : public PageHandler {
 public:
  AdminHandler(AdminBackend& backend, telemetry::Metrics& metrics, Access access);

  Response handle(const Request& request) override;

 private:
  using Action = Response (AdminHandler::*)(const Request&, const Query&);
  struct Page {
    std::string_view method;
    std::string_view path;
    std::string_view help;
    Action action;
  };
  static std::span<const Page> pages();
  static std::string list_of_pages();

  Response dispatch(const Request& request);
  Response index(const Request& request, const Query& query);
  Response help(const Request& request, const Query& query);
  Response ready(const Request& request, const Query& query);
  Response server_info(const Request& request, const Query& query);
  Response stats(const Request& request, const Query& query);
  Response prometheus(const Request& request, const Query& query);
  Response clusters(const Request& request, const Query& query);
  Response listeners(const Request& request, const Query& query);
  Response certs(const Request& request, const Query& query);
  Response config_dump(const Request& request, const Query& query);
  Response memory(const Request& request, const Query& query);
  Response logging(const Request& request, const Query& query);
  Response health_fail(const Request& request, const Query& query);
  Response health_ok(const Request& request, const Query& query);
  Response drain_listeners(const Request& request, const Query& query);
  Response quit(const Request& request, const Query& query);
  Response reset_counters(const Request& request, const Query& query);

  AdminBackend& backend_;
  telemetry::Metrics& metrics_;
  Gate gate_;
};

// The metrics alone, for the listener of telemetry.prometheus: any Host, since scrapers come by
// address and by name; no action and no other page.
class MetricsHandler final : public PageHandler {
 public:
  MetricsHandler(telemetry::Metrics& metrics, std::string path)
      : metrics_(metrics), path_(std::move(path)) {}
  Response handle(const Request& request) override;

 private:
  telemetry::Metrics& metrics_;
  const std::string path_;
};

// /livez, /readyz and /startupz for the orchestrator, and nothing else.
class ProbeHandler final : public PageHandler {
 public:
  explicit ProbeHandler(AdminBackend& backend) : backend_(backend) {}
  Response handle(const Request& request) override;

 private:
  AdminBackend& backend_;
};

}  // namespace outrigger::admin
