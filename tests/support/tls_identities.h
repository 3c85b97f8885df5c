#pragma once

// Identities for tests: a CA in memory and contexts from it. Certificates are valid around the real
// time, since OpenSSL judges by that.

#include <memory>
#include <string>

#include "net/buffer.h"
#include "net/transport.h"
#include "tls/authority.h"
#include "tls/context.h"

namespace outrigger::test {

WallTime real_now();
// From an hour ago until a day from now.
tls::Validity valid_now();

class TestAuthority {
 public:
  explicit TestAuthority(const std::string& trust_domain = "example.org");

  const tls::Authority& authority() const { return authority_; }
  tls::IssuedIdentity issue(const std::string& spiffe_id) const;
  tls::IssuedIdentity sign(const tls::LeafRequest& request) const;
  // A context that presents `spiffe_id` and trusts this CA.
  std::shared_ptr<const tls::TlsContext> context(const std::string& spiffe_id) const;

 private:
  tls::Authority authority_;
};

// Two transports wired to each other in memory.
class TransportPair {
 public:
  TransportPair(std::unique_ptr<net::Transport> client, std::unique_ptr<net::Transport> server);

  // Passes bytes both ways, `fragment` at a time, until nothing moves any more. What the sides read
  // is appended to client_read and server_read.
  void pump(std::size_t fragment = 65536);
  // seal() and pump(); true when sealed.
  bool send_to_server(std::string_view plain, std::size_t fragment = 65536);
  bool send_to_client(std::string_view plain, std::size_t fragment = 65536);
  bool established() const;

  net::BufferPool pool;
  std::unique_ptr<net::Transport> client;
  std::unique_ptr<net::Transport> server;
  net::Buffer to_server{pool};
  net::Buffer to_client{pool};
  std::string client_read;
  std::string server_read;
  std::size_t plain_size = 65536;  // of the buffer given to open()

 private:
  // Feeds one fragment; false when there was none.
  bool feed(net::Transport& transport, net::Buffer& in, net::Buffer& out, std::string& read,
            std::size_t fragment);
  bool client_began_ = false;
};

// Gives `in` to the transport, handshaking or opening as its state asks, and returns what it read.
// What it leaves unconsumed (nothing, unless it failed) stays in `in`.
std::string drive(net::Transport& transport, std::string_view& in, net::Buffer& out,
                  std::size_t plain_size = 65536);

}  // namespace outrigger::test
