#include "tls/context.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/check.h"
#include "tls/certificate.h"
#include "tls/openssl.h"
#include "tls/transport.h"

namespace outrigger::tls {

struct TlsContext::Parts {
  PemText cert_pem, key_pem, ca_pem, crl_pem;
  std::vector<X509Ptr> chain;  // our leaf first
  KeyPtr key;
  std::vector<X509Ptr> cas;
  std::vector<CrlPtr> crls;
  StorePtr store;

  X509* leaf() const { return chain.front().get(); }
};

namespace {

constexpr int chain_depth_max = 5;
constexpr long certificate_list_max = 32L * 1024;
// AES-GCM first: every server CPU of today has instructions for it. TLS 1.2 only with forward
// secrecy and authenticated encryption.
constexpr const char* tls13_ciphers =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr const char* tls12_ciphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

Result<StorePtr> make_store(const std::vector<X509Ptr>& cas, const std::vector<CrlPtr>& crls,
                            const std::string& ca_name) {
  StorePtr store(X509_STORE_new());
  for (const X509Ptr& ca : cas) {
    if (!is_ca(ca.get())) {
      return Error{ca_name + ": " + subject_of(ca.get()) + " is not a CA certificate"};
    }
    X509_STORE_add_cert(store.get(), ca.get());
  }
  for (const CrlPtr& crl : crls) X509_STORE_add_crl(store.get(), crl.get());
  // Every certificate of the file is trusted, an intermediate without its root too.
  unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN;
  if (!crls.empty()) flags |= X509_V_FLAG_CRL_CHECK;
  X509_STORE_set_flags(store.get(), flags);
  X509_STORE_set_depth(store.get(), chain_depth_max);
  return store;
}

// Verifies our own leaf as a peer would; the problem, or empty.
std::string own_chain_problem(X509_STORE* store, const std::vector<X509Ptr>& chain,
                              const char* purpose) {
  const StoreCtxPtr ctx(X509_STORE_CTX_new());
  const X509StackPtr between(sk_X509_new_null());
  for (std::size_t i = 1; i < chain.size(); ++i) sk_X509_push(between.get(), chain[i].get());
  X509_STORE_CTX_init(ctx.get(), store, chain.front().get(), between.get());
  X509_STORE_CTX_set_default(ctx.get(), purpose);
  const bool good = X509_verify_cert(ctx.get()) == 1;
  ERR_clear_error();
  if (good) return {};
  return X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx.get()));
}

void set_common_options(SSL_CTX* ctx) {
  SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION);
  SSL_CTX_set_security_level(ctx, 2);
  SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                               SSL_OP_CIPHER_SERVER_PREFERENCE);
  // Sessions never resume, so that each connection proves its identity anew. NO_TICKET alone would
  // leave TLS 1.3 with tickets that point into the cache.
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(ctx, 0);
  SSL_CTX_set_max_early_data(ctx, 0);
  SSL_CTX_set_recv_max_early_data(ctx, 0);
  SSL_CTX_set_max_cert_list(ctx, certificate_list_max);
  SSL_CTX_set_verify_depth(ctx, chain_depth_max);
}

bool set_algorithms(SSL_CTX* ctx) {
  return SSL_CTX_set1_groups_list(ctx, "X25519:P-256") == 1 &&
         SSL_CTX_set_cipher_list(ctx, tls12_ciphers) == 1 &&
         SSL_CTX_set_ciphersuites(ctx, tls13_ciphers) == 1;
}

bool set_identity(SSL_CTX* ctx, const std::vector<X509Ptr>& chain, EVP_PKEY* key) {
  if (SSL_CTX_use_certificate(ctx, chain.front().get()) != 1) return false;
  if (SSL_CTX_use_PrivateKey(ctx, key) != 1) return false;
  for (std::size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(ctx, chain[i].get()) != 1) return false;
  }
  // Exactly the contents of the file are sent; nothing is looked up among the CAs.
  SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
  return true;
}

std::string key_mode_warning(const std::string& path) {
  struct stat status {};
  if (path.empty() || stat(path.c_str(), &status) != 0 || (status.st_mode & S_IROTH) == 0) {
    return {};
  }
  return path + " is readable by every user of this machine (chmod 600 " + path + ")";
}

}  // namespace

AlpnList::AlpnList(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) add(name);
}

AlpnList::AlpnList(const std::vector<std::string>& names) {
  for (const std::string& name : names) add(name);
}

void AlpnList::add(std::string_view name) {
  check(!name.empty() && name.size() <= 255, "an ALPN name has 1 to 255 bytes");
  wire_ += static_cast<char>(name.size());
  wire_ += name;
}

TlsContext::~TlsContext() {
  SSL_CTX_free(server_);
  SSL_CTX_free(client_);
}

Result<std::shared_ptr<const TlsContext>> TlsContext::load(const IdentityFiles& files,
                                                           WallTime now) {
  auto cert = read_file(files.cert);
  if (!cert) return cert.error();
  auto key = read_file(files.key);
  if (!key) return key.error();
  auto ca = read_file(files.ca);
  if (!ca) return ca.error();
  PemText crl{files.crl, {}};
  if (!files.crl.empty()) {
    auto text = read_file(files.crl);
    if (!text) return text.error();
    crl.text = *std::move(text);
  }
  return build({files.cert, *std::move(cert)}, {files.key, *std::move(key)},
               {files.ca, *std::move(ca)}, crl, files.trust_domain, now);
}

Result<std::shared_ptr<const TlsContext>> TlsContext::from_pem(const IdentityPem& pem,
                                                               WallTime now) {
  const PemText crl{pem.crl.empty() ? "" : "revocation list", pem.crl};
  return build({"certificate", pem.cert}, {"key", pem.key}, {"CA", pem.ca}, crl, pem.trust_domain,
               now);
}

