// What a stranger writes into the headers of identity, forwarding and tracing: lines of the input
// are a peer's address, a CIDR, then values of those headers. Nothing a stranger said survives as
// an identity, and what goes on is always writable.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/validation.h"
#include "proxy/cidr.h"
#include "proxy/head_rules.h"
#include "proxy/request_ids.h"

namespace {

using namespace outrigger;
using http::Known;

constexpr std::array<std::string_view, 9> names = {
    "x-forwarded-for",        "x-forwarded-proto", "x-forwarded-host", "x-forwarded-client-cert",
    "x-request-id",           "traceparent",       "grpc-status",      "x-outrigger-not-processed",
    "x-outrigger-deadline-ms"};

void require(bool ok) {
  if (!ok) std::abort();
}

std::string_view take_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool trusted = (data[0] & 1) != 0;
  const std::string_view cert = (data[0] & 2) != 0 ? "Hash=ab;URI=spiffe://d/web" : "";
  const std::string_view address = take_line(text);
  if (const auto cidr = proxy::Cidr::parse(take_line(text))) cidr->contains(address);

  BlockPool pool;
  Arena arena(pool);
  http::Head head(arena);
  head.scheme = "http";
  head.authority = "orders";
  head.path = "/";
  // Codecs let nothing else through.
  for (const std::string_view name : names) {
    const std::string_view value = take_line(text);
    if (!value.empty() && http::is_field_value(value)) head.fields.add(name, value);
  }
  const int status = proxy::grpc_status_of(head.fields);
  require(status >= -1);
  const std::string_view trace = proxy::trace_id_of(head);
  require(trace.empty() || trace.size() == 32);

  Random random(7);
  proxy::strip_own(head);
  require(head.fields.find("x-outrigger-not-processed") == nullptr);
  proxy::strip_identity(head);
  require(!head.fields.has(Known::x_forwarded_client_cert));
  proxy::set_forwarded({head, "10.0.0.1", true, trusted, cert});
  require(head.fields.value(Known::x_forwarded_client_cert) == cert);
  require(head.fields.value(Known::x_forwarded_for).ends_with("10.0.0.1"));
  require(!proxy::ensure_request_id(head, random).empty());
  proxy::ensure_traceparent(head, random);
  require(proxy::is_traceparent(head.fields.value(Known::traceparent)));
  for (const http::Field& field : head.fields) require(http::is_writable(field));
  return 0;
}
