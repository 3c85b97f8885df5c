#pragma once

// A small certificate authority for development, demos and tests: ECDSA P-256, SPIFFE IDs. Its key
// lies where its owner puts it; production identities come from a real issuer. Values; one thread
// at a time.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace outrigger::tls {

struct Validity {
  WallTime from;
  WallTime until;
};

struct IssuedIdentity {
  std::string cert_pem;
  std::string key_pem;
  WallTime until;  // not after the CA's own end
};

// What goes into a certificate, taken as it is: tests make bad ones with it.
struct LeafRequest {
  std::string common_name;         // at most 64 bytes; may be empty
  std::vector<std::string> uris;   // any bytes
  std::vector<std::string> names;  // DNS
  Validity validity;
  bool ca = false;  // may sign, though it is a leaf
};

class Authority {
 public:
  // REQUIRES: `trust_domain` is one (trust_domain_problem() is null).
  static Result<Authority> create(std::string_view trust_domain, Validity validity);
  static Result<Authority> from_pem(const std::string& cert_pem, const std::string& key_pem);
  Authority(Authority&&) noexcept;
  Authority& operator=(Authority&&) noexcept;
  ~Authority();

  const std::string& trust_domain() const { return trust_domain_; }
  const std::string& cert_pem() const { return cert_pem_; }
  std::string key_pem() const;

  // A workload's certificate with a fresh key. The ID must be valid and of this trust domain.
  Result<IssuedIdentity> issue(const std::string& spiffe_id, const std::vector<std::string>& names,
                               Validity validity) const;
  // The same without any check.
  Result<IssuedIdentity> sign(const LeafRequest& request) const;

 private:
  struct Material;
  explicit Authority(std::unique_ptr<Material> material);

  std::unique_ptr<Material> material_;
  std::string trust_domain_;
  std::string cert_pem_;
};

}  // namespace outrigger::tls
