#include "admin/handler.h"

#include <algorithm>
#include <array>

#include "admin/pages.h"
#include "base/log.h"
#include "telemetry/exposition.h"

namespace outrigger::admin {
namespace {

constexpr std::string_view json_type = "application/json";
constexpr std::string_view html_type = "text/html; charset=utf-8";

Response text(std::string body) {
  return {.body = std::move(body)};
}

Response json(std::string body) {
  return {.content_type = std::string(json_type), .body = std::move(body)};
}

Response exposition(telemetry::Metrics& metrics, const Request& request, std::string_view filter) {
  telemetry::Scrape scrape;
  metrics.gather_for_monitoring(scrape, request.now);
  const telemetry::Exposition format = telemetry::negotiate(request.accept);
  return {.content_type = std::string(telemetry::content_type(format)),
          .body = telemetry::render(scrape, format, filter)};
}

Response wrong_method(std::string_view allowed) {
  return {.status = 405,
          .body = "method not allowed: use " + std::string(allowed) + "\n",
          .headers = {{"allow", std::string(allowed)}}};
}

bool reads(const Request& request) {
  return request.method == "GET" || request.method == "HEAD";
}

// On every answer: no sniffing, no caching, no framing, no scripts.
void harden(Response& response) {
  response.headers.emplace_back("x-content-type-options", "nosniff");
  response.headers.emplace_back("cache-control", "no-store");
  response.headers.emplace_back("content-security-policy",
                                "default-src 'none'; frame-ancestors 'none'");
  response.headers.emplace_back("referrer-policy", "no-referrer");
}

// The last look at what leaves: the backend takes secrets out, and a mistake there must not show
// a key.
bool has_key_material(std::string_view body) {
  return body.find("PRIVATE KEY-----") != std::string_view::npos;
}

std::string log_levels() {
  std::string out;
  for (const auto& [room, level] : log::levels())
    out.append(room).append(": ").append(level).append("\n");
  return out;
}

}  // namespace

AdminHandler::AdminHandler(AdminBackend& backend, telemetry::Metrics& metrics, Access access)
    : backend_(backend), metrics_(metrics), gate_(std::move(access)) {}

std::span<const AdminHandler::Page> AdminHandler::pages() {
  using H = AdminHandler;
  static constexpr std::array<Page, 17> table = {{
      {"GET", "/", "this list as a page", &H::index},
      {"GET", "/certs", "certificates and when they expire (JSON)", &H::certs},
      {"GET", "/clusters", "services and their endpoints (?format=json)", &H::clusters},
      {"GET", "/config_dump", "the configuration in force (JSON)", &H::config_dump},
      {"POST", "/drain_listeners", "stop accepting connections; open ones may finish",
       &H::drain_listeners},
      {"POST", "/healthcheck/fail", "report not ready until told otherwise", &H::health_fail},
      {"POST", "/healthcheck/ok", "undo /healthcheck/fail", &H::health_ok},
      {"GET", "/help", "this list", &H::help},
      {"GET", "/listeners", "listening addresses (?format=json)", &H::listeners},
      {"POST", "/logging", "show log levels; set all (?level=debug) or one room's (?net=debug)",
       &H::logging},
      {"GET", "/memory", "memory of the process (JSON)", &H::memory},
      {"POST", "/quitquitquit", "drain and exit", &H::quit},
      {"GET", "/ready", "200 when ready for traffic, else 503", &H::ready},
      {"POST", "/reset_counters", "restart the counters of /stats (text and JSON) at zero",
       &H::reset_counters},
      {"GET", "/server_info", "version, state, uptime, node (JSON)", &H::server_info},
      {"GET", "/stats", "all metrics (?format=json|prometheus, ?filter=TEXT)", &H::stats},
      {"GET", "/stats/prometheus", "all metrics for Prometheus or OpenMetrics", &H::prometheus},
  }};
  return table;
}

std::string AdminHandler::list_of_pages() {
  std::string out;
  for (const Page& page : pages()) {
    std::string line(page.method);
    line.resize(5, ' ');
    line += page.path;
    line.resize(std::max<std::size_t>(line.size() + 1, 24), ' ');
    out += line.append(page.help).append("\n");
  }
  return out;
}

Response AdminHandler::handle(const Request& request) {
  auto refused = gate_.refuse(request);
  Response response = refused ? std::move(*refused) : dispatch(request);
  if (has_key_material(response.body)) {
    log::error("admin", "withheld a page that contained key material", {{"path", request.path}});
    response = {.status = 500, .body = "withheld: the page contained key material\n"};
  }
  harden(response);
  return response;
}

Response AdminHandler::dispatch(const Request& request) {
  const auto page = std::ranges::find(pages(), request.path, &Page::path);
  if (page == pages().end()) {
    return {.status = 404, .body = "no such page; available pages:\n" + list_of_pages()};
  }
  const bool is_get = page->method == "GET";
  if (is_get ? !reads(request) : request.method != "POST") {
    return wrong_method(is_get ? "GET, HEAD" : "POST");
  }
  return (this->*page->action)(request, Query(request.query));
}

Response AdminHandler::index(const Request&, const Query&) {
  std::string body =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<title>Outrigger</title></head><body>\n<h1>Outrigger: " +
      html_escaped(backend_.server_info().service) + "</h1>\n<ul>\n";
  for (const Page& page : pages()) {
    const std::string path = html_escaped(page.path);
    body += "<li>";
    body += page.method == "GET" ? "<a href=\"" + path + "\">" + path + "</a>" : "POST " + path;
    body += ": " + html_escaped(page.help) + "</li>\n";
  }
  body += "</ul>\n</body></html>\n";
  return {.content_type = std::string(html_type), .body = std::move(body)};
}

Response AdminHandler::help(const Request&, const Query&) {
  return text(list_of_pages());
}

Response AdminHandler::ready(const Request&, const Query&) {
  const Readiness readiness = backend_.readiness();
  Response out = text(readiness.state + "\n");
  if (!readiness.ready) {
    out.status = 503;
    if (!readiness.reason.empty()) out.body += readiness.reason + "\n";
  }
  return out;
}

Response AdminHandler::server_info(const Request& request, const Query&) {
  return json(server_info_json(backend_.server_info(), backend_.readiness(), request.wall));
}

Response AdminHandler::stats(const Request& request, const Query& query) {
  const std::string_view format = query.value("format");
  const std::string_view filter = query.value("filter");
  if (format == "prometheus") return exposition(metrics_, request, filter);
  if (!format.empty() && format != "json" && format != "text") {
    return {.status = 400, .body = "unknown format; use text, json or prometheus\n"};
  }
  telemetry::Scrape scrape;
  metrics_.gather(scrape, request.now);
  return format == "json" ? json(telemetry::render_json(scrape, filter))
                          : text(telemetry::render_lines(scrape, filter));
}

Response AdminHandler::prometheus(const Request& request, const Query& query) {
  return exposition(metrics_, request, query.value("filter"));
}

Response AdminHandler::clusters(const Request&, const Query& query) {
  const std::vector<ClusterInfo> list = backend_.clusters();
  return query.value("format") == "json" ? json(clusters_json(list)) : text(clusters_text(list));
}

Response AdminHandler::listeners(const Request&, const Query& query) {
  const std::vector<ListenerInfo> list = backend_.listeners();
  return query.value("format") == "json" ? json(listeners_json(list)) : text(listeners_text(list));
}

Response AdminHandler::certs(const Request& request, const Query&) {
  return json(certificates_json(backend_.certificates(), request.wall));
}

Response AdminHandler::config_dump(const Request&, const Query&) {
  return json(backend_.config_json());
}

Response AdminHandler::memory(const Request&, const Query&) {
  return json(memory_json(backend_.memory()));
}

// All of it is checked before any of it is done.
Response AdminHandler::logging(const Request&, const Query& query) {
  const log::Pairs rooms = log::levels();
  for (const auto& [name, value] : query.pairs()) {
    log::Level level{};
    const bool known = name == "level" || std::ranges::find(rooms, name, [](const auto& room) {
                                            return room.first;
                                          }) != rooms.end();
    if (!known) return {.status = 400, .body = "no such room; available rooms:\n" + log_levels()};
    if (!log::parse_level(value, level)) {
      return {.status = 400, .body = "unknown level; use trace, debug, info, warn, error or off\n"};
    }
  }
  for (const auto& [name, value] : query.pairs()) {
    log::Level level{};
    log::parse_level(value, level);
    if (name == "level") {
      log::set_all(level);
    } else {
      log::set_level(name, level);
    }
  }
  return text(log_levels());
}

Response AdminHandler::health_fail(const Request&, const Query&) {
  backend_.set_health_failed(true);
  return text("OK\n");
}

Response AdminHandler::health_ok(const Request&, const Query&) {
  backend_.set_health_failed(false);
  return text("OK\n");
}

Response AdminHandler::drain_listeners(const Request&, const Query&) {
  backend_.drain_listeners();
  return text("OK\n");
}

Response AdminHandler::quit(const Request&, const Query&) {
  backend_.quit();
  return text("OK\n");
}

Response AdminHandler::reset_counters(const Request& request, const Query&) {
  metrics_.reset_counters(request.now);
  return text("OK\n");
}

Response MetricsHandler::handle(const Request& request) {
  Response response;
  if (request.path != path_) {
    response = {.status = 404, .body = "metrics are at " + path_ + "\n"};
  } else if (!reads(request)) {
    response = wrong_method("GET, HEAD");
  } else {
    response = exposition(metrics_, request, {});
  }
  harden(response);
  return response;
}

Response ProbeHandler::handle(const Request& request) {
  Response response = text("ok\n");
  const bool ready = request.path == "/readyz";
  if (!ready && request.path != "/livez" && request.path != "/startupz") {
    response = {.status = 404, .body = "no such page; available: /livez, /readyz, /startupz\n"};
  } else if (!reads(request)) {
    response = wrong_method("GET, HEAD");
  } else if (request.path != "/livez") {
    const Readiness readiness = backend_.readiness();
    if (ready ? !readiness.ready : !readiness.started) {
      response = {.status = 503, .body = readiness.state + "\n"};
      if (!readiness.reason.empty()) response.body += readiness.reason + "\n";
    }
  }
  harden(response);
  return response;
}

}  // namespace outrigger::admin
