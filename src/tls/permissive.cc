#include "tls/permissive.h"

#include <algorithm>

namespace outrigger::tls {
namespace {

constexpr char handshake_record = 22;

}  // namespace

net::Transport::State PermissiveTransport::state() const {
  switch (kind_) {
    case Kind::unknown:
      return State::handshaking;
    case Kind::clear:
      return State::established;
    case Kind::clear_ended:
      return State::ended;
    case Kind::tls:
      break;
  }
  return tls_->state();
}

void PermissiveTransport::handshake(std::string_view& in, net::Buffer& out) {
  if (kind_ == Kind::unknown) {
    if (in.empty()) return;
    kind_ = in.front() == handshake_record ? Kind::tls : Kind::clear;
  }
  if (kind_ == Kind::tls) tls_->handshake(in, out);
}

std::size_t PermissiveTransport::open(std::string_view& in, std::span<char> plain,
                                      net::Buffer& out) {
  if (!clear()) return tls_->open(in, plain, out);
  const std::size_t n = std::min(in.size(), plain.size());
  std::copy_n(in.data(), n, plain.data());  // nothing to read may be a null view
  in.remove_prefix(n);
  return n;
}

bool PermissiveTransport::seal(std::string_view plain, net::Buffer& out) {
  if (!clear()) return tls_->seal(plain, out);
  out.append(plain);
  return true;
}

void PermissiveTransport::close_notify(net::Buffer& out) {
  if (!clear()) tls_->close_notify(out);
}

// Clear text ends with FIN; there is nothing that could be missing.
void PermissiveTransport::channel_ended() {
  if (kind_ == Kind::tls) tls_->channel_ended();
  if (kind_ == Kind::clear) kind_ = Kind::clear_ended;
}

void PermissiveTransport::go_idle() {
  if (!clear()) tls_->go_idle();
}

}  // namespace outrigger::tls
