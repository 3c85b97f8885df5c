#include "cli/cert_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "support/tls_identities.h"
#include "support/tls_temp_dir.h"
#include "tls/context.h"

namespace outrigger::cli {
namespace {

using test::real_now;
using test::TlsTempDir;
using testing::HasSubstr;

class CertCommandsTest : public testing::Test {
 protected:
  int make_ca(const std::string& trust_domain = "example.org", int days = 30, bool force = false) {
    clear();
    return cert_ca_command(
        {.dir = dir_ / "ca", .trust_domain = trust_domain, .days = days, .force = force},
        real_now(), out_, err_);
  }
  int issue(const std::string& identity, int days = 7, bool force = false) {
    clear();
    return cert_issue_command({.ca_dir = dir_ / "ca",
                               .out_dir = dir_ / "web/certs",
                               .identity = identity,
                               .dns = {"web.mesh"},
                               .days = days,
                               .force = force},
                              real_now(), out_, err_);
  }
  void clear() {
    out_.str({});
    err_.str({});
  }
  static mode_t mode(const std::string& path) {
    struct stat s {};
    return stat(path.c_str(), &s) == 0 ? s.st_mode & 0777U : 0;
  }
  std::string text(const std::string& name) const {
    std::ifstream file(dir_ / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  TlsTempDir dir_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(CertCommandsTest, MakesACaAndAnIdentityThatLoads) {
  ASSERT_EQ(make_ca(), 0) << err_.str();
  EXPECT_EQ(out_.str(), dir_ / "ca/ca.crt\n" + (dir_ / "ca/ca.key\n"));
  EXPECT_EQ(mode(dir_ / "ca/ca.key"), 0600U);
  ASSERT_EQ(issue("web"), 0) << err_.str();
  EXPECT_EQ(mode(dir_ / "web/certs/tls.key"), 0600U);
  EXPECT_THAT(err_.str(), HasSubstr("A certificate for spiffe://example.org/web."));
  EXPECT_THAT(err_.str(), HasSubstr("identity: {cert: " + (dir_ / "web/certs/tls.crt")));
  const auto context = tls::TlsContext::load({.cert = dir_ / "web/certs/tls.crt",
                                              .key = dir_ / "web/certs/tls.key",
                                              .ca = dir_ / "ca/ca.crt",
                                              .crl = {},
                                              .trust_domain = "example.org"},
                                             real_now());
  ASSERT_TRUE(context) << context.error().message;
  EXPECT_EQ((*context)->id().text(), "spiffe://example.org/web");
  EXPECT_TRUE((*context)->warnings().empty());
  // No temporary files are left.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_ / "web/certs"), {}), 2);
}

TEST_F(CertCommandsTest, TakesWholeIds) {
  ASSERT_EQ(make_ca(), 0);
  ASSERT_EQ(issue("spiffe://example.org/ns/shop/sa/orders"), 0) << err_.str();
  EXPECT_THAT(err_.str(), HasSubstr("spiffe://example.org/ns/shop/sa/orders"));
}

TEST_F(CertCommandsTest, OverwritesOnlyByForce) {
  ASSERT_EQ(make_ca(), 0);
  ASSERT_EQ(issue("web"), 0);
  const std::string ca = text("ca/ca.key");
  const std::string key = text("web/certs/tls.key");
  EXPECT_EQ(make_ca(), 1);
  EXPECT_THAT(err_.str(), HasSubstr("--force"));
  EXPECT_EQ(issue("web"), 1);
  EXPECT_THAT(err_.str(), HasSubstr(dir_ / "web/certs/tls.key already exists"));
  EXPECT_EQ(out_.str(), "");
  EXPECT_EQ(text("ca/ca.key"), ca);
  EXPECT_EQ(text("web/certs/tls.key"), key);
  EXPECT_EQ(issue("web", 7, true), 0);
  EXPECT_NE(text("web/certs/tls.key"), key);
  EXPECT_EQ(mode(dir_ / "web/certs/tls.key"), 0600U);
  EXPECT_EQ(make_ca("example.org", 30, true), 0);
  EXPECT_NE(text("ca/ca.key"), ca);
}

TEST_F(CertCommandsTest, SaysWhatIsWrong) {
  EXPECT_EQ(issue("web"), 1);
  EXPECT_THAT(err_.str(), HasSubstr("`outrigger cert ca` makes a CA"));
  EXPECT_EQ(make_ca("Example.Org"), 64);
  EXPECT_THAT(err_.str(), HasSubstr("'Example.Org'"));
  EXPECT_EQ(make_ca(""), 64);
  EXPECT_EQ(make_ca("example.org", 0), 64);
  EXPECT_EQ(make_ca("example.org", 1'000'000), 64);
  ASSERT_EQ(make_ca(), 0);
  EXPECT_EQ(issue("web", -1), 64);
  EXPECT_EQ(issue("not a name"), 64);
  EXPECT_EQ(issue(""), 64);
  EXPECT_EQ(issue("../x"), 64);
  EXPECT_EQ(issue("spiffe://other.org/web"), 1);
  EXPECT_THAT(err_.str(), HasSubstr("not in this CA's trust domain, example.org"));
  dir_.write("ca/ca.key", "rubbish");
  EXPECT_EQ(issue("web"), 1);
  EXPECT_THAT(err_.str(), HasSubstr(dir_ / "ca: the CA key"));
  // A file where a directory should be.
  dir_.write("web", "");
  ASSERT_EQ(make_ca("example.org", 30, true), 0);
  EXPECT_EQ(issue("web"), 1);
  EXPECT_THAT(err_.str(), HasSubstr("cannot make the directory"));
}

TEST_F(CertCommandsTest, TellsWhenTheCaEndsFirst) {
  ASSERT_EQ(make_ca("example.org", 3), 0);
  ASSERT_EQ(issue("web", 90), 0);
  EXPECT_THAT(err_.str(), HasSubstr("Its CA ends earlier than 90 days"));
}

}  // namespace
}  // namespace outrigger::cli
