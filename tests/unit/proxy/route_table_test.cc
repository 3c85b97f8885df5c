#include "proxy/route_table.h"

#include <gtest/gtest.h>

#include <cmath>

namespace outrigger::proxy {
namespace {

using config::TextMatch;
using Kind = TextMatch::Kind;

config::Route route(std::string name, std::string service = "orders") {
  config::Route r;
  r.name = std::move(name);
  r.match.service = std::move(service);
  return r;
}
config::Route with_path(std::string name, Kind kind, std::string text,
                        std::string service = "orders") {
  config::Route r = route(std::move(name), std::move(service));
  r.match.path = TextMatch{kind, std::move(text)};
  return r;
}

struct Request {
  std::string path = "/";
  std::string method = "GET";
  std::string authority = "orders";
  std::vector<std::pair<std::string, std::string>> headers{};
};

class Routes {
 public:
  explicit Routes(std::vector<config::Route> routes) {
    auto config = std::make_shared<config::Config>();
    config->routes = std::move(routes);
    auto table = RouteTable::compile(config);
    EXPECT_TRUE(table.ok()) << (table.ok() ? "" : table.error().message);
    if (table) table_ = std::move(table).value();
  }
  const RouteTable& table() const { return *table_; }

  http::Head& head(const Request& request) {
    head_.clear();
    arena_.reset();
    head_.fields.release();
    head_.method = http::parse_method(request.method);
    head_.method_text = arena_.copy(request.method);
    head_.scheme = "http";
    head_.authority = arena_.copy(request.authority);
    head_.path = arena_.copy(request.path);
    for (const auto& [name, value] : request.headers) {
      head_.fields.add(arena_.copy(name), arena_.copy(value));
    }
    return head_;
  }
  // The route's name, or "".
  std::string match(const Request& request, std::string_view service = "orders") {
    const Route* r = table_->match(head(request), service);
    return r != nullptr ? r->config().name : "";
  }

