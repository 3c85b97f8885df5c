#include "tls/certificate.h"

#include <cstring>
#include <ctime>

#include "base/file.h"
#include "tls/digest.h"

namespace outrigger::tls {
namespace {

constexpr std::size_t file_size_max = 4U << 20;

// PEM's end of input is an error too, in OpenSSL's eyes; everything else is a broken block.
bool at_end_of_pem() {
  const auto code = ERR_peek_last_error();
  const bool end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
  if (end) ERR_clear_error();
  return end;
}

// A file that is being written may end inside the line that begins its next block, which OpenSSL
// takes for text between blocks.
bool ends_in_a_begin_line(std::string_view text) {
  const std::size_t last = text.rfind("\n-");
  return last != std::string_view::npos && !text.substr(last + 1).starts_with("-----END ");
}

template <typename Ptr, typename Read>
Result<std::vector<Ptr>> parse_all(const PemText& pem, const char* what, Read read) {
  const BioPtr bio = read_only_bio(pem.text);
  std::vector<Ptr> found;
  ERR_clear_error();
  while (Ptr object{read(bio.get())}) found.push_back(std::move(object));
  if (!at_end_of_pem() || (!found.empty() && ends_in_a_begin_line(pem.text))) {
    return Error{pem.name + ": " + what + " number " + std::to_string(found.size() + 1) +
                 " is damaged or truncated (" +
                 (ERR_peek_last_error() == 0 ? "it ends early" : take_openssl_error()) + ")"};
  }
  if (found.empty()) {
    return Error{pem.name + " holds no " + what + " in PEM format (-----BEGIN ...-----)"};
  }
  return found;
}

std::string name_text(const X509_NAME* name) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253) < 0) return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

std::string_view bytes_of_asn1(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<std::size_t>(ASN1_STRING_length(text))};
}

// Names of the one SAN extension.
struct AlternativeNames {
  GeneralNamesPtr names;
  std::vector<std::string_view> uris;
  std::vector<std::string_view> dns;
  bool unreadable = false;
};

AlternativeNames alternative_names(X509* certificate) {
  AlternativeNames all;
  int found = 0;
  all.names.reset(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, &found, nullptr)));
  // -1: there is none. -2: there are several. Otherwise it does not parse.
  all.unreadable = all.names == nullptr && found != -1;
  for (int i = 0; i < sk_GENERAL_NAME_num(all.names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(all.names.get(), i);
    if (name->type == GEN_URI) all.uris.push_back(bytes_of_asn1(name->d.uniformResourceIdentifier));
    if (name->type == GEN_DNS) all.dns.push_back(bytes_of_asn1(name->d.dNSName));
  }
  return all;
}

}  // namespace

std::string take_openssl_error() {
  const auto code = ERR_peek_last_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  std::string text = reason != nullptr ? reason : "unknown error";
  ERR_clear_error();
  return text;
}

BioPtr read_only_bio(std::string_view bytes) {
  return BioPtr(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

WallTime to_wall_time(const ASN1_TIME* time) {
  std::tm fields{};
  if (ASN1_TIME_to_tm(time, &fields) != 1) return {};
  return std::chrono::sys_seconds(seconds(timegm(&fields)));
}

Result<std::string> read_file(const std::string& path) {
  auto text = read_regular_file(path, file_size_max);
  if (!text) return Error{"cannot read " + path + ": " + text.error().message};
  return text;
}

Result<std::vector<X509Ptr>> parse_certificates(const PemText& pem) {
  return parse_all<X509Ptr>(pem, "certificate", [](BIO* bio) {
    return PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  });
}

Result<std::vector<CrlPtr>> parse_crls(const PemText& pem) {
  return parse_all<CrlPtr>(pem, "revocation list", [](BIO* bio) {
    return PEM_read_bio_X509_CRL(bio, nullptr, nullptr, nullptr);
  });
}

Result<KeyPtr> parse_key(const PemText& pem) {
  const BioPtr bio = read_only_bio(pem.text);
  bool asked = false;
  const auto refuse = [](char*, int, int, void* flag) {
    *static_cast<bool*>(flag) = true;
    return -1;
  };
  ERR_clear_error();
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, refuse, &asked));
  const std::string cause = key ? std::string() : take_openssl_error();
  ERR_clear_error();
  if (key) return key;
  if (asked) {
    return Error{pem.name +
                 " is encrypted; a key for an unattended process must not be (openssl pkey -in "
                 "FILE -out FILE removes the passphrase)"};
  }
  return Error{pem.name + " contains no complete private key in PEM format (" + cause + ")"};
}

