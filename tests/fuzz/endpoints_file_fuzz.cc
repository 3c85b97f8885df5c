// Any bytes as the endpoints file of a registry: no crash, and errors stand within the file;
// without an error every endpoint is one that can be dialled, and its address reads back.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "config/load.h"

using namespace outrigger;
using namespace outrigger::config;

namespace {

void require(bool ok) {
  if (!ok) std::abort();
}

void check_endpoint(const Endpoint& endpoint) {
  require(endpoint.weight >= 1);
  const std::string address = endpoint.address.to_string();
  require(!address.empty());
  if (address.starts_with("unix:")) return;
  const bool printable = std::ranges::all_of(address, [](char c) { return c > ' ' && c <= '~'; });
  require(printable);
  const auto again =
      load_endpoints("services: {a: [{address: \"" + address + "\"}]}\n", "again.yaml");
  require(again.errors.empty());
  require(again.services.at("a").at(0).address == endpoint.address);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto lines =
      2 + std::count(text.begin(), text.end(), '\n') + std::count(text.begin(), text.end(), '\r');
  const EndpointsResult result = load_endpoints(text, "endpoints.yaml");
  for (const Diagnostic& d : result.errors) {
    require(!d.message.empty() && d.line >= 0 && d.line <= lines && d.column >= 0);
  }
  require(result.errors.empty() == render(result.errors, false).empty());
  if (!result.errors.empty()) return 0;
  for (const auto& [service, endpoints] : result.services) {
    require(!service.empty());
    for (const Endpoint& endpoint : endpoints) check_endpoint(endpoint);
  }
  return 0;
}
