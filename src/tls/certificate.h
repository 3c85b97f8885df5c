#pragma once

// Reading certificates: PEM files into objects, objects into what people and the admin page want to
// know. Functions without state; any thread.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "tls/openssl.h"
#include "tls/spiffe.h"

namespace outrigger::tls {

// A PEM text and what messages call it: its path, or "the built-in certificate".
struct PemText {
  std::string name;
  std::string text;
};

// The file's bytes, 4 MiB at most; the error names the file and the cause.
Result<std::string> read_file(const std::string& path);

// One or more certificates; text between them is skipped. Every block must be whole: a file that
// is being written is an error.
Result<std::vector<X509Ptr>> parse_certificates(const PemText& pem);
// One private key. Encrypted ones are refused: there is nobody to type a passphrase.
Result<KeyPtr> parse_key(const PemText& pem);
Result<std::vector<CrlPtr>> parse_crls(const PemText& pem);

// The one SPIFFE ID of a leaf. The error says which rule of X.509-SVID the certificate breaks: one
// SAN extension with exactly one URI, no NUL inside, a valid ID with a path, not a CA.
Result<SpiffeId> leaf_spiffe_id(X509* certificate);
// The IDs as they stand, unchecked, made printable and joined; for messages and lists.
std::string shown_uris(X509* certificate);
// Its DNS names, made printable; they identify nobody here.
std::vector<std::string> shown_dns_names(X509* certificate);

bool is_ca(X509* certificate);
// RFC 2253, controls and non-ASCII escaped.
std::string subject_of(X509* certificate);
std::string issuer_of(X509* certificate);
// Lower-case hexadecimal.
std::string serial_of(X509* certificate);
std::string fingerprint_of(X509* certificate);
WallTime not_before(X509* certificate);
WallTime not_after(X509* certificate);
// "2026-11-22T10:00:00Z"
std::string shown_time(WallTime time);

}  // namespace outrigger::tls
