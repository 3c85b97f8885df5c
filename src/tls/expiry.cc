#include "tls/expiry.h"

#include <algorithm>

#include "tls/spiffe.h"

namespace outrigger::tls {
namespace {

std::string time_left(WallTime now, WallTime end) {
  const auto left = std::chrono::floor<std::chrono::minutes>(end - now).count();
  if (left >= 48 * 60) return std::to_string(left / (24 * 60)) + " days";
  if (left >= 2 * 60) return std::to_string(left / 60) + " hours";
  return std::to_string(left) + " minutes";
}

}  // namespace

std::vector<std::string> ExpiryWarnings::due(std::span<const CertificateInfo> certificates,
                                             WallTime now) {
  std::vector<std::string> lines;
  std::map<std::string, WallTime> kept;
  for (const CertificateInfo& c : certificates) {
    if (c.not_after - now > before_) continue;
    const std::string key =
        c.name + " " + c.serial + " " + std::to_string(c.not_after.time_since_epoch().count());
    const auto known = said_.find(key);
    const bool again = known == said_.end() || now - known->second >= hours(24);
    kept[key] = again ? now : known->second;
    if (!again) continue;
    const std::string who = c.path + ": " + printable(c.subject);
    lines.push_back(c.not_after <= now ? who + " has expired"
                                       : who + " expires in " + time_left(now, c.not_after));
  }
  said_ = std::move(kept);
  return lines;
}

}  // namespace outrigger::tls
