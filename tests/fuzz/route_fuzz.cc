// Requests against a route table that uses every kind of condition and action. The first two bytes
// choose method and lengths; the rest is authority, path and a header's value. A match is found
// again when asked again, and what a route makes of a normal path is a path.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "http/validation.h"
#include "proxy/route_table.h"

namespace {

using namespace outrigger;
using config::TextMatch;
using Kind = TextMatch::Kind;

std::shared_ptr<const config::Config> make_config() {
  auto config = std::make_shared<config::Config>();
  config->services["orders"].name = "orders";
  const auto add = [&](std::string name) -> config::Route& {
    config->routes.emplace_back();
    config->routes.back().name = std::move(name);
    return config->routes.back();
  };
  auto& query = add("query").match;
  query.query = {{"a", {Kind::exact, "b c"}}, {"z", {Kind::absent, ""}}};
  auto& header = add("header").match;
  header.headers = {{"x", {Kind::regex, "[a-z]+[0-9]"}}, {"host", {Kind::suffix, "x"}}};
  auto& host = add("host").match;
  host.host = TextMatch{Kind::suffix, ".example.org"};
  host.methods = {"GET", "PURGE"};
  auto& redirect = add("redirect");
  redirect.match.path = TextMatch{Kind::exact, "/old"};
  redirect.redirect = config::Redirect{302, "https", "", "/new"};
  auto& rewrite = add("rewrite");
  rewrite.match.service = "orders";
  rewrite.match.path = TextMatch{Kind::prefix, "/api/"};
  rewrite.rewrite = config::Rewrite{"/api/", "/v2", "inner"};
  add("regex").match.path = TextMatch{Kind::regex, "^/v[0-9]+/"};
  return config;
}

void require(bool ok) {
  if (!ok) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto config = make_config();
  static const auto table = *proxy::RouteTable::compile(config);
  static const proxy::HostTable hosts(*config);
  if (size < 2) return 0;
  std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const auto cut = [&text](std::size_t length) {
    const std::string_view part = text.substr(0, length);
    text.remove_prefix(part.size());
    return part;
  };

  BlockPool pool;
  Arena arena(pool);
  http::Head head(arena);
  head.method = static_cast<http::Method>(data[0] % 10);
  head.method_text = "PURGE";
  head.scheme = "http";
  head.authority = cut(data[0] / 10);
  head.path = cut(data[1]);
  head.fields.add("x", text);
  const auto normal = http::normalise_path(head.path, arena);
  if (normal) head.path = *normal;

  const std::string_view service = hosts.service_of(head.authority, arena);
  require(service.empty() || service == "orders");
  hosts.name_of(head.authority, arena);
  const proxy::Route* route = table->match(head, "orders");
  require(route == table->match(head, "orders"));
  if (route == nullptr) return 0;
  if (route->config().redirect) require(!route->location(head).empty());
  route->rewrite(head);
  if (normal) require(http::normalise_path(head.path, arena).has_value());
  return 0;
}
