// Any request at the admin pages: method, target and headers are lines of the input. No page may
// crash, JSON must stay JSON, and no GET may reach an action.

#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "../support/fake_admin_backend.h"
#include "admin/handler.h"
#include "base/log.h"

namespace {

std::string_view take_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace outrigger;
  static telemetry::Metrics metrics({.workers = 1, .version = "fuzz", .process = false});
  test::FakeAdminBackend backend;
  admin::AdminHandler handler(backend, metrics, {});
  std::string_view text(reinterpret_cast<const char*>(data), size);
  admin::Request request;
  for (std::string* field :
       {&request.method, &request.path, &request.query, &request.host, &request.origin,
        &request.sec_fetch_site, &request.accept, &request.authorization}) {
    *field = take_line(text);
  }
  request.body = text;
  const admin::Response response = handler.handle(request);
  if (response.content_type == "application/json" && !nlohmann::json::accept(response.body)) {
    std::abort();
  }
  if (request.method != "POST" && !backend.told.empty()) std::abort();
  log::set_all(log::Level::off);
  return 0;
}
