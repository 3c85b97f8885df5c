#include "admin/handler.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "admin/pages.h"
#include "base/log.h"
#include "support/fake_admin_backend.h"
#include "support/golden_file.h"

namespace outrigger::admin {
namespace {

std::string header(const Response& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return {};
}

Request request(std::string_view method, std::string_view target) {
  Request out;
  const std::size_t question = std::min(target.find('?'), target.size());
  out.method = method;
  out.path = target.substr(0, question);
  out.query = target.substr(std::min(question + 1, target.size()));
  out.host = "localhost:15000";
  out.wall = test::FakeAdminBackend::started + hours(30) + seconds(5);
  return out;
}

struct AdminHandlerTest : testing::Test {
  AdminHandlerTest() {
    // Some traffic for the pages that show metrics.
    series = metrics.request_series(telemetry::Direction::outbound, "orders", "r1");
    for (int i = 0; i < 3; ++i) {
      series->cells(0).started();
      series->cells(0).finished({.status = 200, .duration = milliseconds(2), .bytes_in = 7});
    }
  }
  ~AdminHandlerTest() override { log::set_all(log::Level::info); }

  Response get(std::string_view target) { return handler.handle(request("GET", target)); }
  Response post(std::string_view target) { return handler.handle(request("POST", target)); }

