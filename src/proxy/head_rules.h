#pragma once

// What is added to and taken from a request's head on its way: identity headers, x-forwarded-*,
// ids. Pure functions on heads; new text goes to the head's arena.

#include <string>
#include <string_view>

#include "base/random.h"
#include "http/head.h"

namespace outrigger::proxy {

struct HeadContext {
  http::Head& head;
  std::string_view peer_address;  // IP, or "unix"
  bool peer_secure;
  bool trusted_proxy;            // its x-forwarded-* are believed
  std::string_view client_cert;  // XFCC element made from its verified certificate, or empty
};

// Inbound: x-forwarded-for, -proto and -host from what was seen here (appended to what a trusted
// proxy says), x-forwarded-client-cert from the certificate and from nothing else.
void set_forwarded(const HeadContext& context);
// Removes what claims an identity: x-forwarded-client-cert and our own names.
void strip_identity(http::Head& head);
// Removes x-outrigger-* but the deadline, which can only shorten: these are ours to set.
void strip_own(http::Head& head);

// The request's id: what is there, or a new one (a version 4 UUID, RFC 9562). Good as long as the
// head.
std::string_view ensure_request_id(http::Head& head, Random& random);
// W3C trace context: kept when present, created (not sampled) when absent.
void ensure_traceparent(http::Head& head, Random& random);
// The trace id of its traceparent; empty when there is none or it is malformed.
std::string_view trace_id_of(const http::Head& head);
// grpc-status as a number; -1 when absent or malformed.
int grpc_status_of(const http::Fields& fields);

}  // namespace outrigger::proxy
