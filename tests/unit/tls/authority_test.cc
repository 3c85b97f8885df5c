#include "tls/authority.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/tls_identities.h"
#include "tls/certificate.h"

namespace outrigger::tls {
namespace {

using test::real_now;
using test::valid_now;
using testing::HasSubstr;

TEST(AuthorityTest, GoesThroughPem) {
  const auto made = Authority::create("example.org", valid_now()).value();
  const auto read = Authority::from_pem(made.cert_pem(), made.key_pem());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->trust_domain(), "example.org");
  // Certificates issued by the second are accepted by holders of the first's certificate.
  const auto identity = read->issue("spiffe://example.org/web", {"web.mesh"}, valid_now()).value();
  const auto context = TlsContext::from_pem({.cert = identity.cert_pem,
                                             .key = identity.key_pem,
                                             .ca = made.cert_pem(),
                                             .crl = {},
                                             .trust_domain = {}},
                                            real_now());
  ASSERT_TRUE(context);
  EXPECT_TRUE((*context)->warnings().empty());
}

TEST(AuthorityTest, RefusesWhatIsNoCa) {
  const auto authority = Authority::create("example.org", valid_now()).value();
  const auto leaf = authority.issue("spiffe://example.org/web", {}, valid_now()).value();
  EXPECT_THAT(Authority::from_pem(leaf.cert_pem, leaf.key_pem).error().message,
              HasSubstr("not allowed to sign"));
  EXPECT_THAT(Authority::from_pem(authority.cert_pem(), leaf.key_pem).error().message,
              HasSubstr("does not belong"));
  EXPECT_FALSE(Authority::from_pem("", ""));
  EXPECT_THAT(Authority::create("Example.org", valid_now()).error().message,
              HasSubstr("'Example.org'"));
}

TEST(AuthorityTest, RefusesBadRequests) {
  const auto authority = Authority::create("example.org", valid_now()).value();
  EXPECT_THAT(authority.issue("spiffe://example.com/web", {}, valid_now()).error().message,
              HasSubstr("not in this CA's trust domain, example.org"));
  EXPECT_THAT(authority.issue("spiffe://example.org", {}, valid_now()).error().message,
              HasSubstr("not a workload"));
  EXPECT_FALSE(authority.issue("web", {}, valid_now()));
  const Validity later{.from = real_now() + hours(48), .until = real_now() + hours(72)};
  EXPECT_THAT(authority.issue("spiffe://example.org/web", {}, later).error().message,
              HasSubstr("the CA certificate expired"));
}

TEST(AuthorityTest, CertificatesEndWithTheirCa) {
  const Validity validity = valid_now();
  const auto authority = Authority::create("example.org", validity).value();
  const auto identity = authority
                            .issue("spiffe://example.org/web", {},
                                   {.from = real_now(), .until = real_now() + hours(999)})
                            .value();
  const auto certs = parse_certificates({"", identity.cert_pem}).value();
  EXPECT_EQ(not_after(certs.front().get()), std::chrono::floor<seconds>(validity.until));
  EXPECT_EQ(not_after(certs.front().get()), identity.until);
}

TEST(AuthorityTest, LongNamesStayOutOfTheSubject) {
  const auto authority = Authority::create("example.org", valid_now()).value();
  const std::string id = "spiffe://example.org/" + std::string(200, 'x');
  const auto identity = authority.issue(id, {}, valid_now()).value();
  const auto certs = parse_certificates({"", identity.cert_pem}).value();
  EXPECT_EQ(subject_of(certs.front().get()), "");
  EXPECT_EQ(leaf_spiffe_id(certs.front().get()).value().text(), id);
}

TEST(AuthorityTest, SerialsDiffer) {
  const auto authority = Authority::create("example.org", valid_now()).value();
  const auto serial = [&authority] {
    const auto identity = authority.issue("spiffe://example.org/web", {}, valid_now()).value();
    return serial_of(parse_certificates({"", identity.cert_pem}).value().front().get());
  };
  EXPECT_NE(serial(), serial());
}

}  // namespace
}  // namespace outrigger::tls
