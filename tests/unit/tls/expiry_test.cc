#include "tls/expiry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outrigger::tls {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const WallTime start{hours(24 * 365 * 50)};

CertificateInfo ending(WallTime end, std::string serial = "1") {
  CertificateInfo c;
  c.name = "identity";
  c.path = "/tls.crt";
  c.subject = "CN=web";
  c.serial = std::move(serial);
  c.not_after = end;
  return c;
}

TEST(ExpiryWarnings, SaysSoFromWarnBeforeOnAndOnceADay) {
  ExpiryWarnings warnings(hours(72));
  const std::vector<CertificateInfo> one{ending(start + hours(100))};
  EXPECT_THAT(warnings.due(one, start), IsEmpty());
  EXPECT_THAT(warnings.due(one, start + hours(28)),
              ElementsAre("/tls.crt: CN=web expires in 3 days"));
  EXPECT_THAT(warnings.due(one, start + hours(51)), IsEmpty()) << "not every second";
  EXPECT_THAT(warnings.due(one, start + hours(52)),
              ElementsAre("/tls.crt: CN=web expires in 2 days"));
  EXPECT_THAT(warnings.due(one, start + hours(77)),
              ElementsAre("/tls.crt: CN=web expires in 23 hours"));
  EXPECT_THAT(warnings.due(one, start + hours(101)), ElementsAre("/tls.crt: CN=web has expired"));
}

TEST(ExpiryWarnings, ANewCertificateThatEndsSoonIsSaidAtOnce) {
  ExpiryWarnings warnings(hours(1));
  const std::vector<CertificateInfo> first{ending(start + std::chrono::minutes(30))};
  const std::vector<CertificateInfo> second{ending(start + std::chrono::minutes(40), "2")};
  EXPECT_THAT(warnings.due(first, start), ElementsAre("/tls.crt: CN=web expires in 30 minutes"));
  EXPECT_THAT(warnings.due(second, start), ElementsAre("/tls.crt: CN=web expires in 40 minutes"));
}

TEST(ExpiryWarnings, NothingIsSaidWithAZeroBeforeUntilItHasExpired) {
  ExpiryWarnings warnings(hours(0));
  const std::vector<CertificateInfo> one{ending(start + hours(1))};
  EXPECT_THAT(warnings.due(one, start), IsEmpty());
  EXPECT_THAT(warnings.due(one, start + hours(1)), ElementsAre("/tls.crt: CN=web has expired"));
}

}  // namespace
}  // namespace outrigger::tls
