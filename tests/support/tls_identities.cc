#include "support/tls_identities.h"

#include <chrono>
#include <vector>

namespace outrigger::test {

using State = net::Transport::State;

WallTime real_now() {
  return std::chrono::time_point_cast<microseconds>(std::chrono::system_clock::now());
}

tls::Validity valid_now() {
  return {.from = real_now() - hours(1), .until = real_now() + hours(24)};
}

TestAuthority::TestAuthority(const std::string& trust_domain)
    : authority_(tls::Authority::create(trust_domain, valid_now()).value()) {}

tls::IssuedIdentity TestAuthority::issue(const std::string& spiffe_id) const {
  return authority_.issue(spiffe_id, {}, valid_now()).value();
}

tls::IssuedIdentity TestAuthority::sign(const tls::LeafRequest& request) const {
  return authority_.sign(request).value();
}

std::shared_ptr<const tls::TlsContext> TestAuthority::context(const std::string& spiffe_id) const {
  const auto identity = issue(spiffe_id);
  const tls::IdentityPem pem{.cert = identity.cert_pem,
                             .key = identity.key_pem,
                             .ca = authority_.cert_pem(),
                             .crl = {},
                             .trust_domain = {}};
  return tls::TlsContext::from_pem(pem, real_now()).value();
}

std::string drive(net::Transport& transport, std::string_view& in, net::Buffer& out,
                  std::size_t plain_size) {
  if (transport.state() == State::handshaking) transport.handshake(in, out);
  std::string read;
  if (transport.state() != State::established) return read;
  std::vector<char> plain(plain_size);
  for (;;) {
    const std::size_t n = transport.open(in, plain, out);
    read.append(plain.data(), n);
    if (n < plain.size()) return read;
  }
}

TransportPair::TransportPair(std::unique_ptr<net::Transport> client_side,
                             std::unique_ptr<net::Transport> server_side)
    : client(std::move(client_side)), server(std::move(server_side)) {}

bool TransportPair::feed(net::Transport& transport, net::Buffer& in, net::Buffer& out,
                         std::string& read, std::size_t fragment) {
  if (in.empty()) return false;
  // A copy of its own size, so that a sanitizer sees every read beyond the fragment.
  const std::string piece(in.view().substr(0, fragment));
  std::string_view view = piece;
  in.consume(piece.size());
  read += drive(transport, view, out, plain_size);
  return true;
}

void TransportPair::pump(std::size_t fragment) {
  if (!client_began_) {
    client_began_ = true;
    std::string_view nothing;
    client->handshake(nothing, to_server);
  }
  bool moved = true;
  while (moved) {
    moved = feed(*server, to_server, to_client, server_read, fragment);
    moved = feed(*client, to_client, to_server, client_read, fragment) || moved;
  }
}

bool TransportPair::send_to_server(std::string_view plain, std::size_t fragment) {
  const bool sealed = client->seal(plain, to_server);
  pump(fragment);
  return sealed;
}

bool TransportPair::send_to_client(std::string_view plain, std::size_t fragment) {
  const bool sealed = server->seal(plain, to_client);
  pump(fragment);
  return sealed;
}

bool TransportPair::established() const {
  return client->state() == State::established && server->state() == State::established;
}

}  // namespace outrigger::test
