#include "tls/transport.h"

#include <algorithm>
#include <climits>
#include <cstring>

#include "base/check.h"
#include "tls/certificate.h"

namespace outrigger::tls {
namespace {

using net::TlsFailure;

constexpr std::size_t record_size_max = SSL3_RT_MAX_PLAIN_LENGTH;
// Header, content type and tag of a TLS 1.3 record, or header, nonce and tag of TLS 1.2; with room
// to spare.
constexpr std::size_t record_overhead = 48;

std::string reason_text(unsigned long code) {
  if (ERR_GET_LIB(code) == ERR_LIB_SSL) {
    switch (ERR_GET_REASON(code)) {
      case SSL_R_HTTP_REQUEST:
      case SSL_R_HTTPS_PROXY_REQUEST:
        return "the peer speaks plain HTTP, not TLS";
      case SSL_R_WRONG_VERSION_NUMBER:
        return "the peer does not speak TLS";
      case SSL_R_UNSUPPORTED_PROTOCOL:
      case SSL_R_VERSION_TOO_LOW:
        return "the peer only offers versions older than TLS 1.2";
      case SSL_R_NO_SHARED_CIPHER:
        return "no cipher in common";
      case SSL_R_NO_SUITABLE_KEY_SHARE:
      case SSL_R_NO_SUITABLE_GROUPS:
        return "no key exchange group in common";
      case SSL_R_NO_APPLICATION_PROTOCOL:
        return "no application protocol (ALPN) in common";
      case SSL_R_UNEXPECTED_EOF_WHILE_READING:
        return "the peer closed the connection without close_notify";
      default:
        break;
    }
  }
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "the TLS library gave no reason";
}

// The reasons with which OpenSSL rejects a certificate outside of our own check.
bool is_certificate_reason(unsigned long code) {
  if (ERR_GET_LIB(code) != ERR_LIB_SSL) return false;
  switch (ERR_GET_REASON(code)) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
    case SSL_R_BAD_SIGNATURE:
    case SSL_R_EE_KEY_TOO_SMALL:
    case SSL_R_CA_KEY_TOO_SMALL:
    case SSL_R_CA_MD_TOO_WEAK:
    case SSL_R_WRONG_CERTIFICATE_TYPE:
    case SSL_R_UNKNOWN_CERTIFICATE_TYPE:
      return true;
    default:
      return false;
  }
}

// Empties a list that belongs to a session; the session holds its peer's leaf by another reference.
void drop_certificates(STACK_OF(X509) * chain) {
  while (chain != nullptr && sk_X509_num(chain) > 0) X509_free(sk_X509_pop(chain));
}

}  // namespace

class TlsTransport::Loan {
 public:
  Loan(TlsTransport& transport, std::string_view* in, net::Buffer* out) : transport_(transport) {
    transport.in_ = in;
    transport.out_ = out;
    // What someone else on this thread left in the queue would pass for our error.
    if (ERR_peek_error() != 0) ERR_clear_error();
  }
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;
  ~Loan() {
    transport_.in_ = nullptr;
    transport_.out_ = nullptr;
  }

 private:
  TlsTransport& transport_;
};

BIO_METHOD* TlsTransport::bio_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection buffers");
    check(m != nullptr, "OpenSSL gave no BIO method");
    BIO_meth_set_read(m, &TlsTransport::on_bio_read);
    BIO_meth_set_write(m, &TlsTransport::on_bio_write);
    BIO_meth_set_ctrl(m, &TlsTransport::on_bio_control);
    return m;
  }();
  return method;
}

int TlsTransport::on_bio_read(BIO* bio, char* to, int size) {
  auto& self = *static_cast<TlsTransport*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  // A flood ends in the middle of the input: without a retry flag OpenSSL gives up.
  if (self.flooded_) return -1;
  if (self.in_ == nullptr || self.in_->empty()) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const std::size_t n = std::min(self.in_->size(), static_cast<std::size_t>(size));
  std::memcpy(to, self.in_->data(), n);
  self.in_->remove_prefix(n);
  return static_cast<int>(n);
}

