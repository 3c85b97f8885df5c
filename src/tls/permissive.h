#pragma once

// For migration: a server side that takes TLS from who speaks it and clear text from who does not,
// told apart by the first byte (a TLS handshake record begins with 22, RFC 8446 section 5.1). What
// came in clear text has no identity.

#include <memory>
#include <string>

#include "net/transport.h"

namespace outrigger::tls {

class PermissiveTransport final : public net::Transport {
 public:
  explicit PermissiveTransport(std::unique_ptr<net::Transport> tls) : tls_(std::move(tls)) {}

  State state() const override;
  net::TlsFailure failure() const override {
    return clear() ? net::TlsFailure::none : tls_->failure();
  }
  std::string failure_text() const override {
    return clear() ? std::string() : tls_->failure_text();
  }
  const net::HandshakeInfo& info() const override { return clear() ? nothing_ : tls_->info(); }
  void handshake(std::string_view& in, net::Buffer& out) override;
  std::size_t open(std::string_view& in, std::span<char> plain, net::Buffer& out) override;
  bool seal(std::string_view plain, net::Buffer& out) override;
  void close_notify(net::Buffer& out) override;
  void go_idle() override;
  void channel_ended() override;

 private:
  enum class Kind { unknown, tls, clear, clear_ended };
  bool clear() const { return kind_ == Kind::clear || kind_ == Kind::clear_ended; }

  std::unique_ptr<net::Transport> tls_;
  net::HandshakeInfo nothing_;
  Kind kind_ = Kind::unknown;
};

}  // namespace outrigger::tls