Result<std::shared_ptr<const TlsContext>> TlsContext::build(const PemText& cert, const PemText& key,
                                                            const PemText& ca, const PemText& crl,
                                                            const std::string& trust_domain,
                                                            WallTime now) {
  Parts parts{cert, key, ca, crl, {}, {}, {}, {}, {}};
  auto chain = parse_certificates(cert);
  if (!chain) return chain.error();
  parts.chain = *std::move(chain);
  auto private_key = parse_key(key);
  if (!private_key) return private_key.error();
  parts.key = *std::move(private_key);
  if (X509_check_private_key(parts.leaf(), parts.key.get()) != 1) {
    ERR_clear_error();
    return Error{"the key in " + key.name + " does not belong to the certificate in " + cert.name};
  }
  auto cas = parse_certificates(ca);
  if (!cas) return cas.error();
  parts.cas = *std::move(cas);
  if (!crl.name.empty()) {
    auto crls = parse_crls(crl);
    if (!crls) return crls.error();
    parts.crls = *std::move(crls);
  }
  auto store = make_store(parts.cas, parts.crls, ca.name);
  if (!store) return store.error();
  parts.store = *std::move(store);

  const std::shared_ptr<TlsContext> context(new TlsContext);
  if (auto r = context->settle_identity(parts, trust_domain); !r) return r.error();
  if (auto r = context->make_ssl_contexts(parts); !r) return r.error();
  context->list_certificates(parts);
  context->find_warnings(parts, now);
  return std::shared_ptr<const TlsContext>(context);
}

Result<void> TlsContext::settle_identity(const Parts& parts, const std::string& trust_domain) {
  auto id = leaf_spiffe_id(parts.leaf());
  if (!id) {
    return Error{parts.cert_pem.name + " cannot be this node's identity: " + id.error().message +
                 "; `outrigger cert issue` creates one that can"};
  }
  id_ = *std::move(id);
  trust_domain_ = trust_domain.empty() ? std::string(id_.trust_domain()) : trust_domain;
  if (id_.trust_domain() != trust_domain_) {
    return Error{parts.cert_pem.name + " is for " + id_.text() + ", but the trust domain is " +
                 trust_domain_};
  }
  return {};
}

Result<void> TlsContext::make_ssl_contexts(const Parts& parts) {
  server_ = SSL_CTX_new(TLS_server_method());
  client_ = SSL_CTX_new(TLS_client_method());
  check(server_ != nullptr && client_ != nullptr, "OpenSSL gave no context");
  for (SSL_CTX* ctx : {server_, client_}) {
    set_common_options(ctx);
    check(set_algorithms(ctx), "OpenSSL does not know our algorithms");
    if (!set_identity(ctx, parts.chain, parts.key.get())) {
      return Error{parts.cert_pem.name + " can't be used: " + take_openssl_error()};
    }
    SSL_CTX_set1_cert_store(ctx, parts.store.get());
    TlsTransport::install(ctx);
  }
  return {};
}

void TlsContext::list_certificates(const Parts& parts) {
  const auto add = [this](X509* c, const char* name, const std::string& path) {
    certificates_.push_back({.name = name,
                             .path = path,
                             .subject = subject_of(c),
                             .issuer = issuer_of(c),
                             .spiffe_id = shown_uris(c),
                             .dns_names = shown_dns_names(c),
                             .serial = serial_of(c),
                             .not_before = not_before(c),
                             .not_after = not_after(c)});
  };
  expires_ = not_after(parts.leaf());
  for (const X509Ptr& c : parts.chain) {
    add(c.get(), c == parts.chain.front() ? "identity" : "chain", parts.cert_pem.name);
    expires_ = std::min(expires_, not_after(c.get()));
  }
  for (const X509Ptr& c : parts.cas) add(c.get(), "ca", parts.ca_pem.name);
}

void TlsContext::find_warnings(const Parts& parts, WallTime now) {
  bool dates_are_good = true;
  for (const CertificateInfo& c : certificates_) {
    const std::string who = c.path + ": " + printable(c.subject);
    if (c.not_after < now) {
      warnings_.push_back(who + " expired at " + shown_time(c.not_after));
    } else if (c.not_before > now) {
      warnings_.push_back(who + " is not valid before " + shown_time(c.not_before));
    } else {
      continue;
    }
    dates_are_good = false;
  }
  for (const CrlPtr& crl : parts.crls) {
    const ASN1_TIME* next = X509_CRL_get0_nextUpdate(crl.get());
    if (next == nullptr || to_wall_time(next) >= now) continue;
    warnings_.push_back(parts.crl_pem.name + " should have been renewed by " +
                        shown_time(to_wall_time(next)) +
                        "; until then, every peer with a certificate of its CA is refused");
    dates_are_good = false;
  }
  if (dates_are_good) {
    for (const char* purpose : {"ssl_server", "ssl_client"}) {
      const std::string problem = own_chain_problem(parts.store.get(), parts.chain, purpose);
      if (problem.empty()) continue;
      warnings_.push_back(parts.cert_pem.name + " cannot be verified against " + parts.ca_pem.name +
                          " (" + problem + "); peers will refuse it");
      break;
    }
  }
  if (std::string warning = key_mode_warning(parts.key_pem.name); !warning.empty()) {
    warnings_.push_back(std::move(warning));
  }
}

std::unique_ptr<net::Transport> TlsContext::server(const ServerOptions& options) const {
  return std::make_unique<TlsTransport>(shared_from_this(), server_, options);
}

std::unique_ptr<net::Transport> TlsContext::client(const ClientOptions& options) const {
  return std::make_unique<TlsTransport>(shared_from_this(), client_, options);
}

}  // namespace outrigger::tls