int TlsTransport::on_bio_write(BIO* bio, const char* from, int size) {
  auto& self = *static_cast<TlsTransport*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  check(self.out_ != nullptr, "TLS writes outside of a call");
  self.out_->append({from, static_cast<std::size_t>(size)});
  return size;
}

long TlsTransport::on_bio_control(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

void TlsTransport::install(SSL_CTX* ctx) {
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(ctx, &TlsTransport::on_verify, nullptr);
  SSL_CTX_set_alpn_select_cb(ctx, &TlsTransport::on_alpn, nullptr);
  SSL_CTX_set_msg_callback(ctx, &TlsTransport::on_message);
}

TlsTransport::TlsTransport(std::shared_ptr<const TlsContext> context, SSL_CTX* ctx,
                           const ServerOptions& options)
    : context_(std::move(context)), alpn_(options.alpn), cells_(options.cells) {
  attach(ctx);
  if (!options.require_client_cert) SSL_set_verify(ssl_, SSL_VERIFY_PEER, nullptr);
  SSL_set_accept_state(ssl_);
}

TlsTransport::TlsTransport(std::shared_ptr<const TlsContext> context, SSL_CTX* ctx,
                           const ClientOptions& options)
    : context_(std::move(context)), expected_(options.expected) {
  attach(ctx);
  if (!options.server_name.empty()) {
    SSL_set_tlsext_host_name(ssl_, options.server_name.c_str());
    info_.server_name = options.server_name;
  }
  if (!options.alpn.empty()) {
    const std::string& wire = options.alpn.wire();
    SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(wire.data()),
                        static_cast<unsigned>(wire.size()));
  }
  SSL_set_connect_state(ssl_);
}

void TlsTransport::attach(SSL_CTX* ctx) {
  ssl_ = SSL_new(ctx);
  BIO* bio = BIO_new(bio_method());
  check(ssl_ != nullptr && bio != nullptr, "OpenSSL gave no session");
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_app_data(ssl_, this);
  SSL_set_msg_callback_arg(ssl_, this);
}

TlsTransport::~TlsTransport() {
  SSL_free(ssl_);
}

const net::HandshakeInfo& TlsTransport::info() const {
  return info_;
}

void TlsTransport::handshake(std::string_view& in, net::Buffer& out) {
  if (state() != State::handshaking) return;
  const Loan loan(*this, &in, &out);
  const int result = SSL_do_handshake(ssl_);
  if (result == 1) return finish_handshake();
  if (SSL_get_error(ssl_, result) != SSL_ERROR_WANT_READ) fail_from_error(result);
}

void TlsTransport::finish_handshake() {
  X509* peer = SSL_get0_peer_certificate(ssl_);
  const bool required = (SSL_get_verify_mode(ssl_) & SSL_VERIFY_FAIL_IF_NO_PEER_CERT) != 0;
  // A belt to the callback's braces: no certificate counts that was not checked.
  if ((peer != nullptr || required) && verdict_.id.text().empty()) {
    return fail(TlsFailure::certificate, "the peer's certificate was not verified");
  }
  if (peer != nullptr) {
    info_.peer_identity = verdict_.id.text();
    info_.peer_hash = fingerprint_of(peer);
    constexpr std::size_t subject_max = 1024;
    info_.peer_subject = subject_of(peer);
    if (info_.peer_subject.size() > subject_max) info_.peer_subject.clear();
  }
  const unsigned char* alpn = nullptr;
  unsigned alpn_size = 0;
  SSL_get0_alpn_selected(ssl_, &alpn, &alpn_size);
  info_.alpn.assign(reinterpret_cast<const char*>(alpn), alpn_size);
  info_.version = SSL_get_version(ssl_);
  info_.cipher = SSL_get_cipher_name(ssl_);
  if (const char* name = SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name)) {
    info_.server_name = name;
  }
  // What only the handshake needed goes. The peer's decoded key has done its work, and OpenSSL
  // would keep it (2 KiB, a tenth of an idle session) as long as the certificate: ours, which is
  // there anyway, takes its place. The certificates that came with the leaf are no longer needed
  // either.
  if (peer != nullptr) {
    X509_set_pubkey(peer, X509_get0_pubkey(SSL_get_certificate(ssl_)));
    drop_certificates(SSL_get_peer_cert_chain(ssl_));
    drop_certificates(SSL_get0_verified_chain(ssl_));
  }
  verdict_ = {};
  alpn_ = {};
  expected_.reset();
  machine_.on(TransportEvent::finished);
  if (cells_ != nullptr) cells_->on_ended(TlsFailure::none, info_.version);
}

