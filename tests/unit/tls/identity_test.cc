// Who is let in and who is not: every rule about the peer's certificate, in both directions. Bad
// peers are raw OpenSSL, since our own contexts refuse to load a bad identity.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "tls/certificate.h"
#include "unit/tls/raw_peer.h"

namespace outrigger::tls {
namespace {

using net::TlsFailure;
using test::RawOptions;
using test::RawSession;
using test::real_now;
using test::TestAuthority;
using test::TransportPair;
using testing::HasSubstr;
using State = net::Transport::State;

const TestAuthority& authority() {
  static const TestAuthority a;
  return a;
}
// Another CA with the same trust domain name.
const TestAuthority& impostor() {
  static const TestAuthority a;
  return a;
}
const std::shared_ptr<const TlsContext>& web() {
  static const auto c = authority().context("spiffe://example.org/web");
  return c;
}

LeafRequest good_leaf() {
  return {.common_name = "orders",
          .uris = {"spiffe://example.org/orders"},
          .names = {"orders.mesh"},
          .validity = test::valid_now(),
          .ca = false};
}

LeafRequest with_uris(std::vector<std::string> uris) {
  LeafRequest leaf = good_leaf();
  leaf.uris = std::move(uris);
  return leaf;
}

struct Case {
  const char* name;
  std::function<IssuedIdentity()> identity;  // of the peer
  TlsFailure failure;
  const char* text;
  // Wrong only for a peer that expects "orders": a listener expects no particular service and
  // accepts it.
  bool wrong_service = false;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

IssuedIdentity signed_by_us(const LeafRequest& leaf) {
  return authority().sign(leaf);
}

const std::vector<Case>& cases() {
  using namespace std::string_literals;
  static const std::vector<Case> all{
      {"Good", [] { return signed_by_us(good_leaf()); }, TlsFailure::none, ""},
      {"NoCertificate", [] { return IssuedIdentity{}; }, TlsFailure::certificate, "no certificate"},
      {"Expired",
       [] {
         LeafRequest leaf = good_leaf();
         leaf.validity = {.from = real_now() - hours(48), .until = real_now() - hours(1)};
         return signed_by_us(leaf);
       },
       TlsFailure::certificate, "expired at 20"},
      {"NotYetValid",
       [] {
         LeafRequest leaf = good_leaf();
         leaf.validity.from = real_now() + hours(1);
         return signed_by_us(leaf);
       },
       TlsFailure::certificate, "is not valid before 20"},
      {"OtherCaSameDomain", [] { return impostor().sign(good_leaf()); }, TlsFailure::certificate,
       "was not issued by a trusted CA"},
      {"OtherDomainOfOurCa", [] { return signed_by_us(with_uris({"spiffe://other.org/orders"})); },
       TlsFailure::identity,
       "presented spiffe://other.org/orders, but this node's trust domain is"},
      {"OtherDomainOtherCa",
       [] { return TestAuthority("other.org").sign(with_uris({"spiffe://other.org/orders"})); },
       TlsFailure::identity, "this node's trust domain is example.org"},
      {"SubdomainOfOurs",
       [] { return signed_by_us(with_uris({"spiffe://example.org.evil.net/orders"})); },
       TlsFailure::identity, "this node's trust domain is example.org"},
      {"NoUri", [] { return signed_by_us(with_uris({})); }, TlsFailure::identity,
       "has no SPIFFE ID"},
      {"NoNamesAtAll",
       [] {
         LeafRequest leaf = with_uris({});
         leaf.names.clear();
         leaf.common_name = "spiffe://example.org/orders";
         return signed_by_us(leaf);
       },
       TlsFailure::identity, "has no SPIFFE ID"},
      {"TwoUris",
       [] {
         return signed_by_us(
             with_uris({"spiffe://example.org/orders", "spiffe://example.org/billing"}));
       },
       TlsFailure::identity, "has 2 URIs"},
      {"TwoUrisOneOfThemHttps",
       [] {
         return signed_by_us(with_uris({"spiffe://example.org/orders", "https://example.org"}));
       },
       TlsFailure::identity, "has 2 URIs"},
      {"TheSameUriTwice",
       [] {
         return signed_by_us(
             with_uris({"spiffe://example.org/orders", "spiffe://example.org/orders"}));
       },
       TlsFailure::identity, "has 2 URIs"},
      {"NulInUri",
       [] { return signed_by_us(with_uris({"spiffe://example.org/orders\0.evil.net"s})); },
       TlsFailure::identity, "contains a NUL byte: 'spiffe://example.org/orders\\x00.evil.net'"},
      {"NulAtTheEnd", [] { return signed_by_us(with_uris({"spiffe://example.org/orders\0"s})); },
       TlsFailure::identity, "contains a NUL byte"},
      {"CaAsLeaf",
       [] {
         LeafRequest leaf = good_leaf();
         leaf.ca = true;
         return signed_by_us(leaf);
       },
       TlsFailure::identity, "a CA certificate cannot be an identity"},
      {"TheCaItself",
       [] {
         return IssuedIdentity{.cert_pem = authority().authority().cert_pem(),
                               .key_pem = authority().authority().key_pem(),
                               .until = {}};
       },
       TlsFailure::certificate, "peer's certificate (spiffe://example.org)"},
      {"OtherService", [] { return signed_by_us(with_uris({"spiffe://example.org/billing"})); },
       TlsFailure::identity,
       "presented spiffe://example.org/billing; expected spiffe://example.org/orders or a path "
       "ending in /orders",
       true},
      {"ServiceNameAsTail",
       [] { return signed_by_us(with_uris({"spiffe://example.org/reorders"})); },
       TlsFailure::identity, "expected spiffe://example.org/orders", true},
      {"ServiceNameInTheMiddle",
       [] { return signed_by_us(with_uris({"spiffe://example.org/orders/sub"})); },
       TlsFailure::identity, "expected spiffe://example.org/orders", true},
      {"ServiceAtTheEndOfAPath",
       [] { return signed_by_us(with_uris({"spiffe://example.org/ns/shop/sa/orders"})); },
       TlsFailure::none, ""},
      {"OtherCaseService", [] { return signed_by_us(with_uris({"spiffe://example.org/Orders"})); },
       TlsFailure::identity, "presented spiffe://example.org/Orders", true},
      {"UpperCaseDomain", [] { return signed_by_us(with_uris({"spiffe://Example.org/orders"})); },
       TlsFailure::identity, "lower-case"},
      {"UpperCaseScheme", [] { return signed_by_us(with_uris({"SPIFFE://example.org/orders"})); },
       TlsFailure::identity, "does not begin with spiffe://"},
      {"Query", [] { return signed_by_us(with_uris({"spiffe://example.org/x?/orders"})); },
       TlsFailure::identity, "character in its path"},
      {"Port", [] { return signed_by_us(with_uris({"spiffe://example.org:443/orders"})); },
       TlsFailure::identity, "character in its trust domain"},
      {"Escape", [] { return signed_by_us(with_uris({"spiffe://example.org/%6frders"})); },
       TlsFailure::identity, "character in its path"},
      {"DotSegments", [] { return signed_by_us(with_uris({"spiffe://example.org/a/../orders"})); },
       TlsFailure::identity, "dot segment"},
      {"TrustDomainOnly", [] { return signed_by_us(with_uris({"spiffe://example.org"})); },
       TlsFailure::identity, "names a trust domain, not a workload"},
      {"TooLong",
       [] { return signed_by_us(with_uris({"spiffe://example.org/" + std::string(3000, 'a')})); },
       TlsFailure::identity, "longer than 2048"},
      {"LeafAsIssuer",
       [] {
         // A workload that signs for another one with its own key.
         LeafRequest ca_leaf = good_leaf();
         const IssuedIdentity middle = authority().sign(ca_leaf);
         LeafRequest maker = with_uris({"spiffe://example.org"});
         maker.ca = true;
         const IssuedIdentity sub = authority().sign(maker);
         const auto rogue = Authority::from_pem(sub.cert_pem, sub.key_pem).value();
         IssuedIdentity leaf = rogue.sign(good_leaf()).value();
         leaf.cert_pem += sub.cert_pem;
         return leaf;
       },
       TlsFailure::certificate, "path length"},
  };
  return all;
}

class IdentityTest : public testing::TestWithParam<Case> {
 protected:
  static RawOptions raw(bool server, const IssuedIdentity& identity) {
    RawOptions options;
    options.server = server;
    options.cert_pem = identity.cert_pem;
    options.key_pem = identity.key_pem;
    return options;
  }

