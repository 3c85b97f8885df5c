#pragma once

// A TLS peer straight on OpenSSL, for what our own side refuses to do: bad certificates, none at
// all, old versions, offered sessions, floods of key updates.

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "support/tls_identities.h"

namespace outrigger::test {

struct RawOptions {
  bool server = false;
  std::string cert_pem;  // empty: none
  std::string key_pem;
  std::string ca_pem;  // empty: the other side is not verified
  int version_min = TLS1_2_VERSION;
  int version_max = TLS1_3_VERSION;
  std::string ciphers;  // of TLS 1.2
  std::string alpn;     // wire form, client
  bool request_client_cert = true;
};

class RawPeer {
 public:
  explicit RawPeer(const RawOptions& options) {
    ctx_.reset(SSL_CTX_new(options.server ? TLS_server_method() : TLS_client_method()));
    SSL_CTX_set_security_level(ctx_.get(), 0);
    SSL_CTX_set_min_proto_version(ctx_.get(), options.version_min);
    SSL_CTX_set_max_proto_version(ctx_.get(), options.version_max);
    if (!options.ciphers.empty()) SSL_CTX_set_cipher_list(ctx_.get(), options.ciphers.c_str());
    if (!options.cert_pem.empty()) use_identity(options);
    if (!options.ca_pem.empty()) trust(options.ca_pem);
    if (options.server && options.request_client_cert) {
      const SSL_verify_cb anybody = [](int, X509_STORE_CTX*) { return 1; };
      SSL_CTX_set_verify(ctx_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                         options.ca_pem.empty() ? anybody : nullptr);
    }
    ssl_.reset(SSL_new(ctx_.get()));
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_.get(), in_, out_);
    if (!options.alpn.empty()) {
      SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(options.alpn.data()),
                          static_cast<unsigned>(options.alpn.size()));
    }
    SSL_set_msg_callback(
        ssl(), [](int sent, int, int type, const void* bytes, std::size_t size, SSL*, void* alert) {
          const auto* b = static_cast<const unsigned char*>(bytes);
          if (sent == 0 && type == SSL3_RT_ALERT && size == 2 && b[0] == SSL3_AL_FATAL) {
            *static_cast<int*>(alert) = b[1];
          }
        });
    SSL_set_msg_callback_arg(ssl(), &alert_);
    options.server ? SSL_set_accept_state(ssl_.get()) : SSL_set_connect_state(ssl_.get());
  }

  SSL* ssl() { return ssl_.get(); }
  bool handshake() {
    const bool done = SSL_do_handshake(ssl()) == 1;
    ERR_clear_error();
    return done;
  }
  bool done() { return SSL_is_init_finished(ssl()) == 1; }

  void give(std::string_view bytes) {
    if (!bytes.empty()) BIO_write(in_, bytes.data(), static_cast<int>(bytes.size()));
  }
  std::string take() {
    std::string bytes(BIO_ctrl_pending(out_), '\0');
    if (!bytes.empty()) BIO_read(out_, bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
  }
  std::string read() {
    std::string all;
    char block[16384];
    int n = 0;
    while ((n = SSL_read(ssl(), block, sizeof block)) > 0) {
      all.append(block, static_cast<std::size_t>(n));
    }
    last_error_ = SSL_get_error(ssl(), n);
    ERR_clear_error();
    return all;
  }
  bool write(std::string_view plain) {
    const int n = SSL_write(ssl(), plain.data(), static_cast<int>(plain.size()));
    ERR_clear_error();
    return n > 0;
  }
  int last_error() const { return last_error_; }
  // The fatal alert that was received, or -1.
  int alert() const { return alert_; }

 private:
  template <auto f>
  struct Free {
    template <typename T>
    void operator()(T* p) const {
      f(p);
    }
  };

  void use_identity(const RawOptions& options) {
    BIO* bio = BIO_new_mem_buf(options.cert_pem.data(), static_cast<int>(options.cert_pem.size()));
    X509* cert = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
    SSL_CTX_use_certificate(ctx_.get(), cert);
    while (X509* next = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr)) {
      SSL_CTX_add0_chain_cert(ctx_.get(), next);
    }
    ERR_clear_error();
    X509_free(cert);
    BIO_free(bio);
    bio = BIO_new_mem_buf(options.key_pem.data(), static_cast<int>(options.key_pem.size()));
    EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
    ASSERT_EQ(SSL_CTX_use_PrivateKey(ctx_.get(), key), 1);
    EVP_PKEY_free(key);
    BIO_free(bio);
  }

  void trust(const std::string& pem) {
    BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    X509* cert = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx_.get()), cert);
    X509_free(cert);
    BIO_free(bio);
    SSL_CTX_set_verify(ctx_.get(), SSL_VERIFY_PEER, nullptr);
  }

  std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>> ctx_;
  std::unique_ptr<SSL, Free<SSL_free>> ssl_;
  BIO* in_ = nullptr;
  BIO* out_ = nullptr;
  int last_error_ = 0;
  int alert_ = -1;
};

// A transport of ours against a raw peer.
class RawSession {
 public:
  RawSession(std::unique_ptr<net::Transport> transport, const RawOptions& options)
      : ours(std::move(transport)), raw(options) {}

  // Until nothing moves; ours first when it is the client.
  void pump() {
    std::string_view nothing;
    if (ours->state() == net::Transport::State::handshaking) ours->handshake(nothing, out);
    for (;;) {
      if (!out.empty()) {
        raw.give(out.view());
        out.clear();
      }
      if (!raw.done()) raw.handshake();
      if (raw.done()) raw_read += raw.read();
      const std::string bytes = raw.take();
      if (bytes.empty() && out.empty()) return;
      std::string_view view = bytes;
      ours_read += drive(*ours, view, out);
    }
  }

  net::BufferPool pool;
  net::Buffer out{pool};
  std::unique_ptr<net::Transport> ours;
  RawPeer raw;
  std::string ours_read;
  std::string raw_read;
};

}  // namespace outrigger::test
