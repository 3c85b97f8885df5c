#include "tls/authority.h"

#include <openssl/ec.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "tls/certificate.h"
#include "tls/openssl.h"
#include "tls/spiffe.h"

namespace outrigger::tls {

struct Authority::Material {
  X509Ptr cert;
  KeyPtr key;
};

namespace {

constexpr std::size_t common_name_max = 64;  // of X.520

KeyPtr make_key() {
  KeyPtr key(EVP_EC_gen("P-256"));
  check(key != nullptr, "OpenSSL made no key");
  return key;
}

template <typename Write>
std::string to_pem(Write write) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  check(write(bio.get()) == 1, "OpenSSL wrote no PEM");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string cert_to_pem(X509* cert) {
  return to_pem([cert](BIO* bio) { return PEM_write_bio_X509(bio, cert); });
}

std::string key_to_pem(EVP_PKEY* key) {
  return to_pem([key](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

void set_serial(X509* cert) {
  std::array<unsigned char, 16> bytes{};
  check(RAND_bytes(bytes.data(), bytes.size()) == 1, "no random bytes");
  bytes[0] &= 0x7f;  // a positive number,
  bytes[0] |= 0x40;  // of full length
  BIGNUM* number = BN_bin2bn(bytes.data(), bytes.size(), nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
  BN_free(number);
}

void set_time(ASN1_TIME* to, WallTime time) {
  ASN1_TIME_set(to, std::chrono::floor<seconds>(time).time_since_epoch().count());
}

void set_common_name(X509* cert, const std::string& name) {
  if (name.empty() || name.size() > common_name_max) return;
  X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), NID_commonName, MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.data()),
                             static_cast<int>(name.size()), -1, 0);
}

void add_extension(X509* cert, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  check(extension != nullptr, "a certificate extension that OpenSSL does not take");
  X509_add_ext(cert, extension, -1);
  X509_EXTENSION_free(extension);
}

void add_general_name(GENERAL_NAMES* names, int type, const std::string& text) {
  ASN1_IA5STRING* value = ASN1_IA5STRING_new();
  ASN1_STRING_set(value, text.data(), static_cast<int>(text.size()));
  GENERAL_NAME* name = GENERAL_NAME_new();
  GENERAL_NAME_set0_value(name, type, value);
  sk_GENERAL_NAME_push(names, name);
}

// Built from bytes, never from a configuration text: what is in a name stays in it.
void add_alternative_names(X509* cert, const std::vector<std::string>& uris,
                           const std::vector<std::string>& names) {
  if (uris.empty() && names.empty()) return;
  const GeneralNamesPtr all(GENERAL_NAMES_new());
  for (const std::string& uri : uris) add_general_name(all.get(), GEN_URI, uri);
  for (const std::string& name : names) add_general_name(all.get(), GEN_DNS, name);
  // Critical when nothing else names the subject (RFC 5280, 4.2.1.6).
  const bool critical = X509_NAME_entry_count(X509_get_subject_name(cert)) == 0;
  X509_add1_ext_i2d(cert, NID_subject_alt_name, all.get(), critical ? 1 : 0, X509V3_ADD_APPEND);
}

X509Ptr begin_certificate(EVP_PKEY* key, Validity validity) {
  X509Ptr cert(X509_new());
  check(cert != nullptr, "OpenSSL made no certificate");
  X509_set_version(cert.get(), X509_VERSION_3);
  set_serial(cert.get());
  set_time(X509_getm_notBefore(cert.get()), validity.from);
  set_time(X509_getm_notAfter(cert.get()), validity.until);
  X509_set_pubkey(cert.get(), key);
  return cert;
}

void add_key_ids(X509* cert, X509* issuer) {
  add_extension(cert, issuer, NID_subject_key_identifier, "hash");
  add_extension(cert, issuer, NID_authority_key_identifier, "keyid:always");
}

}  // namespace

Authority::Authority(std::unique_ptr<Material> material) : material_(std::move(material)) {}
Authority::Authority(Authority&&) noexcept = default;
Authority& Authority::operator=(Authority&&) noexcept = default;
Authority::~Authority() = default;

Result<Authority> Authority::create(std::string_view trust_domain, Validity validity) {
  if (const char* problem = trust_domain_problem(trust_domain)) {
    return Error{"trust domain '" + printable(trust_domain) + "' " + problem};
  }
  auto material = std::make_unique<Material>();
  material->key = make_key();
  material->cert = begin_certificate(material->key.get(), validity);
  X509* cert = material->cert.get();
  set_common_name(cert, "Outrigger development CA");
  X509_set_issuer_name(cert, X509_get_subject_name(cert));
  add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign");
  add_alternative_names(cert, {"spiffe://" + std::string(trust_domain)}, {});
  add_key_ids(cert, cert);
  X509_sign(cert, material->key.get(), EVP_sha256());

  Authority authority(std::move(material));
  authority.trust_domain_ = trust_domain;
  authority.cert_pem_ = cert_to_pem(cert);
  return authority;
}

Result<Authority> Authority::from_pem(const std::string& cert_pem, const std::string& key_pem) {
  auto certs = parse_certificates({"the CA certificate", cert_pem});
  if (!certs) return certs.error();
  auto key = parse_key({"the CA key", key_pem});
  if (!key) return key.error();
  auto material = std::make_unique<Material>();
  material->cert = std::move(certs->front());
  material->key = *std::move(key);
  X509* cert = material->cert.get();
  if (X509_check_private_key(cert, material->key.get()) != 1) {
    ERR_clear_error();
    return Error{"the CA key does not belong to the CA certificate"};
  }
  if (!is_ca(cert)) return Error{"the CA certificate is not allowed to sign other certificates"};
  const auto id = SpiffeId::parse(shown_uris(cert));
  if (!id || !id->path().empty()) {
    return Error{"the CA certificate names no trust domain (a URI like spiffe://example.org)"};
  }
  Authority authority(std::move(material));
  authority.trust_domain_ = id->trust_domain();
  authority.cert_pem_ = cert_pem;
  return authority;
}

std::string Authority::key_pem() const {
  return key_to_pem(material_->key.get());
}

Result<IssuedIdentity> Authority::issue(const std::string& spiffe_id,
                                        const std::vector<std::string>& names,
                                        Validity validity) const {
  const auto id = SpiffeId::parse(spiffe_id);
  if (!id) return id.error();
  if (id->path().empty()) return Error{spiffe_id + " names a trust domain, not a workload"};
  if (id->trust_domain() != trust_domain_) {
    return Error{spiffe_id + " is not in this CA's trust domain, " + trust_domain_};
  }
  const WallTime ca_until = not_after(material_->cert.get());
  if (ca_until <= validity.from) {
    return Error{"the CA certificate expired at " + shown_time(ca_until)};
  }
  validity.until = std::min(validity.until, ca_until);
  const std::string_view path = id->path();
  return sign({.common_name = std::string(path.substr(path.rfind('/') + 1)),
               .uris = {spiffe_id},
               .names = names,
               .validity = validity});
}

Result<IssuedIdentity> Authority::sign(const LeafRequest& request) const {
  const KeyPtr key = make_key();
  const X509Ptr cert = begin_certificate(key.get(), request.validity);
  X509* ca = material_->cert.get();
  set_common_name(cert.get(), request.common_name);
  X509_set_issuer_name(cert.get(), X509_get_subject_name(ca));
  add_extension(cert.get(), ca, NID_basic_constraints,
                request.ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
  add_extension(cert.get(), ca, NID_key_usage,
                request.ca ? "critical,digitalSignature,keyCertSign" : "critical,digitalSignature");
  add_extension(cert.get(), ca, NID_ext_key_usage, "serverAuth,clientAuth");
  add_alternative_names(cert.get(), request.uris, request.names);
  add_key_ids(cert.get(), ca);
  if (X509_sign(cert.get(), material_->key.get(), EVP_sha256()) == 0) {
    return Error{"the CA key cannot sign: " + take_openssl_error()};
  }
  return IssuedIdentity{.cert_pem = cert_to_pem(cert.get()),
                        .key_pem = key_to_pem(key.get()),
                        .until = request.validity.until};
}

}  // namespace outrigger::tls