  test::FakeAdminBackend backend;
  telemetry::Metrics metrics{{.workers = 1, .version = "0.1.0", .process = false}};
  std::shared_ptr<telemetry::RequestSeries> series;
  AdminHandler handler{backend, metrics, {}};
};

constexpr const char* get_pages[] = {"/",
                                     "/certs",
                                     "/clusters",
                                     "/clusters?format=json",
                                     "/config_dump",
                                     "/help",
                                     "/listeners",
                                     "/listeners?format=json",
                                     "/memory",
                                     "/ready",
                                     "/server_info",
                                     "/stats",
                                     "/stats?format=json",
                                     "/stats?format=prometheus",
                                     "/stats/prometheus"};
constexpr const char* post_pages[] = {"/drain_listeners", "/healthcheck/fail", "/healthcheck/ok",
                                      "/logging",         "/quitquitquit",     "/reset_counters"};

TEST_F(AdminHandlerTest, golden_pages) {
  std::string all;
  for (const std::string target :
       {"/", "/help", "/ready", "/server_info", "/clusters", "/clusters?format=json", "/listeners",
        "/listeners?format=json", "/certs", "/memory", "/config_dump"}) {
    const Response response = get(target);
    all += "GET " + target + " -> " + std::to_string(response.status) + " " +
           response.content_type + "\n" + response.body + "\n";
  }
  test::expect_golden("tests/golden/admin/pages.txt", all);
}

TEST_F(AdminHandlerTest, golden_stats) {
  std::string all;
  for (const std::string target :
       {"/stats?filter=orders", "/stats?format=json&filter=requests",
        "/stats?format=prometheus&filter=_bytes_total", "/stats/prometheus?filter=active"}) {
    const Response response = get(target);
    all += "GET " + target + " -> " + std::to_string(response.status) + " " +
           response.content_type + "\n" + response.body + "\n";
  }
  test::expect_golden("tests/golden/admin/stats.txt", all);
}

TEST_F(AdminHandlerTest, every_page_has_its_method_and_is_hardened) {
  for (const char* target : get_pages) {
    EXPECT_EQ(get(target).status, 200) << target;
    EXPECT_EQ(handler.handle(request("HEAD", target)).status, 200) << target;
    for (const char* method : {"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get", ""}) {
      const Response response = handler.handle(request(method, target));
      EXPECT_EQ(response.status, 405) << method << " " << target;
      EXPECT_EQ(header(response, "allow"), "GET, HEAD");
    }
  }
  for (const char* target : post_pages) {
    for (const char* method : {"GET", "HEAD", "PUT", "DELETE"}) {
      const Response response = handler.handle(request(method, target));
      EXPECT_EQ(response.status, 405) << method << " " << target;
      EXPECT_EQ(header(response, "allow"), "POST");
    }
  }
  EXPECT_EQ(backend.told, "");
  for (const char* target : {"/", "/stats", "/nothing", "/quitquitquit"}) {
    const Response response = get(target);
    EXPECT_EQ(header(response, "x-content-type-options"), "nosniff");
    EXPECT_EQ(header(response, "cache-control"), "no-store");
    EXPECT_NE(header(response, "content-security-policy").find("default-src 'none'"),
              std::string::npos);
  }
}

TEST_F(AdminHandlerTest, an_unknown_path_gets_a_list) {
  for (const char* path :
       {"/nothing", "/stats/", "/Stats", "//stats", "/stats/../ready", "", "*"}) {
    const Response response = get(path);
    EXPECT_EQ(response.status, 404) << path;
    EXPECT_NE(response.body.find("/stats/prometheus"), std::string::npos);
    EXPECT_NE(response.body.find("/quitquitquit"), std::string::npos);
  }
}

TEST_F(AdminHandlerTest, foreign_requests_change_nothing) {
  Request foreign = request("POST", "/quitquitquit");
  foreign.origin = "http://evil.example";
  EXPECT_EQ(handler.handle(foreign).status, 403);
  foreign = request("POST", "/healthcheck/fail");
  foreign.host = "evil.example";
  EXPECT_EQ(handler.handle(foreign).status, 403);
  foreign = request("POST", "/drain_listeners");
  foreign.sec_fetch_site = "cross-site";
  EXPECT_EQ(handler.handle(foreign).status, 403);
  EXPECT_EQ(backend.told, "");
}

TEST_F(AdminHandlerTest, with_a_token_everything_asks_for_it) {
  AdminHandler guarded(backend, metrics, {.hosts = {}, .token = std::make_shared<Token>("s3cret")});
  for (const char* target : get_pages) {
    EXPECT_EQ(guarded.handle(request("GET", target)).status, 401) << target;
  }
  for (const char* target : post_pages) {
    EXPECT_EQ(guarded.handle(request("POST", target)).status, 401) << target;
  }
  EXPECT_EQ(backend.told, "");
  Request allowed = request("POST", "/quitquitquit");
  allowed.authorization = "Bearer s3cret";
  EXPECT_EQ(guarded.handle(allowed).status, 200);
  EXPECT_EQ(backend.told, "quit ");
}

TEST_F(AdminHandlerTest, actions_reach_the_backend) {
  EXPECT_EQ(post("/healthcheck/fail").status, 200);
  EXPECT_EQ(post("/healthcheck/ok").status, 200);
  EXPECT_EQ(post("/drain_listeners").status, 200);
  EXPECT_EQ(post("/quitquitquit").status, 200);
  EXPECT_EQ(backend.told, "fail ok drain quit ");
}

TEST_F(AdminHandlerTest, not_ready_says_why) {
  backend.ready = {.started = true, .ready = false, .state = "DRAINING", .reason = "SIGTERM"};
  const Response response = get("/ready");
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body, "DRAINING\nSIGTERM\n");
}

TEST_F(AdminHandlerTest, log_levels) {
  EXPECT_EQ(post("/logging").status, 200);
  EXPECT_NE(post("/logging?level=debug").body.find("net: debug"), std::string::npos);
  const Response one = post("/logging?net=error&tls=warn");
  EXPECT_EQ(one.status, 200);
  EXPECT_NE(one.body.find("net: error"), std::string::npos);
  EXPECT_NE(one.body.find("tls: warn"), std::string::npos);
  EXPECT_NE(one.body.find("http: debug"), std::string::npos);
}

TEST_F(AdminHandlerTest, log_levels_that_are_none_change_nothing) {
  const std::string before = post("/logging").body;
  for (const char* target : {"/logging?level=nonsense", "/logging?net=debug&level=",
                             "/logging?nowhere=debug", "/logging?=debug"}) {
    EXPECT_EQ(post(target).status, 400) << target;
    EXPECT_EQ(post("/logging").body, before) << target;
  }
}

TEST_F(AdminHandlerTest, counters_begin_anew) {
  EXPECT_NE(get("/stats?filter=requests_total").body.find(": 3\n"), std::string::npos);
  EXPECT_EQ(post("/reset_counters").status, 200);
  EXPECT_NE(get("/stats?filter=requests_total").body.find(": 0\n"), std::string::npos);
}

TEST_F(AdminHandlerTest, stats_formats) {
  EXPECT_EQ(get("/stats?format=xml").status, 400);
  EXPECT_EQ(get("/stats").content_type, "text/plain; charset=utf-8");
  EXPECT_EQ(get("/stats?format=json").content_type, "application/json");
  EXPECT_FALSE(nlohmann::json::parse(get("/stats?format=json").body)["stats"].empty());
  Request scrape = request("GET", "/stats/prometheus");
  scrape.accept = "application/openmetrics-text; version=1.0.0";
  const Response response = handler.handle(scrape);
  EXPECT_EQ(response.content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
  EXPECT_TRUE(response.body.ends_with("# EOF\n"));
}

TEST_F(AdminHandlerTest, json_pages_are_json_whatever_the_names) {
  for (const char* target : {"/server_info", "/clusters?format=json", "/listeners?format=json",
                             "/certs", "/memory", "/config_dump", "/stats?format=json"}) {
    const Response response = get(target);
    EXPECT_EQ(response.content_type, "application/json") << target;
    EXPECT_TRUE(nlohmann::json::accept(response.body)) << target;
  }
  const ClusterInfo odd{.name = "\xff\"\n"};
  EXPECT_TRUE(nlohmann::json::accept(clusters_json({odd})));
}

TEST(AdminPages, names_stay_on_their_line) {
  EXPECT_EQ(listeners_text({{.name = "a\nb", .address = "c\r\x1b", .state = "listening"}}),
            "a?b::c??\n");
  const std::string text = clusters_text(
      {{.name = "x\n", .endpoints = {{.address = "1\n2", .locality = {"", "", "h\ne"}}}}});
  EXPECT_TRUE(text.starts_with("x?::protocol::\nx?::policy::\n")) << text;
  EXPECT_NE(text.find("x?::1?2::locality::h?e\n"), std::string::npos) << text;
}

TEST(AdminPages, docs_list_the_pages) {
  test::FakeAdminBackend backend;
  telemetry::Metrics metrics({.workers = 1, .process = false});
  AdminHandler handler(backend, metrics, {});
  const std::string help = handler.handle(request("GET", "/help")).body;
  EXPECT_NE(test::read_source_file("docs/admin.md").find("```\n" + help + "```\n"),
            std::string::npos)
      << "docs/admin.md should hold this list:\n"
      << help;
}

TEST_F(AdminHandlerTest, key_material_is_withheld) {
  backend.config = "{\"key\":\"-----BEGIN EC PRIVATE KEY-----\\nMHc\"}";
  const Response response = get("/config_dump");
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.body.find("MHc"), std::string::npos);
}

TEST(MetricsHandler, one_page_for_any_host) {
  telemetry::Metrics metrics({.workers = 1, .version = "0.1.0", .process = false});
  MetricsHandler handler(metrics, "/metrics");
  Request scrape = request("GET", "/metrics");
  scrape.host = "web.pods.example:15090";
  const Response response = handler.handle(scrape);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_NE(response.body.find("outrigger_build_info"), std::string::npos);
  EXPECT_EQ(handler.handle(request("POST", "/metrics")).status, 405);
  EXPECT_EQ(handler.handle(request("GET", "/stats")).status, 404);
  EXPECT_EQ(handler.handle(request("POST", "/quitquitquit")).status, 404);
}

TEST(ProbeHandler, three_probes) {
  test::FakeAdminBackend backend;
  ProbeHandler handler(backend);
  const auto statuses = [&handler] {
    std::string out;
    for (const char* path : {"/livez", "/readyz", "/startupz"}) {
      out += std::to_string(handler.handle(request("GET", path)).status) + " ";
    }
    return out;
  };
  backend.ready = {.started = false, .ready = false, .state = "INITIALIZING"};
  EXPECT_EQ(statuses(), "200 503 503 ");
  backend.ready = {.started = true, .ready = false, .state = "INITIALIZING", .reason = "registry"};
  EXPECT_EQ(statuses(), "200 503 200 ");
  EXPECT_EQ(handler.handle(request("GET", "/readyz")).body, "INITIALIZING\nregistry\n");
  backend.ready = {.started = true, .ready = true, .state = "LIVE"};
  EXPECT_EQ(statuses(), "200 200 200 ");
  EXPECT_EQ(handler.handle(request("GET", "/stats")).status, 404);
  EXPECT_EQ(handler.handle(request("POST", "/livez")).status, 405);
}

}  // namespace
}  // namespace outrigger::admin
