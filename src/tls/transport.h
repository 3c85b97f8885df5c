#pragma once

// TLS without I/O: OpenSSL between the bytes of a connection. A custom BIO hands OpenSSL the
// caller's view to read from and the caller's buffer to write to; nothing is queued in between, and
// OpenSSL itself holds no more than the one record it is working on. Owned by its connection; one
// thread. Created by TlsContext, whose generation it keeps alive.
//
//   transport.handshake(in, out)   again and again until state() is established (or failed)
//   transport.open(in, plain, out), transport.seal(plain, out)   in any order
//   transport.close_notify(out)    at most once; sealing ends with it
// Ends with state() ended or failed; then it may be destroyed at any time.
//
// After the handshake a peer may send handshake messages (TLS 1.3 key updates, TLS 1.2 attempts to
// renegotiate) that cost this side more than the peer. Each takes one of a hundred credits; a KiB
// of application data returns one. Running out of credits is a flood, and the session fails.

#include <cstdint>
#include <memory>
#include <string>

#include "base/state_table.h"
#include "net/transport.h"
#include "tls/context.h"
#include "tls/peer_check.h"

namespace outrigger::tls {

enum class TransportEvent { finished, peer_closed, failed };

inline constexpr StateTable<net::Transport::State, TransportEvent, 5> transport_table{{{
    {net::Transport::State::handshaking, TransportEvent::finished,
     net::Transport::State::established},
    {net::Transport::State::handshaking, TransportEvent::failed, net::Transport::State::failed},
    {net::Transport::State::established, TransportEvent::peer_closed, net::Transport::State::ended},
    {net::Transport::State::established, TransportEvent::failed, net::Transport::State::failed},
    {net::Transport::State::ended, TransportEvent::failed, net::Transport::State::failed},
}}};

class TlsTransport final : public net::Transport {
 public:
  static constexpr int control_credits_max = 100;
  static constexpr std::size_t bytes_per_credit = 1024;

  TlsTransport(std::shared_ptr<const TlsContext> context, SSL_CTX* ctx,
               const ServerOptions& options);
  TlsTransport(std::shared_ptr<const TlsContext> context, SSL_CTX* ctx,
               const ClientOptions& options);
  TlsTransport(const TlsTransport&) = delete;
  TlsTransport& operator=(const TlsTransport&) = delete;
  ~TlsTransport() override;

  // Sets the callbacks that lead from OpenSSL back to the transports made from `ctx`.
  static void install(SSL_CTX* ctx);

  State state() const override { return machine_.state(); }
  net::TlsFailure failure() const override { return verdict_.failure; }
  std::string failure_text() const override { return verdict_.text; }
  const net::HandshakeInfo& info() const override;

  void handshake(std::string_view& in, net::Buffer& out) override;
  std::size_t open(std::string_view& in, std::span<char> plain, net::Buffer& out) override;
  bool seal(std::string_view plain, net::Buffer& out) override;
  void close_notify(net::Buffer& out) override;
  void channel_ended() override;
  void go_idle() override;

 private:
  // Lends the caller's bytes to the BIO for the time of one call.
  class Loan;

  static BIO_METHOD* bio_method();
  static int on_bio_read(BIO* bio, char* to, int size);
  static int on_bio_write(BIO* bio, const char* from, int size);
  static long on_bio_control(BIO* bio, int command, long number, void* pointer);
  static int on_verify(X509_STORE_CTX* chain, void*);
  static int on_alpn(SSL* ssl, const unsigned char** chosen, unsigned char* chosen_size,
                     const unsigned char* offered, unsigned offered_size, void*);
  static void on_message(int sent, int version, int type, const void* bytes, std::size_t size,
                         SSL* ssl, void* self);

  void attach(SSL_CTX* ctx);
  void finish_handshake();
  void fail_from_error(int ssl_result);
  void fail(net::TlsFailure failure, std::string text);
  bool alert_is_about_us(int alert) const;
  void spend_credit();
  void earn_credits(std::size_t bytes);

  std::shared_ptr<const TlsContext> context_;
  SSL* ssl_ = nullptr;
  std::string_view* in_ = nullptr;  // on loan
  net::Buffer* out_ = nullptr;      // on loan
  AlpnList alpn_;
  std::shared_ptr<const IdMatcher> expected_;
  TlsCells* cells_ = nullptr;
  net::HandshakeInfo info_;
  PeerVerdict verdict_;
  Machine<transport_table> machine_{State::handshaking};
  int control_credits_ = control_credits_max;
  std::size_t bytes_since_credit_ = 0;
  int alert_received_ = -1;
  bool certificate_sent_ = false;
  bool application_data_received_ = false;
  bool flooded_ = false;
  bool close_notify_sent_ = false;
};

}  // namespace outrigger::tls
