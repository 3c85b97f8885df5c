#include "proxy/head_rules.h"

#include <charconv>

#include "http/validation.h"

namespace outrigger::proxy {
namespace {

constexpr std::string_view own_prefix = "x-outrigger-";

// All that the fields of this name say, in order: a list may come in several lines (RFC 9110
// section 5.3).
std::string_view joined(const http::Head& head, http::Known known) {
  std::string_view all;
  for (const http::Field& field : head.fields) {
    if (field.known != known || field.value.empty()) continue;
    all = all.empty() ? field.value : head.arena->concat(all, ", ", field.value);
  }
  return all;
}

}  // namespace

void set_forwarded(const HeadContext& context) {
  http::Head& head = context.head;
  const std::string_view before =
      context.trusted_proxy ? joined(head, http::Known::x_forwarded_for) : std::string_view();
  const std::string_view chain = before.empty()
                                     ? context.peer_address
                                     : head.arena->concat(before, ", ", context.peer_address);
  head.fields.set(http::Known::x_forwarded_for, chain);
  if (!context.trusted_proxy || !head.fields.has(http::Known::x_forwarded_proto)) {
    head.fields.set(http::Known::x_forwarded_proto, context.peer_secure ? "https" : "http");
  }
  if (!context.trusted_proxy || !head.fields.has(http::Known::x_forwarded_host)) {
    head.fields.set(http::Known::x_forwarded_host, head.authority);
  }
  strip_identity(head);
  if (!context.client_cert.empty())
    head.fields.add(http::Known::x_forwarded_client_cert, context.client_cert);
}

void strip_identity(http::Head& head) {
  head.fields.remove(http::Known::x_forwarded_client_cert);
  strip_own(head);
}

void strip_own(http::Head& head) {
  for (std::size_t i = 0; i < head.fields.size();) {
    const http::Field& field = head.fields.begin()[i];
    const bool own = field.name.size() > own_prefix.size() &&
                     field.known != http::Known::x_outrigger_deadline_ms &&
                     http::equal_ignoring_case(field.name.substr(0, own_prefix.size()), own_prefix);
    if (own) {
      head.fields.remove(field.name);
    } else {
      ++i;
    }
  }
}

bool settle_path(http::Head& head, config::Paths paths, bool rules_look) {
  const bool wanted =
      paths == config::Paths::normalise || (paths == config::Paths::auto_ && rules_look);
  // "*" and CONNECT's nothing are not paths.
  if (!wanted || !head.path.starts_with('/')) return true;
  const auto normal = http::normalise_path(head.path, *head.arena);
  if (!normal) return false;
  head.path = *normal;
  return true;
}

int grpc_status_of(const http::Fields& fields) {
  const std::string_view text = fields.value(http::Known::grpc_status);
  int status = -1;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), status);
  return code == std::errc() && end == text.data() + text.size() && status >= 0 ? status : -1;
}

}  // namespace outrigger::proxy
