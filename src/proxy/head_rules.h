#pragma once

// What is added to and taken from a request's head on its way: identity headers and x-forwarded-*.
// Pure functions on heads; new text goes to the head's arena.

#include <string_view>

#include "config/model.h"
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

// Brings the path into its normal form (http::normalise_path()) where `paths` says so; by `auto`,
// where a rule looks at it. What is decided on is then what is forwarded. False: it has none, and
// the request is to be answered with 400.
bool settle_path(http::Head& head, config::Paths paths, bool rules_look);

// grpc-status as a number; -1 when absent or malformed.
int grpc_status_of(const http::Fields& fields);

}  // namespace outrigger::proxy
