#pragma once

// One generation of this node's identity: certificate, key and CAs, ready to make TLS sessions.
// Immutable once loaded and shared by all workers; sessions keep the generation they began with
// alive. A rotation makes a new one (see CertStore).
//
//   auto context = TlsContext::load(files, now);             // Result: an error for people
//   auto transport = (*context)->server({.alpn = alpn});     // one per accepted connection
//   auto transport = (*context)->client({.server_name = "orders.mesh", .expected = matcher});
//
// Sessions are mutual: both sides show a certificate whose SPIFFE ID is checked inside the
// handshake. TLS 1.2 and 1.3 only, no resumption of any kind, no early data, no renegotiation.

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "base/traffic_cells.h"
#include "net/transport.h"
#include "tls/spiffe.h"

struct ssl_ctx_st;

namespace outrigger::tls {

struct PemText;

// Where the identity's files are. `crl` and `trust_domain` may be empty: then nothing is revoked,
// and the trust domain is the certificate's own.
struct IdentityFiles {
  std::string cert;
  std::string key;
  std::string ca;
  std::string crl;
  std::string trust_domain;
};

// The same as texts, for identities that never see a disk. `crl` may be empty.
struct IdentityPem {
  std::string cert;
  std::string key;
  std::string ca;
  std::string crl;
  std::string trust_domain;
};

// What the admin page may know about a certificate: no key material.
struct CertificateInfo {
  std::string name;  // "identity", "chain" or "ca"
  std::string path;  // the file it came from
  std::string subject;
  std::string issuer;
  std::string spiffe_id;
  std::vector<std::string> dns_names;
  std::string serial;  // hexadecimal
  WallTime not_before;
  WallTime not_after;
};

// Protocol names in the order of preference, as ALPN wants them on the wire.
class AlpnList {
 public:
  AlpnList() = default;
  // REQUIRES: each name has 1 to 255 bytes.
  AlpnList(std::initializer_list<std::string_view> names);
  explicit AlpnList(const std::vector<std::string>& names);

  bool empty() const { return wire_.empty(); }
  const std::string& wire() const { return wire_; }

 private:
  void add(std::string_view name);
  std::string wire_;
};

struct ServerOptions {
  // What the listener speaks, best first; a client that offers none of it is refused. Empty: ALPN
  // is ignored. A client without ALPN is always let in.
  AlpnList alpn;
  // False: a client may come without a certificate (its identity is then empty); one that it does
  // show must still be good.
  bool require_client_cert = true;
  // Where handshakes that succeed are counted, if anywhere; others end the connection, whose owner
  // counts them.
  TlsCells* cells = nullptr;
};

struct ClientOptions {
  std::string server_name;  // SNI; empty: none
  AlpnList alpn;
  // Who the server must be; null: anybody of the trust domain.
  std::shared_ptr<const IdMatcher> expected;
};

class TlsContext : public std::enable_shared_from_this<TlsContext> {
 public:
  // Reads the files and proves that they belong together. The error says which file and what to do.
  // What is suspicious but works (an expired certificate, a key that everybody may read) is in
  // warnings().
  static Result<std::shared_ptr<const TlsContext>> load(const IdentityFiles& files, WallTime now);
  static Result<std::shared_ptr<const TlsContext>> from_pem(const IdentityPem& pem, WallTime now);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  std::unique_ptr<net::Transport> server(const ServerOptions& options) const;
  std::unique_ptr<net::Transport> client(const ClientOptions& options) const;

  const SpiffeId& id() const { return id_; }
  const std::string& trust_domain() const { return trust_domain_; }
  // When the first of our own certificates (leaf or chain) expires.
  WallTime expires() const { return expires_; }
  const std::vector<CertificateInfo>& certificates() const { return certificates_; }
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  struct Parts;
  TlsContext() = default;
  static Result<std::shared_ptr<const TlsContext>> build(const PemText& cert, const PemText& key,
                                                         const PemText& ca, const PemText& crl,
                                                         const std::string& trust_domain,
                                                         WallTime now);
  Result<void> settle_identity(const Parts& parts, const std::string& trust_domain);
  Result<void> make_ssl_contexts(const Parts& parts);
  void list_certificates(const Parts& parts);
  void find_warnings(const Parts& parts, WallTime now);

  ssl_ctx_st* server_ = nullptr;
  ssl_ctx_st* client_ = nullptr;
  SpiffeId id_;
  std::string trust_domain_;
  WallTime expires_{};
  std::vector<CertificateInfo> certificates_;
  std::vector<std::string> warnings_;
};

}  // namespace outrigger::tls
