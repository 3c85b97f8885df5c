#pragma once

// `outrigger cert ca` and `outrigger cert issue`: a development CA with SPIFFE IDs in two files,
// and certificates from it. They return the process's exit code: 0 done, 1 failed, 64 wrong usage.

#include <iosfwd>
#include <string>
#include <vector>

#include "base/time.h"

namespace outrigger::cli {

struct CertCaOptions {
  std::string dir;  // made when missing; gets ca.crt and ca.key
  std::string trust_domain;
  int days = 3650;
  bool force = false;  // overwrite
};

struct CertIssueOptions {
  std::string ca_dir;
  std::string out_dir;   // made when missing; gets tls.crt and tls.key
  std::string identity;  // a SPIFFE ID, or a service name of the CA's trust domain
  std::vector<std::string> dns;
  int days = 90;
  bool force = false;
};

// What was made goes to `out`, complaints to `err`.
int cert_ca_command(const CertCaOptions& options, WallTime now, std::ostream& out,
                    std::ostream& err);
int cert_issue_command(const CertIssueOptions& options, WallTime now, std::ostream& out,
                       std::ostream& err);

}  // namespace outrigger::cli
