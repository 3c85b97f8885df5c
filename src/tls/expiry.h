#pragma once

// Says in time that a certificate is about to expire: `identity.warn_before` before its end, and
// then once a day until it has been replaced. Owned by whoever looks after the identity; one
// thread.

#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/time.h"
#include "tls/context.h"

namespace outrigger::tls {

class ExpiryWarnings {
 public:
  explicit ExpiryWarnings(Duration before) : before_(before) {}

  // What is due to be said now, as lines for the log. An expired certificate is due as well.
  std::vector<std::string> due(std::span<const CertificateInfo> certificates, WallTime now);

 private:
  Duration before_;
  std::map<std::string, WallTime> said_;  // serial number and end of each, and when it was said
};

}  // namespace outrigger::tls