bool is_ca(X509* certificate) {
  const std::uint32_t flags = X509_get_extension_flags(certificate);
  if ((flags & EXFLAG_CA) != 0) return true;
  constexpr std::uint32_t signing = KU_KEY_CERT_SIGN | KU_CRL_SIGN;
  return (flags & EXFLAG_KUSAGE) != 0 && (X509_get_key_usage(certificate) & signing) != 0;
}

Result<SpiffeId> leaf_spiffe_id(X509* certificate) {
  const AlternativeNames names = alternative_names(certificate);
  const auto& uris = names.uris;
  if (names.unreadable) return Error{"its subject alternative names are duplicated or malformed"};
  if (uris.empty()) return Error{"it has no SPIFFE ID (no URI among its SANs)"};
  if (uris.size() > 1) {
    return Error{"it has " + std::to_string(uris.size()) + " URIs (" + shown_uris(certificate) +
                 "); a SPIFFE certificate has exactly one"};
  }
  // The length ASN.1 declares must be the length a C string function would see.
  const std::string_view text = uris.front();
  if (text.find('\0') != std::string_view::npos) {
    return Error{"its URI contains a NUL byte: '" + printable(text) + "'"};
  }
  auto id = SpiffeId::parse(text);
  if (!id) return id;
  if (id->path().empty()) {
    return Error{"its SPIFFE ID '" + id->text() + "' names a trust domain, not a workload"};
  }
  if (is_ca(certificate)) {
    return Error{"it may sign other certificates (" + id->text() +
                 "), and a CA certificate cannot be an identity"};
  }
  return id;
}

std::string shown_uris(X509* certificate) {
  constexpr std::size_t shown_max = 3;
  const AlternativeNames names = alternative_names(certificate);
  std::string out;
  for (std::size_t i = 0; i < names.uris.size() && i < shown_max; ++i) {
    if (i > 0) out += ", ";
    out += printable(names.uris[i]);
  }
  if (names.uris.size() > shown_max) out += ", ...";
  return out;
}

std::vector<std::string> shown_dns_names(X509* certificate) {
  const AlternativeNames names = alternative_names(certificate);
  std::vector<std::string> out;
  for (const std::string_view name : names.dns) out.push_back(printable(name));
  return out;
}

std::string subject_of(X509* certificate) {
  return name_text(X509_get_subject_name(certificate));
}

std::string issuer_of(X509* certificate) {
  return name_text(X509_get_issuer_name(certificate));
}

std::string serial_of(X509* certificate) {
  return hex(bytes_of_asn1(X509_get0_serialNumber(certificate)));
}

std::string fingerprint_of(X509* certificate) {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  Sha256 digest{};
  unsigned size = 0;
  if (X509_digest(certificate, algorithm, digest.data(), &size) != 1) return {};
  return hex(bytes_of(digest));
}

WallTime not_before(X509* certificate) {
  return to_wall_time(X509_get0_notBefore(certificate));
}

WallTime not_after(X509* certificate) {
  return to_wall_time(X509_get0_notAfter(certificate));
}

std::string shown_time(WallTime time) {
  const std::time_t whole = std::chrono::floor<seconds>(time).time_since_epoch().count();
  std::tm fields{};
  gmtime_r(&whole, &fields);
  char text[32];
  const std::size_t n = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &fields);
  return {text, n};
}

}  // namespace outrigger::tls