std::size_t TlsTransport::open(std::string_view& in, std::span<char> plain, net::Buffer& out) {
  check(state() != State::handshaking, "bytes opened before the handshake was done");
  const Loan loan(*this, &in, &out);
  std::size_t filled = 0;
  while (state() == State::established && filled < plain.size()) {
    // A record's last byte came with its last plain byte: asking again would only say "want more".
    if (in.empty() && filled > 0 && SSL_pending(ssl_) == 0) break;
    const std::size_t room = std::min<std::size_t>(plain.size() - filled, INT_MAX);
    const int n = SSL_read(ssl_, plain.data() + filled, static_cast<int>(room));
    if (n > 0) {
      application_data_received_ = true;
      filled += static_cast<std::size_t>(n);
      earn_credits(static_cast<std::size_t>(n));
      continue;
    }
    const int error = SSL_get_error(ssl_, n);
    if (error == SSL_ERROR_WANT_READ) break;
    if (error == SSL_ERROR_ZERO_RETURN) {
      machine_.on(TransportEvent::peer_closed);
    } else {
      fail_from_error(n);
    }
  }
  // Nothing that follows the end means anything.
  if (state() != State::established) in = {};
  return filled;
}

bool TlsTransport::seal(std::string_view plain, net::Buffer& out) {
  if (state() != State::established && state() != State::ended) return false;
  if (close_notify_sent_) return false;
  if (plain.empty()) return true;
  const Loan loan(*this, nullptr, &out);
  out.prepare(plain.size() + (plain.size() / record_size_max + 1) * record_overhead);
  std::size_t written = 0;
  if (SSL_write_ex(ssl_, plain.data(), plain.size(), &written) == 1) return true;
  fail_from_error(0);
  return false;
}

void TlsTransport::close_notify(net::Buffer& out) {
  if (close_notify_sent_ || (state() != State::established && state() != State::ended)) return;
  close_notify_sent_ = true;
  const Loan loan(*this, nullptr, &out);
  SSL_shutdown(ssl_);
}

void TlsTransport::channel_ended() {
  if (state() == State::handshaking) {
    fail(TlsFailure::truncated, "the peer closed the connection during the handshake");
  } else if (state() == State::established) {
    fail(TlsFailure::truncated, "the peer closed the connection without close_notify");
  }
}

void TlsTransport::go_idle() {
  // Part of a record inside OpenSSL (its header read, or its plain text not yet fetched) lives in
  // the buffer that would go away.
  const bool between_records =
      SSL_has_pending(ssl_) == 0 && std::string_view(SSL_rstate_string(ssl_)) == "RH";
  if (state() == State::established && between_records) SSL_free_buffers(ssl_);
}

