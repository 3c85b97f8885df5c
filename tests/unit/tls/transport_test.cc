#include "tls/transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <memory>
#include <optional>
#include <string>

#include "net/connection.h"
#include "support/manual_loop.h"
#include "tls/permissive.h"
#include "unit/tls/raw_peer.h"

namespace outrigger::tls {
namespace {

using net::TlsFailure;
using test::ManualLoop;
using test::MemoryChannel;
using test::RawOptions;
using test::RawSession;
using test::TestAuthority;
using test::TransportPair;
using testing::HasSubstr;
using State = net::Transport::State;

class TransportTest : public testing::Test {
 protected:
  // One CA for all tests, since generating keys is expensive.
  static const TestAuthority& authority() {
    static const TestAuthority a;
    return a;
  }
  static const std::shared_ptr<const TlsContext>& web() {
    static const auto c = authority().context("spiffe://example.org/web");
    return c;
  }
  static const std::shared_ptr<const TlsContext>& orders() {
    static const auto c = authority().context("spiffe://example.org/orders");
    return c;
  }
  static ServerOptions server_options(AlpnList alpn = {"h2", "http/1.1"}) {
    return {.alpn = std::move(alpn), .require_client_cert = true};
  }
  static ClientOptions client_options(AlpnList alpn = {"h2", "http/1.1"}) {
    return {.server_name = "orders.mesh",
            .alpn = std::move(alpn),
            .expected = std::make_shared<IdMatcher>(IdMatcher::for_service("orders"))};
  }
  static TransportPair pair() {
    return {web()->client(client_options()), orders()->server(server_options())};
  }
  static RawOptions raw_client(int version = TLS1_3_VERSION) {
    const auto identity = authority().issue("spiffe://example.org/raw");
    RawOptions options;
    options.cert_pem = identity.cert_pem;
    options.key_pem = identity.key_pem;
    options.version_min = options.version_max = version;
    return options;
  }
  static std::string pattern(std::size_t size) {
    std::string s(size, '\0');
    for (std::size_t i = 0; i < size; ++i) s[i] = static_cast<char>(i * 7 + i / 251);
    return s;
  }
};

TEST_F(TransportTest, HandshakesAtEveryFragmentSize) {
  for (const std::size_t fragment : {1, 2, 3, 4, 5, 6, 7, 13, 64, 100, 517, 1000, 4096, 65536}) {
    TransportPair p = pair();
    p.pump(fragment);
    ASSERT_TRUE(p.established()) << fragment << p.client->failure_text()
                                 << p.server->failure_text();
    EXPECT_TRUE(p.send_to_server("ping", fragment));
    EXPECT_TRUE(p.send_to_client("pong", fragment));
    EXPECT_EQ(p.server_read, "ping") << fragment;
    EXPECT_EQ(p.client_read, "pong") << fragment;
  }
}

TEST_F(TransportTest, TellsWhatTheHandshakeProved) {
  TransportPair p = pair();
  p.pump();
  ASSERT_TRUE(p.established());
  const net::HandshakeInfo& server = p.server->info();
  EXPECT_EQ(server.alpn, "h2");
  EXPECT_EQ(server.peer_identity, "spiffe://example.org/web");
  EXPECT_EQ(server.peer_subject, "CN=web");
  EXPECT_EQ(server.peer_hash.size(), 64U);
  EXPECT_EQ(server.server_name, "orders.mesh");
  EXPECT_EQ(server.version, "TLSv1.3");
  EXPECT_EQ(server.cipher, "TLS_AES_128_GCM_SHA256");
  const net::HandshakeInfo& client = p.client->info();
  EXPECT_EQ(client.alpn, "h2");
  EXPECT_EQ(client.peer_identity, "spiffe://example.org/orders");
  EXPECT_EQ(client.server_name, "orders.mesh");
  EXPECT_NE(client.peer_hash, server.peer_hash);
}

TEST_F(TransportTest, ApplicationBytesBehindTheHandshakeAreLeftForOpen) {
  TransportPair p = pair();
  std::string_view nothing;
  p.client->handshake(nothing, p.to_server);
  std::string_view hello = p.to_server.view();
  p.server->handshake(hello, p.to_client);
  p.to_server.clear();
  std::string_view flight = p.to_client.view();
  p.client->handshake(flight, p.to_server);
  ASSERT_EQ(p.client->state(), State::established);
  ASSERT_TRUE(p.client->seal("GET / HTTP/1.1\r\n", p.to_server));
  // The client's last handshake bytes and its first application bytes arrive together.
  std::string_view both = p.to_server.view();
  p.server->handshake(both, p.to_client);
  EXPECT_EQ(p.server->state(), State::established);
  EXPECT_FALSE(both.empty());
  std::array<char, 100> plain{};
  const std::size_t n = p.server->open(both, plain, p.to_client);
  EXPECT_EQ(std::string_view(plain.data(), n), "GET / HTTP/1.1\r\n");
  EXPECT_TRUE(both.empty());
}

struct Quiet final : net::ConnectionHandler {
  void on_open() override { open = true; }
  std::size_t on_bytes(std::string_view bytes) override { return bytes.size(); }
  void on_end_of_input() override {}
  void on_drained() override {}
  void on_closed(net::CloseReason) override {}
  bool open = false;
};

// There is no response to the client's last flight that could carry its acknowledgement.
TEST_F(TransportTest, TheServerAcknowledgesTheEndOfTheHandshake) {
  ManualLoop loop;
  auto [a, b] = MemoryChannel::make(loop);
  const MemoryChannel& client_channel = *a;
  const MemoryChannel& server_channel = *b;
  const net::ConnectionLimits limits;
  net::Connection client(loop, std::move(a), web()->client(client_options()), limits);
  net::Connection server(loop, std::move(b), orders()->server(server_options()), limits);
  Quiet at_client;
  Quiet at_server;
  server.start(at_server);
  client.start(at_client);
  loop.settle();
  ASSERT_TRUE(at_client.open && at_server.open);
  EXPECT_EQ(server_channel.acknowledged, 1);
  EXPECT_EQ(client_channel.acknowledged, 0) << "its last flight is an acknowledgement";
}

TEST_F(TransportTest, CarriesBigDataBothWaysInFullRecords) {
  const std::string big = pattern(3'000'000);
  TransportPair p = pair();
  p.pump();
  ASSERT_TRUE(p.client->seal(big, p.to_server));
  // 22 bytes per record of 16 KiB, and nothing more.
  const std::size_t records = big.size() / 16384 + 1;
  EXPECT_EQ(p.to_server.size(), big.size() + records * 22);
  ASSERT_TRUE(p.server->seal(big, p.to_client));
  p.pump(10'000);
  EXPECT_TRUE(p.server_read == big);
  EXPECT_TRUE(p.client_read == big);
}

TEST_F(TransportTest, FillsSmallPlainBuffersCompletely) {
  const std::string data = pattern(40'000);
  for (const std::size_t plain_size : {1, 2, 100, 16384, 16385, 40'000}) {
    TransportPair p = pair();
    p.pump();
    p.plain_size = plain_size;
    ASSERT_TRUE(p.send_to_server(data));
    EXPECT_TRUE(p.server_read == data) << plain_size;
  }
}

TEST_F(TransportTest, AgreesOnAlpnByTheServersPreference) {
  TransportPair p(web()->client(client_options({"http/1.1", "h2"})),
                  orders()->server(server_options({"h2", "http/1.1"})));
  p.pump();
  ASSERT_TRUE(p.established());
  EXPECT_EQ(p.server->info().alpn, "h2");
  EXPECT_EQ(p.client->info().alpn, "h2");
}

TEST_F(TransportTest, RefusesAlpnWithoutOverlap) {
  TransportPair p(web()->client(client_options({"outrigger-tcp"})),
                  orders()->server(server_options({"h2"})));
  p.pump();
  EXPECT_EQ(p.server->state(), State::failed);
  EXPECT_EQ(p.server->failure(), TlsFailure::protocol);
  EXPECT_THAT(p.server->failure_text(), HasSubstr("ALPN"));
  EXPECT_EQ(p.client->state(), State::failed);
  EXPECT_EQ(p.client->failure(), TlsFailure::protocol);
  EXPECT_THAT(p.client->failure_text(), HasSubstr("no application protocol"));
}

TEST_F(TransportTest, LetsClientsWithoutAlpnIn) {
  TransportPair p(web()->client(client_options({})), orders()->server(server_options()));
  p.pump();
  ASSERT_TRUE(p.established());
  EXPECT_EQ(p.server->info().alpn, "");
}

TEST_F(TransportTest, IgnoresAlpnWhereTheListenerNamesNone) {
  TransportPair p(web()->client(client_options({"h2"})), orders()->server(server_options({})));
  p.pump();
  ASSERT_TRUE(p.established());
  EXPECT_EQ(p.client->info().alpn, "");
}

TEST_F(TransportTest, SpeaksTls12) {
  RawSession s(orders()->server(server_options()), raw_client(TLS1_2_VERSION));
  s.pump();
  ASSERT_EQ(s.ours->state(), State::established) << s.ours->failure_text();
  EXPECT_EQ(s.ours->info().version, "TLSv1.2");
  EXPECT_EQ(s.ours->info().cipher, "ECDHE-ECDSA-AES128-GCM-SHA256");
  EXPECT_EQ(s.ours->info().peer_identity, "spiffe://example.org/raw");
  ASSERT_TRUE(s.raw.write("hello"));
  ASSERT_TRUE(s.ours->seal(pattern(50'000), s.out));
  s.pump();
  EXPECT_EQ(s.ours_read, "hello");
  EXPECT_TRUE(s.raw_read == pattern(50'000));
}

TEST_F(TransportTest, RefusesTls11AndOlder) {
  for (const int version : {TLS1_VERSION, TLS1_1_VERSION}) {
    RawOptions options = raw_client(version);
    options.ciphers = "ALL:@SECLEVEL=0";
    RawSession s(orders()->server(server_options()), options);
    s.pump();
    EXPECT_EQ(s.ours->state(), State::failed);
    EXPECT_EQ(s.ours->failure(), TlsFailure::protocol);
    EXPECT_THAT(s.ours->failure_text(), HasSubstr("older than TLS 1.2"));
    EXPECT_FALSE(s.raw.done());
  }
}

TEST_F(TransportTest, RefusesWeakCiphersOfTls12) {
  for (const char* ciphers : {"ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "NULL"}) {
    RawOptions options = raw_client(TLS1_2_VERSION);
    options.ciphers = ciphers;
    RawSession s(orders()->server(server_options()), options);
    s.pump();
    EXPECT_EQ(s.ours->failure(), TlsFailure::protocol) << ciphers;
    EXPECT_FALSE(s.raw.done());
  }
}

TEST_F(TransportTest, NamesWhatIsNotTls) {
  struct Case {
    std::string bytes;
    const char* text;
  };
  for (const Case& c :
       {Case{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "plain HTTP"},
        Case{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""}, Case{std::string(100, '\0'), "not speak TLS"},
        Case{std::string(100, '\xff'), ""}}) {
    net::BufferPool pool;
    net::Buffer out(pool);
    const auto server = orders()->server(server_options());
    std::string_view in = c.bytes;
    server->handshake(in, out);
    EXPECT_EQ(server->state(), State::failed) << c.bytes;
    EXPECT_EQ(server->failure(), TlsFailure::protocol);
    EXPECT_THAT(server->failure_text(), HasSubstr(c.text));
    // After a failure, nothing is accepted and nothing is sealed.
    EXPECT_FALSE(server->seal("x", out));
    server->handshake(in, out);
    server->close_notify(out);
    server->go_idle();
    EXPECT_EQ(server->state(), State::failed);
  }
}

TEST_F(TransportTest, FailsOnEveryFlippedByte) {
  TransportPair p = pair();
  p.pump();
  ASSERT_TRUE(p.client->seal("some words", p.to_server));
  const std::string record(p.to_server.view());
  for (std::size_t i = 5; i < record.size(); ++i) {
    TransportPair q = pair();
    q.pump();
    ASSERT_TRUE(q.client->seal("some words", q.to_server));
    std::string bytes(q.to_server.view());
    bytes[i] = static_cast<char>(bytes[i] ^ 1);
    std::string_view in = bytes;
    EXPECT_EQ(test::drive(*q.server, in, q.to_client), "");
    EXPECT_EQ(q.server->state(), State::failed);
    EXPECT_EQ(q.server->failure(), TlsFailure::protocol);
    EXPECT_FALSE(q.to_client.empty()) << "the alert";
    EXPECT_FALSE(q.server->seal("x", q.to_client));
    q.to_server.clear();
    q.pump();
    EXPECT_EQ(q.client->state(), State::failed);
  }
}

TEST_F(TransportTest, EndsWithCloseNotifyAndStillSends) {
  TransportPair p = pair();
  p.pump();
  ASSERT_TRUE(p.client->seal("last words", p.to_server));
  p.client->close_notify(p.to_server);
  p.client->close_notify(p.to_server);  // once is enough
  EXPECT_FALSE(p.client->seal("too late", p.to_server));
  p.to_server.append("bytes after the end mean nothing");
  p.pump();
  EXPECT_EQ(p.server_read, "last words");
  EXPECT_EQ(p.server->state(), State::ended);
  EXPECT_EQ(p.client->state(), State::established);
  std::array<char, 10> plain{};
  std::string_view more = "still more";
  EXPECT_EQ(p.server->open(more, plain, p.to_client), 0U);
  EXPECT_TRUE(more.empty());
  // The other direction is open until its own end.
  ASSERT_TRUE(p.send_to_client("answer"));
  EXPECT_EQ(p.client_read, "answer");
  p.server->close_notify(p.to_client);
  p.pump();
  EXPECT_EQ(p.client->state(), State::ended);
  p.client->channel_ended();
  EXPECT_EQ(p.client->state(), State::ended) << "a clean end is not truncated";
}

TEST_F(TransportTest, TellsTruncationFromAnEnd) {
  TransportPair p = pair();
  p.pump();
  p.server->channel_ended();
  EXPECT_EQ(p.server->state(), State::failed);
  EXPECT_EQ(p.server->failure(), TlsFailure::truncated);
  EXPECT_THAT(p.server->failure_text(), HasSubstr("close_notify"));

  TransportPair q = pair();
  std::string_view nothing;
  q.client->handshake(nothing, q.to_server);
  q.client->channel_ended();
  EXPECT_EQ(q.client->failure(), TlsFailure::truncated);
  EXPECT_THAT(q.client->failure_text(), HasSubstr("during the handshake"));
}

TEST_F(TransportTest, CloseNotifyInTheHandshakeFails) {
  RawOptions options;
  options.server = true;
  const auto identity = authority().issue("spiffe://example.org/orders");
  options.cert_pem = identity.cert_pem;
  options.key_pem = identity.key_pem;
  net::BufferPool pool;
  net::Buffer out(pool);
  const auto client = web()->client(client_options());
  std::string_view nothing;
  client->handshake(nothing, out);
  std::string_view close_alert("\x15\x03\x03\x00\x02\x01\x00", 7);
  client->handshake(close_alert, out);
  EXPECT_EQ(client->state(), State::failed);
  EXPECT_EQ(client->failure(), TlsFailure::protocol);
}

TEST_F(TransportTest, IdleSessionsGiveTheirBuffersBack) {
  constexpr int count = 20;
  std::vector<std::unique_ptr<TransportPair>> pairs;
  for (int i = 0; i < count; ++i) {
    pairs.push_back(std::make_unique<TransportPair>(web()->client(client_options()),
                                                    orders()->server(server_options())));
    pairs.back()->pump();
    ASSERT_TRUE(pairs.back()->send_to_server(pattern(20'000)));
    ASSERT_TRUE(pairs.back()->send_to_client(pattern(20'000)));
  }
#ifndef OUTRIGGER_SANITIZED
  const std::size_t busy = mallinfo2().uordblks;
#endif
  for (auto& p : pairs) {
    p->client->go_idle();
    p->server->go_idle();
  }
#ifndef OUTRIGGER_SANITIZED
  // A read and a write buffer of slightly more than 16 KiB, on both sides.
  const std::size_t idle = mallinfo2().uordblks;
  EXPECT_GT(busy - idle, std::size_t{count} * 4 * 16384);
#endif
  for (auto& p : pairs) {
    ASSERT_TRUE(p->send_to_server("again"));
    ASSERT_TRUE(p->send_to_client("again"));
    EXPECT_TRUE(p->server_read.ends_with("again"));
    EXPECT_TRUE(p->client_read.ends_with("again"));
  }
}

TEST_F(TransportTest, GoingIdleInsideARecordLosesNothing) {
  const std::string data = pattern(300);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    RawSession s(orders()->server(server_options()), raw_client(version));
    s.pump();
    ASSERT_EQ(s.ours->state(), State::established);
    ASSERT_TRUE(s.raw.write(data));
    const std::string record = s.raw.take();
    for (std::size_t cut = 0; cut <= record.size(); ++cut) {
      // Each round opens one record, cut once, with a session that goes idle at the cut.
      std::string got;
      const std::string bytes = cut == 0 ? record : (s.raw.write(data), s.raw.take());
      for (const auto& half : {bytes.substr(0, cut), bytes.substr(cut)}) {
        std::string_view in = half;
        got += test::drive(*s.ours, in, s.out, 7);
        s.ours->go_idle();
      }
      ASSERT_EQ(got, data) << cut;
    }
  }
}

TEST_F(TransportTest, GoingIdleWithUnreadPlainTextLosesNothing) {
  TransportPair p = pair();
  p.pump();
  ASSERT_TRUE(p.client->seal("0123456789", p.to_server));
  std::string_view in = p.to_server.view();
  std::string got;
  std::array<char, 3> plain{};
  std::size_t n = 0;
  do {
    n = p.server->open(in, plain, p.to_client);
    got.append(plain.data(), n);
    p.server->go_idle();
  } while (n == plain.size());
  EXPECT_EQ(got, "0123456789");
}

TEST_F(TransportTest, AnswersKeyUpdates) {
  RawSession s(orders()->server(server_options()), raw_client());
  s.pump();
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(SSL_key_update(s.raw.ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
    ASSERT_TRUE(s.raw.write("x"));
    ASSERT_TRUE(s.ours->seal("y", s.out));
    s.pump();
  }
  EXPECT_EQ(s.ours_read, "xxxxxxxxxx");
  EXPECT_EQ(s.raw_read, "yyyyyyyyyy");
  EXPECT_EQ(s.ours->state(), State::established);
}

TEST_F(TransportTest, ClosesOnAFloodOfKeyUpdates) {
  RawSession s(orders()->server(server_options()), raw_client());
  s.pump();
  std::string flood;
  for (int i = 0; i < 5000; ++i) {
    ASSERT_EQ(SSL_key_update(s.raw.ssl(), SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    ASSERT_TRUE(s.raw.handshake());
  }
  flood = s.raw.take();
  std::string_view in = flood;
  test::drive(*s.ours, in, s.out);
  EXPECT_EQ(s.ours->state(), State::failed);
  EXPECT_EQ(s.ours->failure(), TlsFailure::flood);
  EXPECT_FALSE(s.ours->seal("x", s.out));
}

TEST_F(TransportTest, AHundredKeyUpdatesAreNoFlood) {
  RawSession s(orders()->server(server_options()), raw_client());
  s.pump();
  const auto update = [&s](int times) {
    for (int i = 0; i < times; ++i) {
      ASSERT_EQ(SSL_key_update(s.raw.ssl(), SSL_KEY_UPDATE_NOT_REQUESTED), 1);
      ASSERT_TRUE(s.raw.handshake());
    }
    s.pump();
  };
  update(TlsTransport::control_credits_max);
  EXPECT_EQ(s.ours->state(), State::established);
  // Application data earns credits: 10 KiB pay for ten more.
  ASSERT_TRUE(s.raw.write(pattern(10 * TlsTransport::bytes_per_credit)));
  update(10);
  EXPECT_EQ(s.ours->state(), State::established);
  update(1);
  EXPECT_EQ(s.ours->failure(), TlsFailure::flood);
}

TEST_F(TransportTest, TinyDataDoesNotExcuseKeyUpdates) {
  RawSession s(orders()->server(server_options()), raw_client());
  s.pump();
  int rounds = 0;
  for (; rounds < 1000 && s.ours->state() == State::established; ++rounds) {
    ASSERT_EQ(SSL_key_update(s.raw.ssl(), SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    ASSERT_TRUE(s.raw.write("x"));
    s.pump();
  }
  EXPECT_EQ(s.ours->failure(), TlsFailure::flood);
  EXPECT_LE(rounds, 110);
}

TEST_F(TransportTest, RefusesToRenegotiate) {
  RawSession s(orders()->server(server_options()), raw_client(TLS1_2_VERSION));
  s.pump();
  ASSERT_EQ(s.ours->state(), State::established);
  SSL_renegotiate(s.raw.ssl());
  s.raw.handshake();
  s.pump();
  EXPECT_FALSE(s.raw.done()) << "no second handshake";
  // The client gave up after our "no renegotiation"; that has nothing to do with certificates.
  EXPECT_NE(s.ours->failure(), TlsFailure::peer_refused);
}

TEST_F(TransportTest, ClosesOnAFloodOfRenegotiations) {
  const auto identity = authority().issue("spiffe://example.org/orders");
  RawOptions options;
  options.server = true;
  options.cert_pem = identity.cert_pem;
  options.key_pem = identity.key_pem;
  options.version_max = TLS1_2_VERSION;
  RawSession s(web()->client(client_options()), options);
  s.pump();
  ASSERT_EQ(s.ours->state(), State::established) << s.ours->failure_text();
  const auto ask = [&s](int times) {
    for (int i = 0; i < times; ++i) {
      SSL_renegotiate(s.raw.ssl());  // a HelloRequest
      s.raw.handshake();
      const std::string request = s.raw.take();
      ASSERT_FALSE(request.empty());
      std::string_view in = request;
      test::drive(*s.ours, in, s.out);
      if (s.ours->state() == State::established) {
        ASSERT_FALSE(s.out.empty());
        EXPECT_EQ(s.out.view()[0], SSL3_RT_ALERT) << "no ClientHello";
      }
      s.out.clear();
    }
  };
  ask(10);
  EXPECT_EQ(s.ours->state(), State::established) << "asking is allowed, and refused";
  EXPECT_EQ(s.ours->info().version, "TLSv1.2");
  ask(1000);
  EXPECT_EQ(s.ours->state(), State::failed);
  EXPECT_EQ(s.ours->failure(), TlsFailure::flood);
}

TEST_F(TransportTest, IgnoresWhatOthersLeaveInTheErrorQueue) {
  TransportPair p = pair();
  p.pump();
  ASSERT_TRUE(p.client->seal("some words", p.to_server));
  const std::string bytes(p.to_server.view());
  std::string_view half = std::string_view(bytes).substr(0, 9);
  std::string_view rest = std::string_view(bytes).substr(9);
  ERR_raise(ERR_LIB_USER, 1);
  EXPECT_EQ(test::drive(*p.server, half, p.to_client), "");
  ERR_raise(ERR_LIB_USER, 1);
  EXPECT_EQ(test::drive(*p.server, rest, p.to_client), "some words");
  EXPECT_EQ(p.server->state(), State::established);
  ERR_clear_error();
}

// A session must be useless to whoever kept it.
TEST_F(TransportTest, NeverResumesTls12) {
  RawSession first(orders()->server(server_options()), raw_client(TLS1_2_VERSION));
  first.pump();
  ASSERT_EQ(first.ours->state(), State::established);
  SSL_SESSION* session = SSL_get1_session(first.raw.ssl());
  EXPECT_EQ(SSL_SESSION_has_ticket(session), 0);
  unsigned id_size = 99;
  SSL_SESSION_get_id(session, &id_size);
  EXPECT_EQ(id_size, 0U) << "the server gives no session a name";

  // Offer it anyway, with a client-chosen session ID and without a certificate.
  SSL_SESSION* copy = SSL_SESSION_dup(session);
  const std::array<unsigned char, 32> id{1, 2, 3};
  SSL_SESSION_set1_id(copy, id.data(), id.size());
  RawOptions nobody = raw_client(TLS1_2_VERSION);
  nobody.cert_pem.clear();
  RawSession second(orders()->server(server_options()), nobody);
  SSL_set_session(second.raw.ssl(), copy);
  second.pump();
  EXPECT_EQ(SSL_session_reused(second.raw.ssl()), 0);
  EXPECT_EQ(second.ours->failure(), TlsFailure::certificate);

  RawSession third(orders()->server(server_options()), raw_client(TLS1_2_VERSION));
  SSL_set_session(third.raw.ssl(), copy);
  third.pump();
  EXPECT_EQ(third.ours->state(), State::established) << third.ours->failure_text();
  EXPECT_EQ(SSL_session_reused(third.raw.ssl()), 0);
  SSL_SESSION_free(copy);
  SSL_SESSION_free(session);
}

TEST_F(TransportTest, NeverResumesTls13) {
  static SSL_SESSION* offered = nullptr;
  RawSession first(orders()->server(server_options()), raw_client());
  first.pump();
  ASSERT_EQ(first.ours->state(), State::established);
  ASSERT_TRUE(first.ours->seal("so that tickets would have come by now", first.out));
  first.pump();
  offered = SSL_get1_session(first.raw.ssl());
  EXPECT_EQ(SSL_SESSION_is_resumable(offered), 0);
  EXPECT_EQ(SSL_SESSION_has_ticket(offered), 0);

  // Offer it as a pre-shared key anyway.
  for (const bool with_certificate : {false, true}) {
    RawOptions options = raw_client();
    if (!with_certificate) options.cert_pem.clear();
    RawSession second(orders()->server(server_options()), options);
    SSL_set_psk_use_session_callback(
        second.raw.ssl(), [](SSL*, const EVP_MD*, const unsigned char** id, std::size_t* size,
                             SSL_SESSION** session) {
          static const unsigned char name[] = "stolen ticket";
          *id = name;
          *size = sizeof name - 1;
          SSL_SESSION_up_ref(offered);
          *session = offered;
          return 1;
        });
    second.pump();
    EXPECT_EQ(SSL_session_reused(second.raw.ssl()), 0);
    if (with_certificate) {
      EXPECT_EQ(second.ours->state(), State::established) << second.ours->failure_text();
    } else {
      EXPECT_EQ(second.ours->failure(), TlsFailure::certificate);
      EXPECT_EQ(second.ours_read, "");
    }
  }
  SSL_SESSION_free(offered);
}

TEST_F(TransportTest, TakesNoLongCertificateList) {
  RawOptions options = raw_client();
  const std::string leaf = options.cert_pem;
  while (options.cert_pem.size() < 80'000) options.cert_pem += authority().authority().cert_pem();
  RawSession s(orders()->server(server_options()), options);
  s.pump();
  EXPECT_EQ(s.ours->state(), State::failed);
  EXPECT_EQ(s.ours->failure(), TlsFailure::protocol);
  EXPECT_EQ(s.ours_read, "");
}

TEST_F(TransportTest, KeepsItsGenerationAlive) {
  auto context = authority().context("spiffe://example.org/orders");
  auto server = context->server(server_options());
  context.reset();
  TransportPair p(web()->client(client_options()), std::move(server));
  p.pump();
  ASSERT_TRUE(p.established());
  EXPECT_TRUE(p.send_to_server("still here"));
  EXPECT_EQ(p.server_read, "still here");
}

// --- Clear text on a port that takes both
// ---------------------------------------------------------

struct Heard final : net::ConnectionHandler {
  void on_open() override {}
  std::size_t on_bytes(std::string_view bytes) override {
    got += bytes;
    return bytes.size();
  }
  void on_end_of_input() override { ended = true; }
  void on_drained() override {}
  void on_closed(net::CloseReason reason) override { closed = reason; }
  std::string got;
  bool ended = false;
  std::optional<net::CloseReason> closed;
};

// FIN is the only way clear text can end; only TLS without its close_notify was truncated.
TEST(PermissiveClearText, its_end_is_an_end_and_no_reset) {
  ManualLoop loop;
  const net::ConnectionLimits limits;
  auto [a, b] = MemoryChannel::make(loop);
  Heard client;
  Heard server;
  net::Connection left(loop, std::move(a), nullptr, limits);
  net::Connection right(loop, std::move(b), std::make_unique<PermissiveTransport>(nullptr), limits);
  left.start(client);
  right.start(server);
  left.output().append("hello");
  left.end_output();
  loop.settle();
  EXPECT_EQ(server.got, "hello");
  EXPECT_TRUE(server.ended);
  EXPECT_FALSE(server.closed);
  right.output().append("and goodbye");
  right.finish();
  loop.settle();
  EXPECT_EQ(client.got, "and goodbye");
  EXPECT_TRUE(client.ended);
}

}  // namespace
}  // namespace outrigger::tls