  void expect(const Case& c, const net::Transport& ours) {
    if (c.failure == TlsFailure::none) {
      EXPECT_EQ(ours.state(), State::established) << ours.failure_text();
      return;
    }
    EXPECT_EQ(ours.state(), State::failed);
    EXPECT_EQ(ours.failure(), c.failure) << ours.failure_text();
    EXPECT_THAT(ours.failure_text(), HasSubstr(c.text));
  }
};

TEST_P(IdentityTest, AsServer) {
  const Case& c = GetParam();
  if (c.name == std::string_view("NoCertificate")) return;  // a server always has a certificate
  RawOptions options = raw(true, c.identity());
  options.request_client_cert = false;
  const ClientOptions client{
      .server_name = "orders.mesh",
      .alpn = {"h2"},
      .expected = std::make_shared<IdMatcher>(IdMatcher::for_service("orders"))};
  RawSession s(web()->client(client), options);
  s.pump();
  expect(c, *s.ours);
  EXPECT_EQ(s.raw.done(), c.failure == TlsFailure::none) << "a wrong server hears an alert";
}

// TLS 1.3 clients write before the server has verified them, TLS 1.2 clients after.
TEST_P(IdentityTest, AsClient) {
  const Case& c = GetParam();
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    RawOptions options = raw(false, c.identity());
    options.version_min = options.version_max = version;
    net::BufferPool pool;
    net::Buffer out(pool);
    // A listener does not expect a particular service: any verified ID of the domain is accepted.
    const auto server = web()->server({.alpn = {"h2"}, .require_client_cert = true});
    test::RawPeer client(options);
    std::string read;
    bool wrote = false;
    for (int i = 0; i < 6; ++i) {
      client.handshake();
      if (client.done() && !wrote) wrote = client.write("DELETE /everything HTTP/1.1\r\n\r\n");
      const std::string bytes = client.take();
      std::string_view in = bytes;
      read += test::drive(*server, in, out);
      client.give(out.view());
      out.clear();
    }
    if (c.failure == TlsFailure::none || c.wrong_service) {
      EXPECT_EQ(server->state(), State::established) << server->failure_text();
      EXPECT_EQ(read, "DELETE /everything HTTP/1.1\r\n\r\n");
      continue;
    }
    expect(c, *server);
    EXPECT_EQ(read, "") << "no application byte gets through";
    if (version == TLS1_3_VERSION) {
      EXPECT_TRUE(wrote) << "the client did write at once";
    }
    client.read();
    EXPECT_GE(client.alert(), 0) << "the client hears why";
  }
}

INSTANTIATE_TEST_SUITE_P(All, IdentityTest, testing::ValuesIn(cases()),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST(IdentityRules, OptionalClientCertificate) {
  const ServerOptions optional{.alpn = {}, .require_client_cert = false};
  RawSession nobody(web()->server(optional), RawOptions{});
  nobody.pump();
  ASSERT_EQ(nobody.ours->state(), State::established) << nobody.ours->failure_text();
  EXPECT_EQ(nobody.ours->info().peer_identity, "");
  EXPECT_EQ(nobody.ours->info().peer_hash, "");

  // A client that presents a certificate must present a valid one.
  const IssuedIdentity wrong = impostor().sign(good_leaf());
  RawOptions options;
  options.cert_pem = wrong.cert_pem;
  options.key_pem = wrong.key_pem;
  RawSession somebody(web()->server(optional), options);
  somebody.pump();
  EXPECT_EQ(somebody.ours->failure(), TlsFailure::certificate);
}

TransportPair pair_expecting(const std::vector<std::string>& patterns, const std::string& server) {
  const auto matcher = std::make_shared<IdMatcher>(IdMatcher::any_of(patterns).value());
  return {web()->client({.server_name = "s", .alpn = {"h2"}, .expected = matcher}),
          authority().context(server)->server({.alpn = {"h2"}, .require_client_cert = true})};
}

TEST(IdentityRules, ExpectIds) {
  struct ExpectCase {
    std::vector<std::string> patterns;
    const char* server;
    bool good;
  };
  for (const ExpectCase& c : {
           ExpectCase{{"spiffe://example.org/orders"}, "spiffe://example.org/orders", true},
           ExpectCase{{"spiffe://example.org/orders"}, "spiffe://example.org/a/orders", false},
           ExpectCase{{"spiffe://example.org/x", "spiffe://example.org/orders"},
                      "spiffe://example.org/orders",
                      true},
           ExpectCase{{"spiffe://example.org/batch/*"}, "spiffe://example.org/batch/n", true},
           ExpectCase{{"spiffe://example.org/batch/*"}, "spiffe://example.org/batch/a/b", true},
           ExpectCase{{"spiffe://example.org/batch/*"}, "spiffe://example.org/batch", false},
           ExpectCase{{"spiffe://example.org/batch/*"}, "spiffe://example.org/batches", false},
           ExpectCase{{"spiffe://other.org/orders"}, "spiffe://example.org/orders", false},
           ExpectCase{{}, "spiffe://example.org/orders", false},
       }) {
    TransportPair p = pair_expecting(c.patterns, c.server);
    p.pump();
    EXPECT_EQ(p.established(), c.good) << c.server << ": " << p.client->failure_text();
    if (c.good) continue;
    EXPECT_EQ(p.client->failure(), TlsFailure::identity);
    EXPECT_THAT(p.client->failure_text(), HasSubstr("presented " + std::string(c.server)));
    EXPECT_THAT(p.client->failure_text(), HasSubstr("expected "));
    for (const auto& pattern : c.patterns) {
      EXPECT_THAT(p.client->failure_text(), HasSubstr(pattern));
    }
    // The server learns it from the alert.
    EXPECT_EQ(p.server->failure(), TlsFailure::peer_refused);
    EXPECT_THAT(p.server->failure_text(), HasSubstr(c.server));
  }
}

// With TLS 1.3 our client is established before the server refuses it.
TEST(IdentityRules, ARefusedTls13ClientKnowsThatItWasRefused) {
  TestAuthority strangers;
  const auto stranger = strangers.context("spiffe://example.org/web");
  RawOptions options;
  options.server = true;
  const auto identity = strangers.issue("spiffe://example.org/orders");
  options.cert_pem = identity.cert_pem;
  options.key_pem = identity.key_pem;
  options.ca_pem = authority().authority().cert_pem();  // not the stranger's
  RawSession s(stranger->client({.server_name = "s", .alpn = {}, .expected = nullptr}), options);
  std::string_view nothing;
  s.ours->handshake(nothing, s.out);
  s.raw.give(s.out.view());
  s.out.clear();
  s.raw.handshake();
  std::string bytes = s.raw.take();
  std::string_view in = bytes;
  s.ours->handshake(in, s.out);
  ASSERT_EQ(s.ours->state(), State::established);
  ASSERT_TRUE(s.ours->seal("POST /pay", s.out));
  s.raw.give(s.out.view());
  s.out.clear();
  s.raw.handshake();
  bytes = s.raw.take();
  in = bytes;
  std::array<char, 100> plain{};
  EXPECT_EQ(s.ours->open(in, plain, s.out), 0U);
  EXPECT_EQ(s.ours->state(), State::failed);
  EXPECT_EQ(s.ours->failure(), TlsFailure::peer_refused);
  EXPECT_THAT(s.ours->failure_text(),
              HasSubstr("rejected this node's certificate spiffe://example.org/web"));
}

TEST(IdentityRules, AnAlertAfterApplicationDataIsNoRefusal) {
  RawOptions options;
  options.server = true;
  const auto identity = authority().issue("spiffe://example.org/orders");
  options.cert_pem = identity.cert_pem;
  options.key_pem = identity.key_pem;
  RawSession s(web()->client({.server_name = "s", .alpn = {}, .expected = nullptr}), options);
  s.pump();
  ASSERT_TRUE(s.raw.write("answer"));
  s.pump();
  ASSERT_EQ(s.ours_read, "answer");
  // Garbage makes the raw server send bad_record_mac.
  s.raw.give(std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x'));
  s.raw.read();
  const std::string alert = s.raw.take();
  std::string_view in = alert;
  test::drive(*s.ours, in, s.out);
  EXPECT_EQ(s.ours->failure(), TlsFailure::protocol);
}

TEST(IdentityRules, RevokedCertificates) {
  const IssuedIdentity victim = authority().issue("spiffe://example.org/orders");
  const IssuedIdentity other = authority().issue("spiffe://example.org/orders");

  // A revocation list that contains the victim.
  const auto ca = parse_certificates({"ca", authority().authority().cert_pem()}).value();
  const auto key = parse_key({"key", authority().authority().key_pem()}).value();
  const auto leaf = parse_certificates({"leaf", victim.cert_pem}).value();
  const CrlPtr crl(X509_CRL_new());
  X509_CRL_set_version(crl.get(), X509_CRL_VERSION_2);
  X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(ca.front().get()));
  ASN1_TIME* at = ASN1_TIME_new();
  X509_gmtime_adj(at, -60);
  X509_CRL_set1_lastUpdate(crl.get(), at);
  X509_REVOKED* revoked = X509_REVOKED_new();
  X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(leaf.front().get()));
  X509_REVOKED_set_revocationDate(revoked, at);
  X509_CRL_add0_revoked(crl.get(), revoked);
  X509_gmtime_adj(at, 3600);
  X509_CRL_set1_nextUpdate(crl.get(), at);
  ASN1_TIME_free(at);
  X509_CRL_sign(crl.get(), key.get(), EVP_sha256());
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509_CRL(bio.get(), crl.get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);

  const IssuedIdentity own = authority().issue("spiffe://example.org/web");
  const auto context = TlsContext::from_pem({.cert = own.cert_pem,
                                             .key = own.key_pem,
                                             .ca = authority().authority().cert_pem(),
                                             .crl = {data, static_cast<std::size_t>(size)},
                                             .trust_domain = {}},
                                            real_now())
                           .value();
  for (const bool is_victim : {true, false}) {
    RawOptions options;
    options.cert_pem = is_victim ? victim.cert_pem : other.cert_pem;
    options.key_pem = is_victim ? victim.key_pem : other.key_pem;
    RawSession s(context->server({.alpn = {}, .require_client_cert = true}), options);
    s.pump();
    EXPECT_EQ(s.ours->state(), is_victim ? State::failed : State::established);
    if (is_victim) {
      EXPECT_EQ(s.ours->failure(), TlsFailure::certificate);
      EXPECT_THAT(s.ours->failure_text(), HasSubstr("revoked"));
    }
  }
}

}  // namespace
}  // namespace outrigger::tls
