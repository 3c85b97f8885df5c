#include "tls/peer_check.h"

#include "tls/certificate.h"

namespace outrigger::tls {
namespace {

using net::TlsFailure;

// "certificate of spiffe://example.org/web (CN=web)", whatever of it there is.
std::string shown_leaf(X509* leaf) {
  const std::string uris = shown_uris(leaf);
  return "the peer's certificate (" + (uris.empty() ? printable(subject_of(leaf)) : uris) + ")";
}

std::string chain_problem(X509_STORE_CTX* chain, X509* leaf) {
  const int error = X509_STORE_CTX_get_error(chain);
  X509* at = X509_STORE_CTX_get_current_cert(chain);
  const bool of_leaf = at == nullptr || X509_cmp(at, leaf) == 0;
  const std::string who =
      of_leaf ? shown_leaf(leaf) : shown_leaf(leaf) + ": its CA " + printable(subject_of(at));
  X509* dated = at == nullptr ? leaf : at;
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return who + " expired at " + shown_time(not_after(dated));
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return who + " is not valid before " + shown_time(not_before(dated));
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return shown_leaf(leaf) + " was not issued by a trusted CA; its issuer is " +
             printable(issuer_of(leaf));
    default:
      return who + ": " + X509_verify_cert_error_string(error);
  }
}

PeerVerdict refuse(X509_STORE_CTX* chain, TlsFailure failure, std::string text) {
  // Callers may already have an error there that says more; without one, the peer hears
  // "bad certificate".
  if (X509_STORE_CTX_get_error(chain) == X509_V_OK) {
    X509_STORE_CTX_set_error(chain, X509_V_ERR_CERT_REJECTED);
  }
  return {.failure = failure, .text = std::move(text), .id = {}};
}

}  // namespace

PeerVerdict check_peer(X509_STORE_CTX* chain, const std::string& trust_domain,
                       const IdMatcher* expected) {
  X509* leaf = X509_STORE_CTX_get0_cert(chain);
  if (leaf == nullptr) {
    return refuse(chain, TlsFailure::certificate, "the peer presented no certificate");
  }
  // The trust domain chooses the CAs, so it is looked at before any chain is built. There is one
  // set of CAs: a peer of another domain has none that could vouch for it.
  auto id = leaf_spiffe_id(leaf);
  if (id && id->trust_domain() != trust_domain) {
    return refuse(
        chain, TlsFailure::identity,
        "the peer presented " + id->text() + ", but this node's trust domain is " + trust_domain);
  }
  if (X509_verify_cert(chain) != 1) {
    return refuse(chain, TlsFailure::certificate, chain_problem(chain, leaf));
  }
  if (!id) {
    return refuse(chain, TlsFailure::identity, shown_leaf(leaf) + ": " + id.error().message);
  }
  if (expected != nullptr && !expected->matches(*id)) {
    return refuse(
        chain, TlsFailure::identity,
        "the peer presented " + id->text() + "; expected " + expected->expected(trust_domain));
  }
  return {.failure = TlsFailure::none, .text = {}, .id = *std::move(id)};
}

}  // namespace outrigger::tls
