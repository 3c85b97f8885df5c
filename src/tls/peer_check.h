#pragma once

// Whether a peer is who it should be, judged inside the handshake: the chain, the dates, and the
// SPIFFE ID. Functions without state; any thread.

#include <string>

#include "net/transport.h"
#include "tls/openssl.h"
#include "tls/spiffe.h"

namespace outrigger::tls {

struct PeerVerdict {
  net::TlsFailure failure = net::TlsFailure::none;
  std::string text;  // why it failed; empty when it did not
  SpiffeId id;       // when it did not fail
};

// Judges the chain that `chain` holds, building it against its store. `expected` null: anybody of
// the trust domain. Never turns an error into a pass; on failure the store context's error is set,
// which chooses the alert.
PeerVerdict check_peer(X509_STORE_CTX* chain, const std::string& trust_domain,
                       const IdMatcher* expected);

}  // namespace outrigger::tls