 private:
  BlockPool pool_;
  Arena arena_{pool_};
  http::Head head_{arena_};
  std::shared_ptr<const RouteTable> table_;
};

TEST(RouteTable, WithoutRoutesThereIsNone) {
  Routes routes({});
  EXPECT_EQ(routes.table().of("orders"), nullptr);
  EXPECT_EQ(routes.match({}), "");
}

TEST(RouteTable, PathsMatchWholeSegments) {
  struct Case {
    Kind kind;
    const char* pattern;
    const char* path;
    bool matches;
  };
  const Case cases[] = {
      {Kind::exact, "/api", "/api", true},
      {Kind::exact, "/api", "/api?x=1", true},
      {Kind::exact, "/api", "/api/", false},
      {Kind::exact, "/api", "/api/x", false},
      {Kind::exact, "/api", "/apix", false},
      {Kind::exact, "/api", "/ap", false},
      {Kind::exact, "/api", "/API", false},
      {Kind::exact, "/", "/", true},
      {Kind::exact, "/", "/?q", true},
      {Kind::exact, "/", "/x", false},
      {Kind::exact, "/a/b", "/a/b", true},
      {Kind::exact, "/a/", "/a/", true},
      {Kind::exact, "/a/", "/a", false},
      {Kind::prefix, "/api/", "/api/", true},
      {Kind::prefix, "/api/", "/api/x/y", true},
      {Kind::prefix, "/api/", "/api", true},
      {Kind::prefix, "/api/", "/api?q=/x", true},
      {Kind::prefix, "/api/", "/apix", false},
      {Kind::prefix, "/api/", "/ap", false},
      {Kind::prefix, "/api/", "/x/api/", false},
      {Kind::prefix, "/a/b/", "/a/b/c", true},
      {Kind::prefix, "/a/b/", "/a/b", true},
      {Kind::prefix, "/a/b/", "/a/bc", false},
      {Kind::prefix, "/a/b/", "/a", false},
      {Kind::prefix, "/", "/", true},
      {Kind::prefix, "/", "/x", true},
      {Kind::prefix, "/", "*", false},
      {Kind::prefix, "/", "", false},
      {Kind::regex, "^/v[0-9]+/", "/v12/x", true},
      {Kind::regex, "^/v[0-9]+/", "/v/x", false},
      {Kind::regex, "^/v[0-9]+/", "/x/v1/", false},
      {Kind::regex, "v1", "/x/v1/", true},
      {Kind::regex, "^/v1$", "/v1?q", true},
      // Patterns are normalised like paths.
      {Kind::exact, "/%7euser", "/~user", true},
      {Kind::exact, "/caf%c3%a9", "/caf%C3%A9", true},
      {Kind::prefix, "/a/../b/", "/b/c", true},
  };
  for (const Case& c : cases) {
    Routes routes({with_path("r", c.kind, c.pattern)});
    EXPECT_EQ(routes.match({.path = c.path}), c.matches ? "r" : "")
        << c.pattern << " on " << c.path;
  }
}

TEST(RouteTable, TheFirstMatchWinsWhateverItsKind) {
  std::vector<config::Route> all = {
      with_path("any-admin", Kind::exact, "/admin", ""),
      with_path("below-api", Kind::prefix, "/api/"),
      with_path("exact-api", Kind::exact, "/api/x"),
      with_path("regex", Kind::regex, "^/(admin|health)"),
      with_path("own-admin", Kind::exact, "/admin"),
      with_path("other", Kind::prefix, "/", "users"),
      with_path("health", Kind::exact, "/health"),
      route("any", ""),
      route("own"),
  };
  Routes routes(all);
  EXPECT_EQ(routes.match({.path = "/admin"}), "any-admin");
  EXPECT_EQ(routes.match({.path = "/api/x"}), "below-api");
  EXPECT_EQ(routes.match({.path = "/health"}), "regex");
  EXPECT_EQ(routes.match({.path = "/else"}), "any");
  EXPECT_EQ(routes.match({.path = "/else"}, "users"), "other");
  EXPECT_EQ(routes.match({.path = "/admin"}, "users"), "any-admin");
  EXPECT_EQ(routes.match({.path = "/else"}, "nobody-routes-this"), "any");
}

TEST(RouteTable, TheIndexAgreesWithAskingInOrder) {
  // Random tables, compared with a direct implementation of the definition.
  Random random(5);
  const char* segments[] = {"/a", "/b", "/c", "/a/x", "/b/y", "/a/x/z", "/"};
  for (int round = 0; round < 200; ++round) {
    std::vector<config::Route> all;
    for (std::uint32_t i = random.below(20); i > 0; --i) {
      const char* services[] = {"orders", "users", ""};
      const std::string path = segments[random.below(7)];
      const std::string name = "r" + std::to_string(all.size());
      const std::string service = services[random.below(3)];
      switch (random.below(4)) {
        case 0:
          all.push_back(with_path(name, Kind::exact, path, service));
          break;
        case 1:
          all.push_back(with_path(name, Kind::prefix, path == "/" ? path : path + "/", service));
          break;
        case 2:
          all.push_back(with_path(name, Kind::regex, "^" + path, service));
          break;
        default:
          all.push_back(route(name, service));
          break;
      }
      all.back().enabled = random.below(5) > 0;
    }
    Routes routes(all);
    for (const char* path : {"/", "/a", "/a/x", "/a/x/z/q", "/b/", "/c", "/d", "*"}) {
      std::string expected;
      for (const config::Route& r : all) {
        if (!r.enabled || (!r.match.service.empty() && r.match.service != "orders")) continue;
        config::Route alone = r;
        if (Routes({alone}).match({.path = path}).empty()) continue;
        expected = r.name;
        break;
      }
      ASSERT_EQ(routes.match({.path = path}), expected) << path << " in round " << round;
    }
  }
}

TEST(RouteTable, MethodsHostsAndDisabling) {
  config::Route get = route("get");
  get.match.methods = {"GET", "PURGE"};
  Routes methods({get});
  EXPECT_EQ(methods.match({.method = "GET"}), "get");
  EXPECT_EQ(methods.match({.method = "PURGE"}), "get");
  EXPECT_EQ(methods.match({.method = "POST"}), "");
  EXPECT_EQ(methods.match({.method = "purge"}), "");
  EXPECT_EQ(methods.match({.method = "OTHER"}), "");

  config::Route exact = route("exact"), suffix = route("suffix");
  exact.match.host = TextMatch{Kind::exact, "example.org"};
  suffix.match.host = TextMatch{Kind::suffix, ".example.org"};
  Routes hosts({exact, suffix});
  EXPECT_EQ(hosts.match({.authority = "example.org"}), "exact");
  EXPECT_EQ(hosts.match({.authority = "EXAMPLE.org.:8080"}), "exact");
  EXPECT_EQ(hosts.match({.authority = "a.b.example.ORG:80"}), "suffix");
  EXPECT_EQ(hosts.match({.authority = "badexample.org"}), "");
  EXPECT_EQ(hosts.match({.authority = ".example.org.evil"}), "");
  EXPECT_EQ(hosts.match({.authority = ""}), "");
  EXPECT_EQ(hosts.match({.authority = "user@example.org"}), "");

  exact.enabled = false;
  Routes disabled({exact, suffix});
  EXPECT_EQ(disabled.match({.authority = "example.org"}), "");
  EXPECT_EQ(disabled.table().routes().size(), 1U);
}

struct TextCase {
  Kind kind;
  const char* text;
  std::vector<std::string> values;  // of the header or parameter x
  bool matches;
};
const std::vector<TextCase> text_cases = {
    {Kind::exact, "1", {"1"}, true},
    {Kind::exact, "1", {"11"}, false},
    {Kind::exact, "1", {}, false},
    {Kind::exact, "", {""}, true},
    {Kind::exact, "b", {"a", "b"}, true},
    {Kind::exact, "a,b", {"a", "b"}, false},  // never joined
    {Kind::exact, "a", {"a,b"}, false},       // never split
    {Kind::prefix, "v1", {"v1.2"}, true},
    {Kind::prefix, "v1", {"xv1"}, false},
    {Kind::prefix, "v1", {"x", "v1"}, true},
    {Kind::suffix, "beta", {"1-beta"}, true},
    {Kind::suffix, "beta", {"beta-1"}, false},
    {Kind::regex, "[0-9]+", {"123"}, true},
    {Kind::regex, "[0-9]+", {"a123"}, false},  // must match the whole value
    {Kind::regex, "a.b", {"a", "b"}, false},
    {Kind::regex, "", {""}, true},
    {Kind::present, "", {""}, true},
    {Kind::present, "", {}, false},
    {Kind::absent, "", {}, true},
    {Kind::absent, "", {""}, false},
};

TEST(RouteTable, Headers) {
  for (const TextCase& c : text_cases) {
    for (const char* name : {"x", "traceparent"}) {  // unknown and known names
      config::Route r = route("r");
      r.match.headers = {{name, {c.kind, c.text}}};
      Routes routes({r});
      Request request{.headers = {{"y", "1"}, {"z", c.text}}};
      for (const auto& v : c.values) request.headers.emplace_back(name, v);
      EXPECT_EQ(routes.match(request), c.matches ? "r" : "")
          << name << " " << static_cast<int>(c.kind) << " " << c.text;
    }
  }
  config::Route r = route("r");
  r.match.headers = {{"x-beta", {Kind::exact, "1"}}, {"X-Other", {Kind::present, ""}}};
  Routes both({r});
  EXPECT_EQ(both.match({.headers = {{"X-BETA", "1"}, {"x-OTHER", ""}}}), "r");
  EXPECT_EQ(both.match({.headers = {{"X-BETA", "1"}}}), "");
}

TEST(RouteTable, HeadersThatTheCodecTookOutAreStillAsked) {
  config::Route host = route("host"), length = route("length"), upgrade = route("upgrade");
  host.match.headers = {{"host", {Kind::exact, "a:80"}}};
  length.match.headers = {{"content-length", {Kind::exact, "12"}}};
  upgrade.match.headers = {{"upgrade", {Kind::exact, "websocket"}}};
  Routes routes({host, length, upgrade});
  EXPECT_EQ(routes.match({.authority = "a:80"}), "host");
  EXPECT_EQ(routes.match({}), "");
  http::Head& head = routes.head({});
  head.content_length = 12;
  EXPECT_EQ(routes.table().match(head, "orders")->config().name, "length");
  head.content_length = 13;
  head.protocol = "websocket";
  EXPECT_EQ(routes.table().match(head, "orders")->config().name, "upgrade");
}

TEST(RouteTable, Query) {
  for (const TextCase& c : text_cases) {
    config::Route r = route("r");
    r.match.query = {{"x", {c.kind, c.text}}};
    Routes routes({r});
    std::string path = "/p?xx=" + std::string(c.text) + "&y=1";
    for (const auto& v : c.values) path += "&x=" + v;
    EXPECT_EQ(routes.match({.path = path}), c.matches ? "r" : "") << path;
  }
  struct Case {
    const char* path;
    const char* value;
    bool matches;
  };
  const Case cases[] = {
      {"/?x=a%20b", "a b", true}, {"/?x=a+b", "a b", true},   {"/?x=a%2Bb", "a+b", true},
      {"/?%78=1", "1", true},     {"/?x=%", "%", true},       {"/?x=%4", "%4", true},
      {"/?x=%zz", "%zz", true},   {"/?x=%2541", "%41", true}, {"/?x", "", true},
      {"/?&&x=&", "", true},      {"/?x==", "=", true},       {"/x=1", "1", false},
      {"/", "", false},           {"/?", "", false},          {"/?a=x=1", "1", false},
  };
  for (const Case& c : cases) {
    config::Route r = route("r");
    r.match.query = {{"x", {Kind::exact, c.value}}};
    Routes routes({r});
    EXPECT_EQ(routes.match({.path = c.path}), c.matches ? "r" : "") << c.path;
  }
}

TEST(RouteTable, ErrorsSayWhere) {
  auto config = std::make_shared<config::Config>();
  config->routes = {with_path("fine", Kind::exact, "/"),
                    with_path("broken", Kind::regex, "(a"),
                    route("header"),
                    with_path("nothing", Kind::exact, "/%00"),
                    route("redirect"),
                    route("nowhere"),
                    route("rewrite")};
  config->routes[6].rewrite = config::Rewrite{"/a", "/%00", ""};
  config->routes[1].at = {"web.yaml", 14, 5};
  config->routes[1].enabled = false;
  config->routes[2].match.headers = {{"x-y", {Kind::regex, std::string(5000, 'a')}}};
  config->routes[4].redirect =
      config::Redirect{.status = 302, .scheme = {}, .host = "a b", .path = {}};
  config->routes[5].destinations = {{"a", "", 0}};
  const auto table = RouteTable::compile(config);
  ASSERT_FALSE(table);
  const std::string& text = table.error().message;
  EXPECT_TRUE(
      text.starts_with("web.yaml:14:5: error: route 'broken': path: the regular expression "
                       "does not compile: missing ): (a\n"))
      << text;
  EXPECT_NE(text.find("\nconfiguration: error: route 'header': header 'x-y': "), text.npos) << text;
  EXPECT_NE(text.find("route 'nothing': path: '/%00' is no path"), text.npos) << text;
  EXPECT_NE(text.find("route 'redirect': 'a b' is not a host"), text.npos) << text;
  EXPECT_NE(text.find("route 'rewrite': rewrite: '/%00' is no path"), text.npos) << text;
  EXPECT_NE(text.find("route 'nowhere': all its destinations"), text.npos) << text;
  EXPECT_EQ(text.find("fine"), text.npos);
}

TEST(Route, SplitsByWeight) {
  config::Route split = route("split"), one = route("one"), none = route("none");
  split.destinations = {
      {"orders", "stable", 9'500}, {"orders", "off", 0}, {"orders", "canary", 500}};
  one.destinations = {{"orders", "canary", 10'000}};
  Routes routes({split, one, none});
  const auto targets = routes.table().targets();
  ASSERT_EQ(targets.size(), 2U);
  EXPECT_EQ(targets[0], (Target{"orders", "stable"}));
  EXPECT_EQ(targets[1], (Target{"orders", "canary"}));
  const auto& all = routes.table().routes();
  EXPECT_FALSE(all[0]->to_called_service());
  EXPECT_TRUE(all[2]->to_called_service());
  Random random(3);
  EXPECT_EQ(all[1]->choose(random), 1U);
  int canary = 0;
  for (int i = 0; i < 100'000; ++i) canary += all[0]->choose(random) == 1;
  EXPECT_NEAR(canary, 5'000, 5 * std::sqrt(100'000 * 0.05 * 0.95));
}

TEST(Route, RewritesPrefixAndHost) {
  struct Case {
    const char* from;
    const char* to;
    const char* path;
    const char* result;
  };
  const Case cases[] = {
      {"/api/", "/", "/api/x?q=1", "/x?q=1"}, {"/api/", "/", "/api", "/"},
      {"/api/", "/", "/api?q", "/?q"},        {"/api", "/", "/api/x", "/x"},
      {"/api", "/v2", "/api/x", "/v2/x"},     {"/api/", "/v2/", "/api/x", "/v2/x"},
      {"/api/", "/v2", "/api/x", "/v2/x"},    {"/api", "/v2/", "/api/x", "/v2/x"},
      {"/api", "/v2", "/api", "/v2"},         {"/api", "/v2", "/apix", "/apix"},
      {"/api", "/v2", "/other", "/other"},    {"/", "/base/", "/x", "/base/x"},
      {"/", "/base", "/x", "/base/x"},        {"/", "/base", "/", "/base/"},
      {"/%7eme/", "/me/", "/~me/x", "/me/x"}, {"/api", "/", "/api//x", "//x"},
  };
  for (const Case& c : cases) {
    config::Route r = route("r");
    r.rewrite = config::Rewrite{c.from, c.to, ""};
    Routes routes({r});
    http::Head& head = routes.head({.path = c.path});
    routes.table().routes()[0]->rewrite(head);
    EXPECT_EQ(head.path, c.result) << c.from << " -> " << c.to << " on " << c.path;
    EXPECT_EQ(head.authority, "orders");
  }
  config::Route r = route("r");
  r.rewrite = config::Rewrite{"", "", "internal:8080"};
  Routes routes({r});
  http::Head& head = routes.head({.path = "/x"});
  routes.table().routes()[0]->rewrite(head);
  EXPECT_EQ(head.path, "/x");
  EXPECT_EQ(head.authority, "internal:8080");
}

TEST(Route, RedirectsKeepWhatIsNotGiven) {
  struct Case {
    config::Redirect redirect;
    const char* authority;
    const char* result;  // of http, /x?q=1
  };
  const Case cases[] = {
      {{302, "https", "", ""}, "a.org", "https://a.org/x?q=1"},
      {{302, "https", "", ""}, "a.org:80", "https://a.org/x?q=1"},
      {{302, "https", "", ""}, "a.org:8080", "https://a.org:8080/x?q=1"},
      {{302, "http", "", ""}, "a.org:80", "http://a.org:80/x?q=1"},
      {{302, "", "b.org", ""}, "a.org", "http://b.org/x?q=1"},
      {{302, "", "", "/y"}, "a.org", "http://a.org/y?q=1"},
      {{302, "https", "b.org:444", "/y"}, "a.org", "https://b.org:444/y?q=1"},
      {{302, "", "", "/y"}, "", "/y?q=1"},
  };
  for (const Case& c : cases) {
    config::Route r = route("r");
    r.redirect = c.redirect;
    Routes routes({r});
    const http::Head& head = routes.head({.path = "/x?q=1", .authority = c.authority});
    EXPECT_EQ(routes.table().routes()[0]->location(head), c.result);
  }
}

TEST(Route, EditsHeadersInTheirOrder) {
  config::Route r = route("r");
  r.request_headers.remove = {"x-gone", "Cookie"};
  r.request_headers.set = {{"x-set", "new"}, {"server", "me"}};
  r.request_headers.add = {{"x-add", "2"}, {"x-gone", "back"}};
  Routes routes({r});
  http::Head& head = routes.head({.headers = {{"X-Gone", "1"},
                                              {"x-add", "1"},
                                              {"X-Set", "a"},
                                              {"x-set", "b"},
                                              {"cookie", "c"},
                                              {"Server", "you"},
                                              {"x-stay", "s"}}});
  const Route& compiled = *routes.table().routes()[0];
  EXPECT_FALSE(compiled.request_edits().empty());
  EXPECT_TRUE(compiled.response_edits().empty());
  compiled.request_edits().apply(head.fields);
  std::string text;
  for (const auto& f : head.fields) {
    text += std::string(f.name) + "=" + std::string(f.value) + " ";
  }
  EXPECT_EQ(text, "x-add=1 x-stay=s x-set=new server=me x-add=2 x-gone=back ");
}

TEST(HostTable, NamesServices) {
  config::Config config;
  for (const char* name : {"orders", "orders.shop", "users.mesh", "a.svc"}) {
    config.services[name].name = name;
  }
  config.services["legacy"].name = "legacy";
  config.services["legacy"].protocol = config::Protocol::tcp;
  config.discovery.suffixes = {".mesh", "svc.cluster.local", ".local", "", "."};
  const HostTable table(config);
  struct Case {
    const char* authority;
    const char* service;
    const char* name;
  };
  const Case cases[] = {
      {"orders", "orders", "orders"},
      {"ORDERS", "orders", "orders"},
      {"legacy", "", "legacy"},  // speaks no HTTP
      {"orders:8080", "orders", "orders"},
      {"orders.", "orders", "orders"},
      {"Orders.Mesh.:80", "orders", "orders"},
      {"orders.shop.svc.cluster.local", "orders.shop", "orders.shop"},
      {"orders.svc.cluster.local:80", "orders", "orders"},
      {"orders.local", "orders", "orders"},
      {"orders.mesh.mesh", "", "orders.mesh"},  // once
      {"users.mesh", "users.mesh", "users"},    // as it is goes first
      {"users", "", "users"},
      {"ordersmesh", "", "ordersmesh"},
      {"unknown.example.org", "", "unknown.example.org"},
      {"", "", ""},
      {"[::1]:80", "", ""},
      {"10.0.0.1:80", "", "10.0.0.1"},
      {"me@orders", "", ""},
      {"orders:notaport", "", ""},
      {"or ders", "", ""},
      {".mesh", "", ""},
  };
  BlockPool pool;
  for (const Case& c : cases) {
    Arena arena(pool);
    EXPECT_EQ(table.service_of(c.authority, arena), c.service) << c.authority;
    EXPECT_EQ(table.name_of(c.authority, arena), c.name) << c.authority;
  }
}

TEST(Regex, MatchesInLinearTimeAndBounds) {
  const auto evil = Regex::compile("(a+)+$");
  ASSERT_TRUE(evil);
  EXPECT_FALSE(evil->matches(std::string(100'000, 'a') + "b"));
  EXPECT_FALSE(Regex::compile("((a{100}){100}){100}"));
  EXPECT_FALSE(Regex::compile(std::string(Regex::pattern_bytes_max + 1, 'a')));
  EXPECT_FALSE(Regex::compile("a(?=b)"));
  EXPECT_TRUE(Regex::compile("b")->is_in("abc"));
  EXPECT_FALSE(Regex::compile("b")->matches("abc"));
}

// A variable may hold a token: `{authorization: {regex: "Bearer ${TOKEN}"}}`.
TEST(RouteTable, APatternOutOfAVariableStandsInNoError) {
  auto config = std::make_shared<config::Config>();
  config::Route secret = route("secret");
  secret.match.headers.push_back({"authorization", {Kind::regex, "Bearer hunter2(", true}});
  config::Route path = with_path("path", Kind::regex, "/hunter2(");
  path.match.path->from_variable = true;
  config::Route open = with_path("open", Kind::regex, "/seen(");
  config->routes = {secret, path, open};
  const auto table = RouteTable::compile(config);
  ASSERT_FALSE(table.ok());
  EXPECT_EQ(table.error().message.find("hunter2"), std::string::npos) << table.error().message;
  EXPECT_NE(table.error().message.find("/seen("), std::string::npos) << table.error().message;
}

}  // namespace
}  // namespace outrigger::proxy
