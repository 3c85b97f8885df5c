#include "config/load.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "config/yaml.h"
#include "support/config_world.h"
#include "support/golden_file.h"

namespace outrigger::config {
namespace {

const char* const identity = "identity: {cert: /c, key: /k, ca: /a}\n";

std::string all_messages(const LoadResult& result) {
  return render(result.errors, false);
}

std::shared_ptr<const Config> good(const std::string& text, const World& world = {}) {
  const LoadResult result = load_text("version: 1\n" + text, "web.yaml", world.environment());
  EXPECT_TRUE(result.ok()) << text << all_messages(result);
  return result.ok() ? result.config : std::make_shared<const Config>();
}

// Expects exactly one error, on this line (the `version` line counts), that contains this text.
void bad(const std::string& text, int line, const std::string& part, const World& world = {}) {
  const LoadResult result = load_text("version: 1\n" + text, "web.yaml", world.environment());
  EXPECT_FALSE(result.ok()) << text;
  ASSERT_EQ(result.errors.size(), 1U) << text << all_messages(result);
  EXPECT_EQ(result.errors[0].line, line) << text << all_messages(result);
  EXPECT_NE(result.errors[0].message.find(part), std::string::npos) << all_messages(result);
}

// A service `orders` without mTLS, for configurations that must refer to one.
const std::string orders = "services: {orders: {endpoints: [\"10.0.0.7:1\"], mtls: disabled}}\n";
std::string with_route(const std::string& route) {
  return orders + "routes:\n  - {" + route + "}\n";
}

TEST(Load, NineLinesAreASidecar) {
  const auto config =
      good(std::string("node: {service: web}\n") + identity +
           "inbound:\n  - {listen: 0.0.0.0:15006, app: 127.0.0.1:8080}\n"
           "outbound:\n  - {listen: 127.0.0.1:9001, service: orders}\n"
           "services:\n  orders: {endpoints: [10.0.0.7:15006, 10.0.0.8:15006], retry: 2}\n");
  EXPECT_EQ(config->node.service, "web");
  ASSERT_EQ(config->inbound.size(), 1U);
  EXPECT_EQ(config->inbound[0].name, "0.0.0.0:15006");
  EXPECT_EQ(config->inbound[0].app.to_string(), "127.0.0.1:8080");
  EXPECT_EQ(config->inbound[0].mtls, Mtls::strict);
  EXPECT_EQ(config->inbound[0].at.line, 5);
  EXPECT_EQ(config->outbound[0].service, "orders");
  const Service& service = config->services.at("orders");
  EXPECT_EQ(service.name, "orders");
  EXPECT_EQ(service.endpoints.size(), 2U);
  EXPECT_EQ(service.retry.max, 2);
  EXPECT_EQ(service.timeout, Millis(15'000));
  EXPECT_EQ(service.load_balancer.policy, LoadBalancer::Policy::peak_ewma);
  EXPECT_EQ(service.at.line, 9);
  EXPECT_EQ(config->identity->warn_before, std::chrono::hours(72));
}

TEST(Load, EveryShorthandIsItsMainField) {
  const auto config = good(
      "node: web\n"
      "admin: 127.0.0.1:1\n"
      "defaults: {mtls: disabled}\n"
      "registries: {local: {type: file, path: /e}}\n"
      "services:\n"
      "  a: {endpoints: 10.0.0.1:1, retry: 3, load_balancer: random}\n"
      "  b: {registry: local}\n"
      "routes:\n"
      "  - {match: a, answer: 404}\n"
      "  - {match: {service: a, methods: GET, headers: {X-Beta: 1}}, redirect: /new}\n"
      "telemetry: {access_log: none, prometheus: 127.0.0.1:2, log: debug}\n");
  EXPECT_EQ(config->node.service, "web");
  EXPECT_EQ(config->admin.listen.port, 1);
  EXPECT_EQ(config->services.at("a").endpoints.at(0).address.to_string(), "10.0.0.1:1");
  EXPECT_EQ(config->services.at("a").retry.max, 3);
  EXPECT_EQ(config->services.at("a").load_balancer.policy, LoadBalancer::Policy::random);
  EXPECT_EQ(config->services.at("b").registries, std::vector<std::string>{"local"});
  EXPECT_EQ(config->routes[0].match.service, "a");
  EXPECT_EQ(config->routes[0].answer->status, 404);
  EXPECT_EQ(config->routes[0].name, "route-1");
  EXPECT_EQ(config->routes[1].match.methods, std::vector<std::string>{"GET"});
  EXPECT_EQ(config->routes[1].match.headers[0].name, "x-beta");
  EXPECT_EQ(config->routes[1].match.headers[0].match.text, "1");
  EXPECT_EQ(config->routes[1].redirect->path, "/new");
  EXPECT_EQ(config->telemetry.access_log.path, "none");
  EXPECT_EQ(config->telemetry.prometheus.listen->port, 2);
  EXPECT_EQ(config->telemetry.log.level, "debug");
}

TEST(Load, DefaultsHoldUnlessAServiceSaysOtherwise) {
  const auto config = good(
      "services:\n"
      "  a: {endpoints: [\"10.0.0.1:1\"], retry: {max: 5}, timeout: 3s}\n"
      "  b: {endpoints: [\"10.0.0.1:1\"], retry: {retry_on: [503, 500-502, unavailable]}}\n"
      "routes:\n"
      "  - {match: a, retry: {per_try: 1s}}\n"
      "  - {match: a}\n"
      "defaults: {mtls: disabled, timeout: 2s, idle_timeout: 1m, retry: {max: 2, backoff: "
      "1ms..9ms, retry_on: [5xx]},"
      " breaker: {pending: 7}, load_balancer: least_request}\n");
  const Service& a = config->services.at("a");
  const Service& b = config->services.at("b");
  EXPECT_EQ(a.timeout, Millis(3000));
  EXPECT_EQ(b.timeout, Millis(2000));
  EXPECT_EQ(a.idle_timeout, Millis(60'000));
  EXPECT_EQ(a.retry.max, 5);
  EXPECT_EQ(a.retry.backoff_max, Millis(9)) << "maps are joined field by field";
  EXPECT_EQ(a.retry.retry_on, std::vector<RetryOn>{RetryOn::server_error});
  EXPECT_EQ(b.retry.max, 2);
  EXPECT_EQ(b.retry.retry_on, std::vector<RetryOn>{RetryOn::grpc_unavailable})
      << "lists are replaced";
  EXPECT_EQ(b.retry.statuses, (std::vector<StatusRange>{{503, 503}, {500, 502}}));
  EXPECT_EQ(b.breaker.pending, 7U);
  EXPECT_EQ(b.breaker.requests, 4096U);
  EXPECT_EQ(b.load_balancer.policy, LoadBalancer::Policy::least_request);
  ASSERT_TRUE(config->routes[0].retry.has_value());
  EXPECT_EQ(config->routes[0].retry->max, 5) << "a route's retry builds on its service's";
  EXPECT_EQ(config->routes[0].retry->per_try, Millis(1000));
  EXPECT_FALSE(config->routes[1].retry.has_value());
}

TEST(Load, Routes) {
  const auto config = good(
      "defaults: {mtls: disabled}\n"
      "services:\n"
      "  orders: {endpoints: [{address: 10.0.0.1:1, labels: {v: a}}, {address: 10.0.0.2:1, labels: "
      "{v: b}}],"
      " subsets: {stable: {v: a}, canary: {v: b}}}\n"
      "routes:\n"
      "  - match: {service: orders, host: \"*.Example.org\", path: /api/**, query: {q: {prefix: "
      "x}, r: {absent: true}}}\n"
      "    split: {orders/stable: 99.5%, orders/canary: 0.5%}\n"
      "    rewrite: {prefix: {from: /api/, to: /}, host: inner}\n"
      "    request_headers: {set: {X-A: b}, add: {x-c: d}, remove: [X-E]}\n"
      "    timeout: 1s\n"
      "  - {match: {service: orders, path: \"~ ^/v[0-9]+\"}, to: orders/canary, enabled: false}\n"
      "  - {match: {path: /exact}, redirect: {scheme: https, status: 308}}\n"
      "  - {match: {service: orders, headers: {a: {regex: 'x+'}, b: {present: true}, c: {present: "
      "false}}}}\n");
  ASSERT_EQ(config->routes.size(), 4U);
  const Route& split = config->routes[0];
  EXPECT_EQ(split.match.host->kind, TextMatch::Kind::suffix);
  EXPECT_EQ(split.match.host->text, ".example.org");
  EXPECT_EQ(split.match.path->kind, TextMatch::Kind::prefix);
  EXPECT_EQ(split.match.path->text, "/api/");
  EXPECT_EQ(split.match.query[0].match.kind, TextMatch::Kind::prefix);
  EXPECT_EQ(split.match.query[1].match.kind, TextMatch::Kind::absent);
  ASSERT_EQ(split.destinations.size(), 2U);
  EXPECT_EQ(split.destinations[0].subset, "stable");
  EXPECT_EQ(split.destinations[0].weight, 9950U);
  EXPECT_EQ(split.destinations[1].weight, 50U);
  EXPECT_EQ(split.rewrite->prefix_from, "/api/");
  EXPECT_EQ(split.rewrite->host, "inner");
  EXPECT_EQ(split.request_headers.set[0], (std::pair<std::string, std::string>{"x-a", "b"}));
  EXPECT_EQ(split.request_headers.remove, std::vector<std::string>{"x-e"});
  EXPECT_EQ(split.timeout, Millis(1000));
  EXPECT_EQ(config->routes[1].match.path->kind, TextMatch::Kind::regex);
  EXPECT_EQ(config->routes[1].match.path->text, "^/v[0-9]+");
  EXPECT_FALSE(config->routes[1].enabled);
  EXPECT_EQ(config->routes[2].redirect->status, 308);
  EXPECT_EQ(config->routes[3].destinations.at(0).service, "orders") << "the matched service";
  EXPECT_EQ(config->routes[3].match.headers[2].match.kind, TextMatch::Kind::absent);
}

TEST(Load, VariablesAreFilledInAfterParsing) {
  World world;
  world.variables = {{"ID", "a: [b"}, {"EMPTY", ""}, {"ON", "false"}};
  world.files = {{"/run/secret", "s3cret\n"}};
  const auto config = good(
      "node: {service: \"${NAME:-web}\", id: \"${ID}\", labels: {a: \"${EMPTY:-x}\", b: \"$${ID}\","
      " c: \"${file:/run/secret}\", d: \"$5 and ${ID}${ID}\", e: '${NONE:-}$x'}}\n" +
          with_route("match: orders, enabled: \"${ON}\""),
      world);
  EXPECT_EQ(config->node.service, "web");
  EXPECT_EQ(config->node.id, "a: [b") << "a value cannot inject structure";
  EXPECT_EQ(config->node.labels.at("a"), "x");
  EXPECT_EQ(config->node.labels.at("b"), "${ID}");
  EXPECT_EQ(config->node.labels.at("c"), "s3cret");
  EXPECT_EQ(config->node.labels.at("d"), "$5 and a: [ba: [b");
  EXPECT_EQ(config->node.labels.at("e"), "$x");
  EXPECT_FALSE(config->routes[0].enabled);
}

TEST(Load, VariablesThatCannotBeFilledIn) {
  World world;
  world.variables = {{"BYTES", "\xFF"}};
  world.files = {{"/bin", std::string("a\0b", 3)}};
  bad("node: ${NOPE}\n", 2, "NOPE is not set; write ${NOPE:-default}", world);
  bad("node: ${file:/nope}\n", 2, "cannot read /nope", world);
  bad("node: \"${file:}\"\n", 2, "needs a path", world);
  bad("node: ${file:/bin}\n", 2, "does not hold text", world);
  bad("node: ${BYTES}\n", 2, "does not hold text", world);
  bad("node: ${1}\n", 2, "names no variable; write $${", world);
  bad("node: ${}\n", 2, "names no variable", world);
  bad("node: ${A\n", 2, "without its '}'", world);
  bad("node: ${A:-${B}}\n", 2, "cannot stand inside another", world);
  bad("node: {labels: {\"${A}\": x}}\n", 2, "not into keys");
}

TEST(Load, WhatAVariableHoldsStandsInNoError) {
  World world;
  world.files = {{"/run/secret", "hunter2"}};
  world.variables = {{"TOKEN", "hunter2("}};
  for (const std::string secret : {"\"${file:/run/secret}\"", "\"${TOKEN}\"", "\"x${TOKEN}\""}) {
    const LoadResult result = load_text(
        "version: 1\nruntime: {drain: " + secret + ", workers: " + secret + "}\n" +
            "defaults: {mtls: disabled, protocol: " + secret + ", retry: {retry_on: " + secret +
            ", backoff: " + secret + ", budget: " + secret + "}}\n" +
            "services: {orders: " + secret + ", users: {registry: " + secret + ", endpoints: [" +
            secret + "]}, users2: {endpoints: [\"10.0.0.1:1\"]}}\n" + "admin: {listen: " + secret +
            "}\n" + "registries: {r: {type: " + secret + "}, q: {type: file, path: " + secret +
            "}}\n" + "inbound: [{name: " + secret + ", listen: " + secret + ", app: " + secret +
            "}]\n" + "telemetry: {access_log: " + secret + "}\n" +
            "outbound: [{listen: 127.0.0.1:1, service: " + secret + ", route_by: " + secret +
            "}, {listen: 127.0.0.1:2, service: " + secret + "}]\n" + "routes: [{match: " + secret +
            ", to: " + secret + "}, {match: {service: users2, host: " + secret +
            ", path: " + secret + ", methods: " + secret + ", headers: {a: [" + secret +
            "]}}, request_headers: " + secret + ", split: {users2: " + secret + "}}]\n",
        "web.yaml", world.environment());
    EXPECT_GE(result.errors.size(), 15U) << all_messages(result);
    EXPECT_EQ(all_messages(result).find("hunter2"), std::string::npos) << all_messages(result);
  }
}

TEST(Load, WarningsShowNamesAsTheyAreWritten) {
  World world;
  world.variables = {{"NAME", "hunter2"}, {"PORT", "4711"}};
  const auto warnings = [&](const std::string& text) {
    const LoadResult result =
        load_text("version: 1\n" + orders + text, "web.yaml", world.environment());
    EXPECT_TRUE(result.ok()) << text << all_messages(result);
    EXPECT_EQ(result.warnings.size(), 1U) << text;
    return result.warnings.empty() ? "" : result.warnings[0].message;
  };
  const auto inbound = [](const std::string& fields) {
    return "inbound: [{app: 127.0.0.1:2, mtls: disabled, protocol: [http, tcp], " + fields + "}]\n";
  };
  const auto outbound = [](const std::string& listener, const std::string& route) {
    return "outbound: [{service: orders, paths: as_is, " + listener + "}]\nroutes: [{" + route +
           "match: {path: /a}, answer: 403}]\n";
  };
  const std::string listen = "listen: 127.0.0.1:1";
  const std::string filled = "listen: \"127.0.0.1:${PORT}\"";
  const std::string name = "name: \"${NAME}\", ";
  EXPECT_EQ(warnings(inbound(name + listen)).find("inbound '${NAME}': "), 0U);
  EXPECT_EQ(warnings(inbound(filled)).find("inbound '127.0.0.1:${PORT}': "), 0U);
  EXPECT_EQ(warnings(outbound(name + listen, "")).find("outbound '${NAME}': route 'route-1' "), 0U);
  EXPECT_EQ(warnings(outbound(filled, name)).find("outbound '127.0.0.1:${PORT}': route '${NAME}' "),
            0U);
  // The path of a file may contain any character.
  world.files = {{"/run/a\u009bb", "/run/socket"}};
  const std::string escapes = "listen: \"unix:${file:/run/a\\u009bb}\"";
  EXPECT_EQ(warnings(inbound(escapes)).find("inbound 'unix:${file:/run/a?b}': "), 0U);
  EXPECT_EQ(warnings(outbound(escapes, "")).find("outbound 'unix:${file:/run/a?b}': "), 0U);
}

// A valid configuration whose variables hold values that not everyone who reads the dump may see.
TEST(Load, TheDumpShowsVariablesAsTheyAreWritten) {
  World world;
  world.files = {{"/run/secret", "hunter2"}};
  world.variables = {{"TOKEN", "hunter3"}};
  const auto config =
      good(with_route("match: {service: orders, headers: {authorization: \"Bearer ${TOKEN}\"}}, "
                      "request_headers: {set: {authorization: \"Bearer ${file:/run/secret}\", "
                      "x-literal: \"$${TOKEN}\", x-default: \"${NONE:-plain}\"}}"),
           world);
  EXPECT_EQ(config->routes.at(0).request_headers.set.at(0).second, "Bearer hunter2");
  EXPECT_EQ(config->routes.at(0).match.headers.at(0).match.text, "Bearer hunter3");
  EXPECT_TRUE(config->routes.at(0).match.headers.at(0).match.from_variable);
  EXPECT_EQ(config->json.find("hunter"), std::string::npos) << config->json;
  for (const char* written :
       {R"("***${TOKEN}")", R"("***${file:/run/secret}")", R"("${NONE:-***}")"}) {
    EXPECT_NE(config->json.find(written), std::string::npos) << written << " in " << config->json;
  }
}

TEST(Load, TheDumpShowsNoValueOfAHeaderOrParameter) {
  World world;
  world.variables = {{"TOKEN", "hunter2"}};
  const auto config =
      good(with_route(
               "match: {service: orders, path: /open, headers: {authorization: \"Bearer hunter2\", "
               "x-key: {prefix: hunter2}, x-any: {present: true}}, "
               "query: {headers: hunter2}}, "
               "request_headers: {set: {authorization: \"hunter2${TOKEN}hunter2\", x-empty: \"\"}, "
               "add: {x-default: \"${NONE:-hunter2}${NONE:-}\"}, remove: [x-gone]}, "
               "response_headers: {set: {x-literal: \"$${hunter2}\"}}"),
           world);
  EXPECT_EQ(config->json.find("hunter"), std::string::npos) << config->json;
  for (const char* shown :
       {R"("path":"/open")", R"("authorization":"***","x-key":{"prefix":"***"},"x-any":)",
        R"("query":{"headers":"***"})", R"("set":{"authorization":"***${TOKEN}***","x-empty":""})",
        R"("add":{"x-default":"${NONE:-***}${NONE:-}"},"remove":["x-gone"])",
        R"("response_headers":{"set":{"x-literal":"***"}})"}) {
    EXPECT_NE(config->json.find(shown), std::string::npos) << shown << " in " << config->json;
  }
}

TEST(Load, TheHashIsOfWhatIsInForce) {
  const auto hash = [](const std::string& text, const std::string& value) {
    World world;
    world.files = {{"/run/value", value}};
    world.variables = {{"VALUE", value}};
    return good(text, world)->hash;
  };
  const auto both = [](const std::string& before, const std::string& after) {
    return std::vector{before + "${VALUE}" + after, before + "${file:/run/value}" + after};
  };
  const std::string service = "services: {query: {mtls: disabled, endpoints: [\"10.0.0.1:1\"], ";
  for (const std::string& text : both(service + "timeout: \"", "\"}}\n")) {
    EXPECT_EQ(hash(text, "5s"), hash(text, "5s"));
    EXPECT_NE(hash(text, "5s"), hash(text, "6s")) << text;
  }
  for (const std::string& text :
       both(orders + "routes:\n  - {match: {service: orders, path: \"/", "\"}}\n"))
    EXPECT_NE(hash(text, "a"), hash(text, "b")) << text;
  // However it is written, the same configuration is in force.
  EXPECT_EQ(hash(service + "timeout: \"${VALUE}\"}}\n", "5s"),
            hash(service + "timeout: 5s}}\n", ""));
  EXPECT_NE(hash(service + "timeout: 5s}}\n", ""), hash(service + "timeout: 6s}}\n", ""));
  // A hash would let a possible secret be guessed.
  for (const char* secret : {"match: {service: orders, headers: {authorization: \"",
                             "match: {service: orders, query: {key: \"",
                             "match: orders, request_headers: {set: {authorization: \"",
                             "match: orders, response_headers: {add: {x-key: \""}) {
    for (const std::string& text : both(orders + "routes:\n  - {" + secret, "\"}}}\n"))
      EXPECT_EQ(hash(text, "hunter2"), hash(text, "hunter3")) << text;
  }
  // Instances with the same configuration have the same version.
  for (const std::string& text : both("node: {service: web, id: \"", "\"}\n"))
    EXPECT_EQ(hash(text, "web-0"), hash(text, "web-1")) << text;
}

TEST(Load, ANameOrKeyCannotForgeALineOfTheReport) {
  const std::string forged = "\"x\\nweb.yaml:1:1: error: forged\\e[31m\\u009b2J\"";
  for (const std::string& text :
       {"version: 1\nservices: {" + forged + ": {endpoints: [\"10.0.0.1:70000\"], retires: 1}}\n",
        "version: 1\n" + forged + ": 1\n", "version: 1\nnode: {labels: {" + forged + ": []}}\n",
        "version: 1\nregistries: {" + forged + ": {type: file}}\n"}) {
    const LoadResult result = load_text(text, "web.yaml", World{}.environment());
    EXPECT_FALSE(result.ok());
    for (const Diagnostic& d : result.errors) {
      for (const char c : d.message) EXPECT_GE(static_cast<unsigned char>(c), 0x20) << d.message;
      EXPECT_EQ(d.message.find("\xC2\x9B"), std::string::npos) << d.message;
    }
  }
}

TEST(Load, AFileNameCannotForgeALineOfTheReport) {
  World world;
  world.files = {{"a\nb\x1b.yaml", "version: 2\n"}};
  const std::string report = all_messages(load_file("a\nb\x1b.yaml", world.environment()));
  EXPECT_TRUE(report.starts_with("a?b?.yaml:1:10: error: ")) << report;
}

TEST(Load, IncludedFilesAreOneConfiguration) {
  World world;
  world.files = {{"/etc/o/conf.d/b.yaml",
                  "services: {b: {endpoints: [\"10.0.0.2:1\"]}}\nnode: {id: two}\n"
                  "outbound: [{listen: 127.0.0.1:2, service: b}]\n"},
                 {"/etc/o/conf.d/a.yaml",
                  "version: 1\nservices: {a: {endpoints: [\"10.0.0.1:1\"]}}\n"
                  "outbound: [{listen: 127.0.0.1:1, service: a}]\n"
                  "registries: {r: {type: file, path: e.yaml}}\n"},
                 {"/etc/o/conf.d/empty.yaml", "# nothing\n"},
                 {"/etc/o/web.yaml",
                  "version: 1\ninclude: conf.d/*.yaml\nnode: {service: web}\n"
                  "defaults: {mtls: disabled}\n"
                  "outbound: [{listen: 127.0.0.1:9, route_by: host}]\n"}};
  const LoadResult result = load_file("/etc/o/web.yaml", world.environment());
  ASSERT_TRUE(result.ok()) << all_messages(result);
  EXPECT_EQ(result.files,
            (std::vector<std::string>{"/etc/o/web.yaml", "/etc/o/conf.d/a.yaml",
                                      "/etc/o/conf.d/b.yaml", "/etc/o/conf.d/empty.yaml"}));
  ASSERT_EQ(result.config->outbound.size(), 3U);
  EXPECT_EQ(result.config->outbound[0].listen.port, 9) << "the main file comes first";
  EXPECT_EQ(result.config->outbound[1].listen.port, 1);
  EXPECT_EQ(result.config->outbound[2].at.file, "/etc/o/conf.d/b.yaml");
  EXPECT_EQ(result.config->services.size(), 2U);
  EXPECT_EQ(result.config->services.at("a").mtls, Mtls::disabled);
  EXPECT_EQ(result.config->node.service, "web");
  EXPECT_EQ(result.config->node.id, "two");
  EXPECT_EQ(result.config->registries.at("r").path, "/etc/o/conf.d/e.yaml")
      << "relative to the file that names it";
}

TEST(Load, WhatIsGivenTwiceAcrossFilesIsAnError) {
  World world;
  world.files = {{"a.yaml", "services: {orders: {endpoints: [\"10.0.0.1:1\"]}}\n"},
                 {"b.yaml", "node: {service: other}\n"},
                 {"c2.yaml", "outbound: {listen: 127.0.0.1:1}\n"},
                 {"d.yaml", "- a\n"},
                 {"e.yaml", "version: 2\n"},
                 {"bad.yaml", "node: [\n"}};
  const auto refused = [&](const std::string& text, const std::string& file,
                           const std::string& part) {
    const LoadResult result = load_text("version: 1\n" + text, "web.yaml", world.environment());
    ASSERT_EQ(result.errors.size(), 1U) << text << all_messages(result);
    EXPECT_EQ(result.errors[0].file, file);
    EXPECT_NE(result.errors[0].message.find(part), std::string::npos) << all_messages(result);
  };
  refused("include: a.yaml\n" + orders, "a.yaml",
          "'orders' is given twice; it is already in web.yaml:3");
  refused("include: b.yaml\nnode: {service: web}\n", "b.yaml", "'service' is given twice");
  refused("include: b.yaml\nnode: web\n", "b.yaml", "'node' is given twice");
  refused("include: e.yaml\n", "e.yaml", "'version' is given twice");
  refused("include: d.yaml\n", "d.yaml", "a map of fields");
  refused("include: bad.yaml\n", "bad.yaml", "never closed");
  refused("include: nope.yaml\n", "web.yaml", "cannot read nope.yaml");
  refused("include: web.yaml\n", "web.yaml", "already included");
  refused("include: [b.yaml, b.yaml]\n", "web.yaml", "already included");
  refused("include: \"consul:outrigger/web\"\n", "web.yaml", "not supported yet");
  refused("include: [{a: b}]\n", "web.yaml", "path or pattern");
  refused("include: c2.yaml\noutbound: []\n", "c2.yaml", "expected a list");
  refused("include: [none/*.yaml]\nnode: [1]\n", "web.yaml", "not a list");
}

TEST(Load, ANestedIncludeIsFollowed) {
  World world;
  world.files = {{"d/a.yaml", "include: sub/b.yaml\n"}, {"d/sub/b.yaml", "node: web\n"}};
  const LoadResult result =
      load_text("version: 1\ninclude: d/a.yaml\n", "web.yaml", world.environment());
  ASSERT_TRUE(result.ok()) << all_messages(result);
  EXPECT_EQ(result.config->node.service, "web");
}

TEST(Load, AFileThatCannotBeRead) {
  World world;
  const LoadResult result = load_file("/nope.yaml", world.environment());
  ASSERT_EQ(result.errors.size(), 1U);
  EXPECT_EQ(render(result.errors, false),
            "/nope.yaml: error: cannot read /nope.yaml: No such file or directory\n");
}

TEST(Load, ErrorsOfSingleFields) {
  bad("jwt: {}\n", 2, "jwt is not supported yet");
  bad("wrkers: 2\n", 2, "unknown key 'wrkers' at the top level");
  bad("node: {servce: web}\n", 2, "unknown key 'servce' in node; did you mean 'service'?");
  bad("node: {service:}\n", 2, "node.service: a value is missing; expected a service name");
  bad("node: {service: [a]}\n", 2, "expected a service name, not a list");
  bad("node: [a]\n", 2, "expected a map of fields, not a list");
  bad("node: {service: Web}\n", 2, "write web");
  bad("runtime: {workers: 0}\n", 2, "or auto");
  bad("runtime: {workers: 01}\n", 2, "has a leading zero");
  bad("runtime: {memory: 80%}\n", 2, "runtime.memory is not supported yet");
  bad("runtime: {connections: 0}\n", 2, "from 1 to");
  bad("inbound: {listen: 127.0.0.1:1}\n", 2, "expected a list");
  bad("inbound: 5\n", 2, "expected a list of maps of fields, not '5'");
  bad("outbound:\n  - {listen: 127.0.0.1:1, service: a, transparent: {}}\n" +
          std::string("services: {a: {endpoints: [\"10.0.0.1:1\"], mtls: disabled}}\n"),
      3, "outbound[0].transparent is not supported");
  bad("registries: {c: {type: consul, address: x}}\n", 2, "'consul' is not supported yet");
  bad("registries: {c: {type: consl}}\n", 2, "did you mean 'consul'?");
  bad("registries: {c: {path: /x}}\n", 2, "registries.c: 'type' is missing");
  bad("telemetry: {log: {level: loud}}\n", 2, "'loud' is none of trace, debug");
  bad("telemetry: {log: {levels: {discvery: debug}}}\n", 2, "did you mean 'discovery'?");
  bad("telemetry: {access_log: {path: stdot}}\n", 2, "did you mean 'stdout'?");
  bad("telemetry: {access_log: {always: [slow]}}\n", 2, "slow>500ms");
  bad("telemetry: {access_log: {always: [slow>5]}}\n", 2, "no unit");
  bad("telemetry: {prometheus: {compat: [istio]}}\n", 2, "not supported");
  bad("telemetry: {tracing: {}}\n", 2, "telemetry.tracing is not supported");
  bad("discovery: {on_demand: consul}\n", 2, "not supported");
  for (const char* service :
       {"outlier: {eject: 1s}", "health: {http: /h}", "load_balancer: maglev", "proxy_protocol: {}",
        "load_balancer: {slow_start: 3s}", "breaker: {retries: 3}", "load_balancer: {plugin: /x}",
        "load_balancer: {hash: x}", "timeout_total: 3s"}) {
    bad(std::string("services: {a: {endpoints: [\"10.0.0.1:1\"], mtls: disabled, ") + service +
            "}}\n",
        2, "not supported yet");
  }
}

TEST(Load, ErrorsOfServices) {
  const auto refused = [](const std::string& fields, const std::string& part) {
    bad("defaults: {mtls: disabled}\nservices: {a: {endpoints: [\"10.0.0.1:1\"], " + fields +
            "}}\n",
        3, part);
  };
  refused("timeout: 5", "no unit");
  refused("timeout: 0s", "at least 1ms");
  refused("retires: 2", "unknown key 'retires' in services.a; did you mean 'retry'?");
  refused("mtls: permissive", "is none of strict, disabled");
  refused("protocol: auto", "is none of http, grpc, tcp");
  refused("retry: {max: 11}", "from 0 to 10");
  refused("retry: -1", "services.a.retry: '-1' is not a whole number");
  refused("retry: {budget: 0.2}", "write 0.2%");
  refused("retry: {backoff: 25ms}", "write for example 25ms..250ms");
  refused("retry: {backoff: 25ms..1ms}", "runs backwards");
  refused("retry: {backoff: 25..250ms}", "no unit");
  refused("retry: {retry_on: [gateway_eror]}", "did you mean 'gateway_error'?");
  refused("retry: {retry_on: [199]}", "from 200 to 599");
  refused("retry: {retry_on: [504-500]}", "runs backwards");
  refused("retry: {retry_on: [retriable_headers]}", "needs 'headers: [NAME]'");
  refused("breaker: {requests: 0}", "from 1 to");
  refused("load_balancer: {policy: fast}", "is none of peak_ewma");
  refused("wire: http1, protocol: grpc", "gRPC needs HTTP/2");
  refused("wire: http2, protocol: tcp", "wire has no effect");
  refused("expect_ids: [\"spiffe://x/y\"]", "expect_ids has no effect with mtls: disabled");
  refused("subsets: {s: {v: x}}", "has the labels of subset 's'");
  refused("registry: consul", "there is no registry 'consul'");
  const auto endpoint = [](const std::string& text, const std::string& part) {
    bad("defaults: {mtls: disabled}\nservices: {a: {endpoints: [" + text + "]}}\n", 3, part);
  };
  endpoint("10.0.0.1", "no port");
  endpoint("{weight: 2}", "services.a.endpoints[0]: 'address' is missing");
  endpoint("{address: 10.0.0.1:1, weight: 0}", "from 1 to");
  endpoint("10.0.0.1:1, 10.0.0.1:1", "is given twice");
  endpoint("", "has neither endpoints nor a registry");
  for (const std::string id : {"spiffe://a/../b", "spiffe://a/.", "spiffe://a//b", "spiffe://a"}) {
    bad(std::string(identity) + "services: {a: {endpoints: [\"10.0.0.1:1\"], expect_ids: [\"" + id +
            "\"]}}\n",
        3, "'" + id + "' is not a well-formed SPIFFE ID");
  }
  bad(std::string(identity) + "services: {a: {endpoints: [\"10.0.0.1:1\"], expect_ids: [x]}}\n", 3,
      "not a SPIFFE ID");
  for (const char* id : {"spiffe://x/*/y", "spiffe://x/y*", "spiffe://x/y/**", "spiffe://*/y"}) {
    bad(std::string(identity) + "services: {a: {endpoints: [\"10.0.0.1:1\"], expect_ids: [\"" + id +
            "\"]}}\n",
        3, "'*' is only allowed alone, after the last '/'");
  }
  const auto below = good(std::string(identity) +
                          "services: {a: {endpoints: [\"10.0.0.1:1\"], expect_ids: "
                          "[\"spiffe://x/ns/*\", \"spiffe://x/*\"]}}\n");
  EXPECT_EQ(below->services.at("a").expect_ids,
            (std::vector<std::string>{"spiffe://x/ns/*", "spiffe://x/*"}));
  bad("defaults: {mtls: disabled}\nservices: {A: {endpoints: [\"10.0.0.1:1\"]}}\n", 3, "write a");
  bad("defaults: {mtls: disabled}\nservices: {a/b: {endpoints: [\"10.0.0.1:1\"]}}\n", 3,
      "is not a name");
}

TEST(Load, ErrorsOfRoutes) {
  const auto refused = [](const std::string& route, const std::string& part) {
    bad(with_route(route), 4, part);
  };
  refused("match: order, to: orders", "there is no service 'order'; did you mean 'orders'?");
  refused("match: orders, to: order", "there is no service 'order'");
  refused("match: orders, to: orders/canary", "has no subset 'canary'");
  refused("match: orders, to: orders/", "names no subset");
  refused("match: orders, split: {orders: 99%}", "add up to 99%, not to 100%");
  refused("match: orders, split: {orders: 100%, order: 0%}", "there is no service 'order'");
  refused("match: orders, split: {orders: 1}", "no unit");
  refused("match: orders, split: {}", "add up to 0%");
  refused("match: orders, to: orders, answer: 404", "one of to, split, redirect and answer");
  refused("match: {path: /x}", "has no action");
  refused("match: {service: orders, path: x}", "does not begin with '/'");
  refused("match: {service: orders, path: /a*}", "only allowed in a final '/**'");
  refused("match: {service: orders, path: /a/**/b}", "only allowed in a final '/**'");
  refused("match: {service: orders, path: '/a?b'}", "contains a space");
  refused("match: {service: orders, path: '~'}", "regular expression is missing");
  refused("match: {service: orders, host: 'a:80'}", "without a port");
  refused("match: {service: orders, methods: [get]}", "'GET'");
  refused("match: {service: orders, headers: {'a b': x}}", "is not a header name");
  refused("match: {service: orders, headers: {a: {exact: x, prefix: y}}}", "give one of");
  refused("match: {service: orders, headers: {a: }}", "{present: true}");
  refused("match: orders, rewrite: {prefix: {from: /a}}", "'to' is missing");
  refused("match: orders, rewrite: {}", "needs a prefix or host");
  refused("match: orders, redirect: {path: /x, status: 200}", "is none of 301");
  refused("match: orders, redirect: {status: 301}", "needs a scheme, host or path");
  refused("match: orders, answer: {status: 600}", "from 200 to 599");
  refused("match: orders, answer: 404, timeout: 1s", "timeout has no effect with answer");
  refused("match: orders, redirect: /x, rewrite: {host: y}", "rewrite has no effect with redirect");
  refused("match: orders, request_headers: {set: {host: x}}", "rewrite: {host:");
  refused("match: orders, request_headers: {set: {Content-Length: '1'}}", "cannot be edited");
  refused("match: orders, request_headers: {remove: [':path']}", "not a header name");
  refused("match: orders, request_headers: {set: {a: \"x\\ny\"}}", "not a header value");
  refused("match: orders, enabled: yes", "write true");
  for (const char* key : {"mirror", "hedge", "fault"}) {
    refused(std::string("match: orders, ") + key + ": {}", "not supported yet");
  }
  bad(with_route("match: orders, rollout: {}"), 4, "routes[0].rollout is not supported");
  bad(orders + "routes:\n  - {name: a, match: orders}\n  - {name: a, match: orders}\n", 5,
      "the name 'a' is already used by routes[0]");
  bad("defaults: {mtls: disabled}\nservices: {db: {endpoints: [\"10.0.0.1:1\"], protocol: tcp}}\n"
      "routes:\n  - match: db\n",
      5, "uses protocol: tcp; routes are for HTTP");
}

TEST(Load, ListenersThatDisturbEachOther) {
  const auto refused = [](const std::string& text, const std::string& part) {
    bad(orders + text, 3, part);
  };
  refused(
      "outbound: [{listen: 127.0.0.1:1, service: orders}, {listen: 127.0.0.1:1, service: "
      "orders}]\n",
      "outbound[1]: 127.0.0.1:1 is already used by outbound[0]");
  refused(
      "outbound: [{listen: 0.0.0.0:1, service: orders}, {listen: 127.0.0.1:1, service: orders}]\n",
      "is already used by outbound[0] (0.0.0.0:1)");
  refused("outbound: [{listen: 127.0.0.1:15000, service: orders}]\n",
          "is already used by admin.listen");
  refused("telemetry: {prometheus: 127.0.0.1:15000}\n", "is already used by admin.listen");
  refused("outbound: [{listen: unix:/a, service: orders}, {listen: unix:/a, service: orders}]\n",
          "unix:/a is already used");
  refused(
      "outbound: [{name: x, listen: 127.0.0.1:1, service: orders}, {name: x, listen: 127.0.0.1:2, "
      "service: orders}]\n",
      "the name 'x' is already used by outbound[0]");
  good(orders +
       "outbound: [{listen: 127.0.0.1:1, service: orders}, {listen: 127.0.0.2:1, service: orders},"
       " {listen: \"[::]:1\", service: orders}]\n");
  good(orders +
       "outbound: [{listen: 127.0.0.1:0, service: orders}, {listen: 127.0.0.1:0, service: "
       "orders}]\n");
}

TEST(Load, ListenersThatLeadNowhere) {
  bad("outbound: [{listen: 127.0.0.1:1}]\n", 2, "has no destination");
  bad(orders + "outbound: [{listen: 127.0.0.1:1, service: orders, route_by: host}]\n", 3,
      "not both");
  bad("outbound: [{listen: 127.0.0.1:1, service: orders}]\n", 2, "there is no service 'orders'");
  bad("outbound: [{listen: 127.0.0.1:1, route_by: hosts}]\n", 2, "did you mean 'host'?");
  bad("inbound: [{listen: 127.0.0.1:1, app: 127.0.0.1:1, mtls: disabled}]\n", 2,
      "would call itself");
  bad("inbound: [{listen: 127.0.0.1:1, app: 127.0.0.1:2, mtls: disabled, protocol: tcp, limits: "
      "{body: 1MiB}}]\n",
      2, "has no effect with protocol: tcp");
  bad("inbound: [{listen: 127.0.0.1:1, app: 127.0.0.1:2, mtls: disabled, protocol: tcp, upgrades: "
      "[foo]}]\n",
      2, "upgrades has no effect with protocol: tcp");
  // HTTP itself cannot be upgraded to, and a name must be valid in Upgrade.
  for (const char* upgrade : {"h2c", "H2", "HTTP/2.0"}) {
    bad("inbound: [{listen: 127.0.0.1:1, app: 127.0.0.1:2, mtls: disabled, upgrades: [" +
            std::string(upgrade) + "]}]\n",
        2, "is HTTP itself");
  }
  for (const char* upgrade : {"'a b'", "x/", "/x", "a/b/c"}) {
    bad("inbound: [{listen: 127.0.0.1:1, app: 127.0.0.1:2, mtls: disabled, upgrades: [" +
            std::string(upgrade) + "]}]\n",
        2, "is not the name of a protocol");
  }
  bad("inbound: [{listen: 127.0.0.1:1, app: 127.0.0.1:2, mtls: disabled, trusted_proxies: "
      "[10.0.0.0/33]}]\n",
      2, "prefix length");
  bad("admin: 0.0.0.0:15000\n", 2, "other machines could reach the admin port");
  bad("inbound: [{listen: 127.0.0.1:1, app: 127.0.0.1:2, mtls: disabled, breaker: {requests: "
      "0}}]\n",
      2, "from 1 to");
  good("admin: unix:/run/o.sock\n");
  good("admin: {listen: unix:/run/o.sock, socket_mode: 0660}\n");
  bad("admin: {listen: unix:/run/o.sock, socket_mode: 0o660}\n", 2, "is not a mode in octal");
}

TEST(Load, WhatOnlyHttpReadsIsRefusedWithTcp) {
  // `defaults` applies to services of both kinds.
  const auto with = [](const std::string& service, const std::string& listener) {
    return "defaults: {mtls: disabled, retry: 2, timeout: 5s, http2_ping: 1m}\n"
           "services: {db: {endpoints: [\"10.0.0.1:1\"], " +
           service + "}}\noutbound: [{listen: 127.0.0.1:1, service: db" + listener + "}]\n";
  };
  good(with("protocol: tcp", ""));
  good(with("protocol: tcp, wire: auto", ""));
  for (const char* field : {"paths: auto", "upgrades: [websocket]", "http2_ping: 1m"}) {
    good(with("protocol: http", std::string(", ") + field));
    bad(with("protocol: tcp", std::string(", ") + field), 4, "service 'db' uses protocol: tcp");
  }
  for (const char* field : {"retry: 1", "http2_ping: 1m", "timeout: 1s", "breaker: {pending: 1}",
                            "breaker: {requests: 1}"}) {
    good(with(std::string("protocol: http, ") + field, ""));
    bad(with(std::string("protocol: tcp, ") + field, ""), 3, "has no effect with protocol: tcp");
  }
  good(with("protocol: tcp, idle_timeout: 1s, breaker: {connections: 1}", ""));
  // They apply to the HTTP half.
  good(
      "inbound: [{listen: 127.0.0.1:1, app: 127.0.0.1:2, mtls: disabled, protocol: [http, tcp], "
      "paths: normalise, upgrades: [], http2_ping: 1m}]\n");
}

TEST(Load, WhatHasNoReaderIsRefused) {
  bad("admin: {socket_mode: 0660}\n", 2, "admin.listen is 127.0.0.1:15000");
  bad("admin: {listen: \"[::1]:1\", socket_mode: 0660}\n", 2, "admin.listen is [::1]:1");
  good("admin: {listen: unix:/run/o.sock, socket_mode: 0660}\n");
  bad("telemetry: {prometheus: {path: /m}}\n", 2, "needs prometheus.listen");
  good("telemetry: {prometheus: {listen: 127.0.0.1:1, path: /m}}\n");
}

TEST(Load, TcpIsTakenBesideHttpOnlyWhereItIsListed) {
  const auto inbound = [](const std::string& more) {
    return "inbound: [{listen: 127.0.0.1:1, app: 127.0.0.1:2, mtls: disabled, " + more + "}]\n";
  };
  const auto protocol = [&](const std::string& text) {
    return good(inbound("protocol: " + text))->inbound.at(0).protocol;
  };
  EXPECT_EQ(good(inbound("name: x"))->inbound.at(0).protocol, Protocol::auto_);
  EXPECT_EQ(protocol("tcp"), Protocol::tcp);
  EXPECT_EQ(protocol("[grpc]"), Protocol::grpc);
  EXPECT_EQ(protocol("[http, tcp]"), Protocol::http_or_tcp);
  EXPECT_EQ(protocol("[tcp, http]"), Protocol::http_or_tcp);
  for (const char* wrong :
       {"[]", "[http, http]", "[auto, tcp]", "[http, tcp, grpc]", "[http, tpc]"})
    bad(inbound(std::string("protocol: ") + wrong), 2, "[http, tcp]");
  bad(inbound("protocol: udp"), 2, "is none of auto, http, grpc, tcp");
  bad(inbound("protocol:"), 2, "a value is missing");
  // Opaque bytes would bypass it.
  bad(inbound("protocol: [http, tcp], limits: {body: 1MiB}"), 2, "limits.body cannot be enforced");
  bad(inbound("protocol: [http, tcp], limits: {body_rate: 1KiB}"), 2,
      "limits.body_rate cannot be enforced");
  bad(inbound("protocol: tcp, limits: {body_rate: 500B}"), 2, "limits.body_rate has no effect");
  bad(inbound("protocol: http, limits: {body_rate: fast}"), 2, "size");
}

TEST(Load, WhatTcpBesideHttpMeansIsAWarning) {
  const auto warnings = [](const std::string& mtls) {
    return load_text("version: 1\n" + std::string(identity) +
                         "inbound:\n  - {listen: 127.0.0.1:1, app: 127.0.0.1:2, mtls: " + mtls +
                         ", protocol: [http, tcp]}\n",
                     "web.yaml", World().environment())
        .warnings;
  };
  for (const auto& [mtls, who] : {std::pair{"strict", "any caller with a certificate can"},
                                  std::pair{"permissive", "(with or without a certificate) can"},
                                  std::pair{"disabled", "any caller can"}}) {
    const std::vector<Diagnostic> found = warnings(mtls);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].line, 4);
    EXPECT_NE(found[0].message.find(who), std::string::npos) << found[0].message;
    EXPECT_NE(found[0].message.find("forged identity headers"), std::string::npos);
    EXPECT_NE(render(found, false).find("web.yaml:4:"), std::string::npos);
    EXPECT_NE(render(found, false).find(": warning: inbound"), std::string::npos);
  }
}

TEST(Load, PathsOfAListener) {
  const auto outbound = [](const std::string& paths, const std::string& routes) {
    return load_text("version: 1\n" + orders +
                         "outbound:\n  - {listen: 127.0.0.1:1, service: orders" +
                         (paths.empty() ? "" : ", paths: " + paths) + "}\n" + routes,
                     "web.yaml", World().environment());
  };
  const std::string deny =
      "routes: [{name: no-admin, match: {path: /admin/**}, answer: {status: 403}}]\n";
  for (const auto& [text, value] :
       {std::pair{"", Paths::auto_}, std::pair{"auto", Paths::auto_},
        std::pair{"normalise", Paths::normalise}, std::pair{"as_is", Paths::as_is}}) {
    const LoadResult result = outbound(text, "");
    ASSERT_TRUE(result.ok()) << all_messages(result);
    EXPECT_EQ(result.config->outbound.at(0).paths, value);
    EXPECT_TRUE(result.warnings.empty());
    EXPECT_EQ(outbound(text, deny).warnings.size(), value == Paths::as_is ? 1U : 0U) << text;
  }
  EXPECT_NE(outbound("as_is", deny).warnings[0].message.find("'no-admin' matches paths"),
            std::string::npos);
  EXPECT_TRUE(outbound("as_is", "routes: [{match: {methods: [PUT]}, answer: {status: 403}}]\n")
                  .warnings.empty());
  EXPECT_TRUE(
      outbound("as_is", "routes: [{match: {path: /a}, enabled: false}]\n").warnings.empty());
  bad("inbound: [{listen: 127.0.0.1:1, app: 127.0.0.1:2, mtls: disabled, protocol: tcp, paths: "
      "as_is}]\n",
      2, "paths has no effect with protocol: tcp");
  bad("inbound: [{listen: 127.0.0.1:1, app: 127.0.0.1:2, mtls: disabled, paths: raw}]\n", 2,
      "is none of auto, normalise, as_is");
}

TEST(Load, StrictWithoutAnIdentityNamesBothWaysOut) {
  const char* inbound = "inbound:\n  - {listen: 127.0.0.1:1, app: 127.0.0.1:2}\n";
  bad(inbound, 3, "give 'identity: {cert, key, ca}', or set 'mtls: disabled' here");
  bad("inbound:\n  - {listen: 127.0.0.1:1, app: 127.0.0.1:2, mtls: permissive}\n", 3,
      "needs mTLS, but");
  bad("services:\n  b: {endpoints: [\"10.0.0.1:1\"]}\n  a: {endpoints: [\"10.0.0.1:1\"]}\n", 4,
      "service 'a' and 1 more are reached over mTLS");
  good(std::string(identity) + inbound);
}

TEST(Load, IdentityNeedsItsFiles) {
  bad("identity: {cert: /c, key: /k}\n", 2, "identity: 'ca' is missing");
  bad("identity: {cert: /c, key: /k, ca: /a, crl: /r}\n", 2, "identity.crl is not supported");
  bad("identity: {cert: /c, key: /k, ca: /a, provider: spiffe}\n", 2, "'spiffe' is not supported");
  World world;
  world.every_file_readable = false;
  world.files = {{"/c", ""}, {"/k", ""}};
  bad(identity, 2, "cannot read /a", world);
  bad("registries: {r: {type: file, path: /e}}\n", 2, "cannot read /e", world);
  bad("registries: {r: {type: file}}\n", 2, "registry 'r' of type file needs a 'path'");
}

TEST(Load, TheVersionIsAsked) {
  const World world;
  const auto one_error = [&](const std::string& text, const std::string& part) {
    const LoadResult result = load_text(text, "web.yaml", world.environment());
    ASSERT_EQ(result.errors.size(), 1U) << all_messages(result);
    EXPECT_NE(result.errors[0].message.find(part), std::string::npos) << all_messages(result);
  };
  one_error("node: web\n", "'version' is missing");
  one_error("version: 2\n", "write 1");
  one_error("version: 01\n", "write 1");
  one_error("version: one\n", "write 1");
  one_error("", "begin with 'version: 1'");
  one_error("just text\n", "a map of fields");
  one_error("[1]\n", "a map of fields");
}

TEST(Load, EmptySectionsAreNothing) {
  const auto config = good("node:\nservices:\nroutes:\ninbound: []\ndefaults: {}\n");
  EXPECT_TRUE(config->services.empty());
  EXPECT_TRUE(config->routes.empty());
}

// C0, DEL and C1: terminals obey them, and the texts stand in pages and labels of metrics.
TEST(Load, ControlCharactersAreInNoText) {
  for (const std::string control : {"\\n", "\\e", "\\x7f", "\\x80", "\\u009b", "\\x9f"}) {
    const std::string text = "\"a" + control + "31m\"";
    const std::string colon = text + ": ";
    for (const std::string& field :
         {"zone: " + text, "region: " + text, "cloud: " + text, "id: " + text,
          "labels: {version: " + text + "}", "labels: {" + colon + "x}"}) {
      const auto loaded =
          load_endpoints("orders: [{address: \"10.0.0.1:80\", " + field + "}]\n", "e.yaml");
      ASSERT_EQ(loaded.errors.size(), 1U) << field;
      EXPECT_NE(loaded.errors[0].message.find("control character"), std::string::npos) << field;
    }
  }
  const auto loaded = load_endpoints(
      "orders: [{address: \"10.0.0.1:80\", zone: \"a\\u00a0b\", id: \"\u00dcber "
      "\u201cx\u201d\"}]\n",
      "e.yaml");
  EXPECT_TRUE(loaded.errors.empty()) << "what only begins with the same bytes";
}

TEST(Load, FilesHaveALargestSize) {
  const std::string page = test::read_source_file("docs/limits.md");
  const auto number = [](std::size_t n) {
    std::string text = std::to_string(n);
    for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, ",");
    return text;
  };
  const auto limits = [&](std::size_t bytes, std::size_t values) {
    return std::to_string(bytes / 1024 / 1024) + " MiB and " + number(values) + " values";
  };
  const std::string all =
      "A configuration file may have " + limits(YamlLimits{}.bytes_max, YamlLimits{}.nodes_max) +
      ", the file of a registry " + limits(endpoints_file_bytes_max, endpoints_file_values_max);
  EXPECT_NE(page.find(all), std::string::npos) << all;
  EXPECT_NE(page.find(std::to_string(YamlLimits{}.depth_max) + " deep"), std::string::npos);

  std::string text = "orders: [";
  for (std::size_t i = 0; i < endpoints_file_values_max; ++i) text += "a,\n";
  const EndpointsResult many = load_endpoints(text + "]\n", "e.yaml");
  ASSERT_EQ(many.errors.size(), 1U);
  EXPECT_NE(many.errors[0].message.find("too many values"), std::string::npos);
  const EndpointsResult large =
      load_endpoints(std::string(endpoints_file_bytes_max + 1, '#'), "e.yaml");
  ASSERT_EQ(large.errors.size(), 1U);
  EXPECT_NE(large.errors[0].message.find("larger than"), std::string::npos);
}

TEST(Load, EndpointsFile) {
  const EndpointsResult read = load_endpoints(
      "orders: [\"10.0.0.7:1\", {address: \"10.0.0.8:1\", weight: 2, zone: a, labels: {v: x}, id: "
      "i-1}]\n"
      "users: 10.0.0.9:1\nempty: []\n",
      "e.yaml");
  ASSERT_TRUE(read.errors.empty()) << render(read.errors, false);
  ASSERT_EQ(read.services.size(), 3U);
  EXPECT_EQ(read.services.at("orders")[1].weight, 2U);
  EXPECT_EQ(read.services.at("orders")[1].locality.zone, "a");
  EXPECT_EQ(read.services.at("orders")[1].id, "i-1");
  EXPECT_EQ(read.services.at("users").size(), 1U);
  EXPECT_TRUE(read.services.at("empty").empty());
  const EndpointsResult broken = load_endpoints("orders: [10.0.0.7]\nUsers: []\n", "e.yaml");
  EXPECT_EQ(broken.errors.size(), 2U) << render(broken.errors, false);
}

TEST(Load, AnAbandonedEndpointsFileIsNotReadToItsEnd) {
  const std::atomic<bool> abandoned{true};
  const EndpointsResult read =
      load_endpoints("orders: [10.0.0.7]\nUsers: []\n", "e.yaml", &abandoned);
  EXPECT_TRUE(read.errors.empty());
  EXPECT_TRUE(read.services.empty());
}

}  // namespace
}  // namespace outrigger::config
