#include "tls/context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include "support/tls_identities.h"
#include "support/tls_temp_dir.h"

namespace outrigger::tls {
namespace {

using test::real_now;
using test::TestAuthority;
using test::TlsTempDir;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ContextTest : public testing::Test {
 protected:
  ContextTest() {
    write(identity_);
    files_.ca = dir_.write("ca.crt", authority().authority().cert_pem());
  }
  static const TestAuthority& authority() {
    static const TestAuthority a;
    return a;
  }
  void write(const IssuedIdentity& identity) {
    files_.cert = dir_.write("tls.crt", identity.cert_pem);
    files_.key = dir_.write("tls.key", identity.key_pem);
    chmod(files_.key.c_str(), 0600);
  }
  std::string error() {
    auto loaded = TlsContext::load(files_, real_now());
    return loaded ? "no error" : loaded.error().message;
  }
  LeafRequest leaf() {
    return {.common_name = "web",
            .uris = {"spiffe://example.org/web"},
            .names = {},
            .validity = test::valid_now(),
            .ca = false};
  }

  TlsTempDir dir_;
  IdentityFiles files_;
  IssuedIdentity identity_ = authority().issue("spiffe://example.org/web");
};

TEST_F(ContextTest, LoadsAnIdentity) {
  const auto context = TlsContext::load(files_, real_now());
  ASSERT_TRUE(context) << context.error().message;
  EXPECT_EQ((*context)->id().text(), "spiffe://example.org/web");
  EXPECT_EQ((*context)->trust_domain(), "example.org");
  EXPECT_THAT((*context)->warnings(), IsEmpty());
  EXPECT_GT((*context)->expires(), real_now() + hours(23));
  EXPECT_LT((*context)->expires(), real_now() + hours(25));
}

TEST_F(ContextTest, ListsCertificatesWithoutKeys) {
  const auto context = TlsContext::load(files_, real_now()).value();
  ASSERT_EQ(context->certificates().size(), 2U);
  const CertificateInfo& own = context->certificates()[0];
  EXPECT_EQ(own.name, "identity");
  EXPECT_EQ(own.path, files_.cert);
  EXPECT_EQ(own.subject, "CN=web");
  EXPECT_EQ(own.issuer, "CN=Outrigger development CA");
  EXPECT_EQ(own.spiffe_id, "spiffe://example.org/web");
  EXPECT_EQ(own.serial.size(), 32U);
  EXPECT_LT(own.not_before, real_now());
  EXPECT_EQ(own.not_after, context->expires());
  const CertificateInfo& ca = context->certificates()[1];
  EXPECT_EQ(ca.name, "ca");
  EXPECT_EQ(ca.path, files_.ca);
  EXPECT_EQ(ca.spiffe_id, "spiffe://example.org");
  EXPECT_THAT(ca.dns_names, IsEmpty());
}

TEST_F(ContextTest, ListsDnsNames) {
  LeafRequest request = leaf();
  request.names = {"web.example.org", "web.internal"};
  write(authority().sign(request));
  const auto context = TlsContext::load(files_, real_now()).value();
  EXPECT_THAT(context->certificates()[0].dns_names, ElementsAre("web.example.org", "web.internal"));
}

TEST_F(ContextTest, NamesUnreadableFiles) {
  for (std::string IdentityFiles::*file :
       {&IdentityFiles::cert, &IdentityFiles::key, &IdentityFiles::ca, &IdentityFiles::crl}) {
    IdentityFiles files = files_;
    files.*file = dir_ / "missing.pem";
    const auto loaded = TlsContext::load(files, real_now());
    ASSERT_FALSE(loaded);
    EXPECT_THAT(loaded.error().message, HasSubstr(dir_ / "missing.pem"));
    EXPECT_THAT(loaded.error().message, HasSubstr("No such file"));
  }
  files_.cert = dir_.path();
  EXPECT_THAT(error(), HasSubstr("Is a directory"));
}

TEST_F(ContextTest, NamesWhatIsNotPem) {
  for (const char* text : {"", "hello\n", "-----BEGIN\n", "\x30\x82\x01"}) {
    for (const char* name : {"tls.crt", "tls.key", "ca.crt"}) {
      write(identity_);
      dir_.write("ca.crt", authority().authority().cert_pem());
      const std::string path = dir_.write(name, text);
      EXPECT_THAT(error(), HasSubstr(path));
      EXPECT_THAT(error(), HasSubstr("PEM")) << text;
    }
  }
}

TEST_F(ContextTest, RefusesHalfWrittenFilesAtEveryLength) {
  const std::string chain = identity_.cert_pem + authority().authority().cert_pem();
  const std::size_t whole = identity_.cert_pem.size();
  for (std::size_t size = 0; size < chain.size() - 1; size += 1) {
    // A file truncated between two certificates looks complete; that cannot be detected.
    if (size >= whole - 1 && size <= whole) continue;
    dir_.write("tls.crt", chain.substr(0, size));
    EXPECT_NE(error(), "no error") << size;
  }
  write(identity_);
  for (std::size_t size = 0; size < identity_.key_pem.size() - 1; size += 3) {
    dir_.write("tls.key", identity_.key_pem.substr(0, size));
    EXPECT_NE(error(), "no error") << size;
  }
}

TEST_F(ContextTest, RefusesAKeyOfAnotherCertificate) {
  dir_.write("tls.key", authority().issue("spiffe://example.org/web").key_pem);
  EXPECT_THAT(error(), HasSubstr("does not belong to the certificate in " + files_.cert));
}

TEST_F(ContextTest, RefusesAnEncryptedKey) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_256_cbc(), "secret", 6, nullptr, nullptr);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  dir_.write("tls.key", {data, static_cast<std::size_t>(size)});
  BIO_free(bio);
  EVP_PKEY_free(key);
  EXPECT_THAT(error(), HasSubstr("is encrypted"));
}