int TlsTransport::on_verify(X509_STORE_CTX* chain, void*) {
  const auto* ssl = static_cast<const SSL*>(
      X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto& self = *static_cast<TlsTransport*>(SSL_get_app_data(ssl));
  self.verdict_ = check_peer(chain, self.context_->trust_domain(), self.expected_.get());
  return self.verdict_.failure == TlsFailure::none ? 1 : 0;
}

int TlsTransport::on_alpn(SSL* ssl, const unsigned char** chosen, unsigned char* chosen_size,
                          const unsigned char* offered, unsigned offered_size, void*) {
  const auto& self = *static_cast<const TlsTransport*>(SSL_get_app_data(ssl));
  const std::string& ours = self.alpn_.wire();
  if (ours.empty()) return SSL_TLSEXT_ERR_NOACK;
  unsigned char* found = nullptr;
  const int result = SSL_select_next_proto(
      &found, chosen_size, reinterpret_cast<const unsigned char*>(ours.data()),
      static_cast<unsigned>(ours.size()), offered, offered_size);
  if (result != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

void TlsTransport::on_message(int sent, int, int type, const void* bytes, std::size_t size, SSL*,
                              void* argument) {
  // The contexts' callback also runs for sessions on which no transport has been set yet.
  if (argument == nullptr || size == 0) return;
  auto& self = *static_cast<TlsTransport*>(argument);
  const auto* byte = static_cast<const unsigned char*>(bytes);
  if (type == SSL3_RT_HANDSHAKE) {
    if (sent != 0) {
      self.certificate_sent_ = self.certificate_sent_ || byte[0] == SSL3_MT_CERTIFICATE;
    } else if (self.state() != State::handshaking) {
      self.spend_credit();
    }
  } else if (type == SSL3_RT_ALERT && sent == 0 && size == 2 && byte[0] == SSL3_AL_FATAL) {
    self.alert_received_ = byte[1];
  } else if (type == SSL3_RT_HEADER && sent == 0 && byte[0] == SSL3_RT_HANDSHAKE &&
             self.state() != State::handshaking) {
    // TLS 1.2 refuses to renegotiate before it reports the message.
    self.spend_credit();
  }
}

void TlsTransport::spend_credit() {
  if (control_credits_ == 0) {
    flooded_ = true;
  } else {
    --control_credits_;
  }
}

void TlsTransport::earn_credits(std::size_t bytes) {
  bytes_since_credit_ += bytes;
  const std::size_t earned = bytes_since_credit_ / bytes_per_credit;
  bytes_since_credit_ %= bytes_per_credit;
  const std::size_t missing = static_cast<std::size_t>(control_credits_max - control_credits_);
  control_credits_ += static_cast<int>(std::min(earned, missing));
}

// Certificate alerts are about ours. So is "handshake failure" once our certificate is out: TLS 1.2
// has no better word for a missing one. With TLS 1.3 a client is done before the server has judged
// it, so that whatever ends the session before its first application byte counts too.
bool TlsTransport::alert_is_about_us(int alert) const {
  if (application_data_received_) return false;
  if (state() == State::established && SSL_is_server(ssl_) == 0 &&
      SSL_version(ssl_) == TLS1_3_VERSION) {
    return true;
  }
  switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case TLS13_AD_CERTIFICATE_REQUIRED:
      return true;
    case SSL_AD_HANDSHAKE_FAILURE:
      return certificate_sent_ && state() == State::handshaking;
    default:
      return false;
  }
}

void TlsTransport::fail_from_error(int ssl_result) {
  const int kind = SSL_get_error(ssl_, ssl_result);
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  if (flooded_) {
    return fail(TlsFailure::flood, "more than " + std::to_string(control_credits_max) +
                                       " key updates or renegotiations without application data");
  }
  if (verdict_.failure != TlsFailure::none) return fail(verdict_.failure, verdict_.text);
  if (alert_received_ >= 0) {
    const std::string alert = SSL_alert_desc_string_long(alert_received_);
    if (alert_is_about_us(alert_received_)) {
      return fail(TlsFailure::peer_refused, "the peer rejected this node's certificate " +
                                                context_->id().text() + " (alert: " + alert + ")");
    }
    return fail(TlsFailure::protocol, "the peer closed the session (alert: " + alert + ")");
  }
  if (kind == SSL_ERROR_ZERO_RETURN) {
    return fail(TlsFailure::protocol, "the peer closed the session during the handshake");
  }
  if (is_certificate_reason(code)) {
    const bool none = ERR_GET_REASON(code) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
    return fail(TlsFailure::certificate,
                none ? "the peer presented no certificate" : reason_text(code));
  }
  fail(TlsFailure::protocol, reason_text(code));
}

void TlsTransport::fail(TlsFailure failure, std::string text) {
  verdict_ = {.failure = failure, .text = std::move(text), .id = {}};
  machine_.on(TransportEvent::failed);
}

}  // namespace outrigger::tls
