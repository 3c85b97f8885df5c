#include "tls/cert_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "support/tls_identities.h"
#include "support/tls_temp_dir.h"

namespace outrigger::tls {
namespace {

using test::real_now;
using test::TestAuthority;
using test::TlsTempDir;
using test::TransportPair;
using testing::HasSubstr;

class CertStoreTest : public testing::Test {
 protected:
  CertStoreTest() {
    write(authority_.issue("spiffe://example.org/web"));
    dir_.write("ca.crt", authority_.authority().cert_pem());
  }
  void write(const IssuedIdentity& identity) const {
    dir_.write("tls.crt", identity.cert_pem);
    dir_.write("tls.key", identity.key_pem);
  }
  IdentityFiles files() const {
    return {.cert = dir_ / "tls.crt",
            .key = dir_ / "tls.key",
            .ca = dir_ / "ca.crt",
            .crl = {},
            .trust_domain = {}};
  }
  static TransportPair pair(CertStoreReader& reader) {
    auto client = reader.get().client({.server_name = {}, .alpn = {}, .expected = nullptr});
    auto server = reader.get().server({.alpn = {}, .require_client_cert = true});
    return {std::move(client), std::move(server)};
  }

  TestAuthority authority_;
  TlsTempDir dir_;
};

TEST_F(CertStoreTest, StartsEmptyAndLoads) {
  CertStore store(files());
  EXPECT_EQ(store.current(), nullptr);
  EXPECT_EQ(store.generation(), 0U);
  EXPECT_TRUE(store.certificates().empty());
  EXPECT_TRUE(store.changed_on_disk()) << "nothing was read yet";
  ASSERT_TRUE(store.reload(real_now()));
  EXPECT_EQ(store.generation(), 1U);
  EXPECT_EQ(store.certificates().size(), 2U);
  EXPECT_TRUE(store.status().ok);
  EXPECT_FALSE(store.changed_on_disk());
}

TEST_F(CertStoreTest, RotatesWhileConnectionsGoOn) {
  CertStore store(files());
  ASSERT_TRUE(store.reload(real_now()));
  CertStoreReader reader(store);
  TransportPair before = pair(reader);
  before.pump();
  ASSERT_TRUE(before.established());
  const std::string old_serial = store.certificates()[0].serial;

  write(authority_.issue("spiffe://example.org/web"));
  EXPECT_TRUE(store.changed_on_disk());
  ASSERT_TRUE(store.reload(real_now()));
  EXPECT_FALSE(store.changed_on_disk());
  EXPECT_NE(store.certificates()[0].serial, old_serial);

  ASSERT_TRUE(before.send_to_server("old connections live"));
  EXPECT_EQ(before.server_read, "old connections live");
  TransportPair after = pair(reader);
  after.pump();
  ASSERT_TRUE(after.established());
  EXPECT_NE(after.server->info().peer_hash, before.server->info().peer_hash)
      << "new handshakes use the new certificate";
}

TEST_F(CertStoreTest, KeepsTheOldOneWhenTheNewOneIsBroken) {
  CertStore store(files());
  ASSERT_TRUE(store.reload(real_now()));
  const auto good = store.current();
  const IssuedIdentity next = authority_.issue("spiffe://example.org/web");
  const std::vector<std::pair<const char*, std::string>> broken = {
      {"tls.crt", next.cert_pem.substr(0, 300)},  // half-written
      {"tls.crt", ""},
      {"tls.crt", next.cert_pem},  // the key is still the old one
      {"tls.key", "rubbish"},
      {"ca.crt", ""},
  };
  for (const auto& [name, text] : broken) {
    dir_.write(name, text);
    EXPECT_TRUE(store.changed_on_disk());
    const WallTime at = real_now();
    const auto result = store.reload(at);
    EXPECT_FALSE(result);
    EXPECT_EQ(store.current(), good);
    EXPECT_EQ(store.generation(), 1U);
    const CertStore::Status status = store.status();
    EXPECT_FALSE(status.ok);
    EXPECT_EQ(status.attempted, at);
    EXPECT_LT(status.succeeded, at);
    EXPECT_EQ(status.error, result.error().message);
    EXPECT_THAT(status.error, HasSubstr(dir_.path()));
    EXPECT_FALSE(store.changed_on_disk()) << "the same broken file is not tried again and again";
  }
  write(next);
  dir_.write("ca.crt", authority_.authority().cert_pem());
  EXPECT_TRUE(store.changed_on_disk());
  ASSERT_TRUE(store.reload(real_now()));
  EXPECT_EQ(store.generation(), 2U);
  EXPECT_TRUE(store.status().ok);
  EXPECT_EQ(store.status().error, "");
}

TEST_F(CertStoreTest, NoticesEveryKindOfChange) {
  CertStore store(files());
  ASSERT_TRUE(store.reload(real_now()));
  std::filesystem::remove(dir_ / "tls.key");
  EXPECT_TRUE(store.changed_on_disk());
  EXPECT_FALSE(store.reload(real_now()));
  EXPECT_FALSE(store.changed_on_disk());
  write(authority_.issue("spiffe://example.org/web"));
  EXPECT_TRUE(store.changed_on_disk());
  ASSERT_TRUE(store.reload(real_now()));
  // As Kubernetes does it: the names stay, and a symbolic link below them changes.
  const TlsTempDir volume;
  std::filesystem::create_directory(volume / "one");
  std::filesystem::create_directory(volume / "two");
  for (const char* version : {"one", "two"}) {
    const auto identity = authority_.issue("spiffe://example.org/web");
    volume.write(std::string(version) + "/tls.crt", identity.cert_pem);
    volume.write(std::string(version) + "/tls.key", identity.key_pem);
  }
  std::filesystem::create_directory_symlink("one", volume / "..data");
  CertStore mounted({.cert = volume / "..data/tls.crt",
                     .key = volume / "..data/tls.key",
                     .ca = dir_ / "ca.crt",
                     .crl = {},
                     .trust_domain = {}});
  ASSERT_TRUE(mounted.reload(real_now()));
  const std::string serial = mounted.certificates()[0].serial;
  std::filesystem::create_directory_symlink("two", volume / "..next");
  std::filesystem::rename(volume / "..next", volume / "..data");
  EXPECT_TRUE(mounted.changed_on_disk());
  ASSERT_TRUE(mounted.reload(real_now()));
  EXPECT_NE(mounted.certificates()[0].serial, serial);
}

TEST_F(CertStoreTest, AnIdentityWithoutFilesNeverChanges) {
  CertStore store(authority_.context("spiffe://example.org/web"));
  CertStoreReader reader(store);
  EXPECT_EQ(reader.get().id().text(), "spiffe://example.org/web");
  EXPECT_FALSE(store.changed_on_disk());
  EXPECT_TRUE(store.reload(real_now()));
  EXPECT_EQ(store.generation(), 1U);
}

TEST_F(CertStoreTest, WorkersHandshakeWhileItRotates) {
  CertStore store(files());
  ASSERT_TRUE(store.reload(real_now()));
  std::atomic<bool> stop{false};
  std::atomic<int> failures{0};
  std::atomic<int> handshakes{0};
  std::vector<std::thread> workers;
  for (int i = 0; i < 3; ++i) {
    workers.emplace_back([&store, &stop, &failures, &handshakes] {
      CertStoreReader reader(store);
      while (!stop) {
        TransportPair p = pair(reader);
        p.pump();
        if (!p.established()) ++failures;
        ++handshakes;
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    write(authority_.issue("spiffe://example.org/web"));
    ASSERT_TRUE(store.reload(real_now()));
    const int seen = handshakes;
    while (handshakes < seen + 3) std::this_thread::yield();
  }
  stop = true;
  for (auto& worker : workers) worker.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(store.generation(), 21U);
}

}  // namespace
}  // namespace outrigger::tls