TEST_F(ContextTest, RefusesToBeNobody) {
  LeafRequest nobody = leaf();
  nobody.uris.clear();
  write(authority().sign(nobody));
  EXPECT_THAT(error(), HasSubstr("has no SPIFFE ID"));
  EXPECT_THAT(error(), HasSubstr("outrigger cert issue"));

  LeafRequest two = leaf();
  two.uris.push_back("spiffe://example.org/other");
  write(authority().sign(two));
  EXPECT_THAT(error(), HasSubstr("has 2 URIs"));

  LeafRequest ca = leaf();
  ca.ca = true;
  write(authority().sign(ca));
  EXPECT_THAT(error(), HasSubstr("a CA certificate cannot be an identity"));
}

TEST_F(ContextTest, RefusesAnotherTrustDomain) {
  files_.trust_domain = "example.com";
  EXPECT_THAT(error(), HasSubstr("spiffe://example.org/web, but the trust domain is example.com"));
}

TEST_F(ContextTest, RefusesLeavesAmongTheCas) {
  dir_.write("ca.crt", authority().authority().cert_pem() + identity_.cert_pem);
  EXPECT_THAT(error(), HasSubstr("CN=web is not a CA certificate"));
}

TEST_F(ContextTest, WarnsOfAnExpiredCertificate) {
  LeafRequest expired = leaf();
  expired.validity = {.from = real_now() - hours(48), .until = real_now() - hours(1)};
  write(authority().sign(expired));
  auto context = TlsContext::load(files_, real_now()).value();
  EXPECT_THAT(context->warnings(), Contains(HasSubstr("CN=web expired at ")));

  expired.validity = {.from = real_now() + hours(1), .until = real_now() + hours(48)};
  write(authority().sign(expired));
  context = TlsContext::load(files_, real_now()).value();
  EXPECT_THAT(context->warnings(), Contains(HasSubstr("CN=web is not valid before ")));
}

TEST_F(ContextTest, WarnsWhenPeersWillRefuseIt) {
  dir_.write("ca.crt", TestAuthority().authority().cert_pem());
  const auto context = TlsContext::load(files_, real_now()).value();
  EXPECT_THAT(context->warnings(), Contains(HasSubstr("peers will refuse it")));
}

TEST_F(ContextTest, WarnsOfAnOpenKey) {
  chmod(files_.key.c_str(), 0644);
  const auto context = TlsContext::load(files_, real_now()).value();
  EXPECT_THAT(context->warnings(), Contains(HasSubstr("is readable by every user")));
}

TEST_F(ContextTest, SkipsTextBetweenCertificates) {
  dir_.write("ca.crt", "# our CA\n" + authority().authority().cert_pem() + "\n# another\n" +
                           TestAuthority().authority().cert_pem() + "# end\n");
  const auto context = TlsContext::load(files_, real_now());
  ASSERT_TRUE(context) << context.error().message;
  EXPECT_EQ((*context)->certificates().size(), 3U);
}

TEST_F(ContextTest, BothCasAreTrustedDuringARollover) {
  const TestAuthority next;
  const std::string both = authority().authority().cert_pem() + next.authority().cert_pem();
  const auto context = [&both](const IssuedIdentity& identity) {
    return TlsContext::from_pem({.cert = identity.cert_pem,
                                 .key = identity.key_pem,
                                 .ca = both,
                                 .crl = {},
                                 .trust_domain = "example.org"},
                                real_now())
        .value();
  };
  const auto old_side = context(identity_);
  const auto new_side = context(next.issue("spiffe://example.org/web"));
  for (const auto& [client, server] :
       {std::pair(old_side, new_side), std::pair(new_side, old_side)}) {
    test::TransportPair p(client->client({.server_name = {}, .alpn = {}, .expected = nullptr}),
                          server->server({.alpn = {}, .require_client_cert = true}));
    p.pump();
    EXPECT_TRUE(p.established()) << p.client->failure_text() << p.server->failure_text();
  }
}

TEST_F(ContextTest, SendsIntermediates) {
  LeafRequest middle{.common_name = "middle",
                     .uris = {"spiffe://example.org"},
                     .names = {},
                     .validity = test::valid_now(),
                     .ca = true};
  // The development CA allows no CA below it, so a longer chain needs the intermediate as anchor.
  const IssuedIdentity sub = authority().sign(middle);
  const auto issuer = Authority::from_pem(sub.cert_pem, sub.key_pem).value();
  const IssuedIdentity below =
      issuer.issue("spiffe://example.org/web", {}, test::valid_now()).value();
  const auto context = TlsContext::from_pem({.cert = below.cert_pem,
                                             .key = below.key_pem,
                                             .ca = sub.cert_pem,
                                             .crl = {},
                                             .trust_domain = {}},
                                            real_now());
  ASSERT_TRUE(context) << context.error().message;
  EXPECT_THAT((*context)->warnings(), IsEmpty()) << "an intermediate may be an anchor";
}

TEST(AlpnListTest, WireForm) {
  EXPECT_EQ(AlpnList({"h2", "http/1.1"}).wire(), "\x02h2\x08http/1.1");
  EXPECT_EQ(AlpnList(std::vector<std::string>{"outrigger-tcp"}).wire(), "\x0doutrigger-tcp");
  EXPECT_TRUE(AlpnList().empty());
}

}  // namespace
}  // namespace outrigger::tls
