// Bytes of a stranger at a TLS port: the first byte chooses who we are (a server, a permissive
// server, a client) and how the rest is cut. However it is cut the session comes to the same end,
// nothing of it reaches the application without a handshake, and a failure has a text.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "support/tls_identities.h"
#include "tls/permissive.h"

namespace {

using namespace outrigger;
using State = net::Transport::State;

void require(bool ok) {
  if (!ok) std::abort();
}

const tls::TlsContext& context() {
  static const test::TestAuthority authority;
  static const auto made = authority.context("spiffe://example.org/orders");
  return *made;
}

std::unique_ptr<net::Transport> make(int kind) {
  const tls::ServerOptions server{.alpn = {"h2", "http/1.1"}, .require_client_cert = true};
  switch (kind) {
    case 0:
      return context().server(server);
    case 1:
      return std::make_unique<tls::PermissiveTransport>(context().server(server));
    default:
      break;
  }
  return context().client(
      {.server_name = "orders.mesh",
       .alpn = {"h2"},
       .expected = std::make_shared<tls::IdMatcher>(tls::IdMatcher::for_service("orders"))});
}

struct End {
  State state;
  net::TlsFailure failure;
  std::string read;
  bool operator==(const End&) const = default;
};

End run(int kind, std::string_view bytes, std::size_t step) {
  net::BufferPool pool;
  net::Buffer out(pool);
  const auto transport = make(kind);
  std::string_view nothing;
  if (kind == 2) transport->handshake(nothing, out);
  End end{};
  std::string pending;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    pending += bytes.substr(at, step);
    std::string_view in = pending;
    end.read += test::drive(*transport, in, out, 4096);
    pending.erase(0, pending.size() - in.size());
    const State now = transport->state();
    if (now == State::failed || now == State::ended) break;
  }
  end.state = transport->state();
  end.failure = transport->failure();
  require((end.state == State::failed) == (end.failure != net::TlsFailure::none));
  require(end.state != State::failed || !transport->failure_text().empty());
  for (const char c : transport->failure_text()) require(c >= ' ' && c <= '~');
  return end;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const int kind = data[0] % 3;
  const std::size_t step = 1 + static_cast<std::size_t>(data[0] / 3);
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  const End whole = run(kind, bytes, bytes.size());
  require(whole == run(kind, bytes, step));
  const bool clear = kind == 1 && bytes.front() != '\x16';
  require(whole.read == (clear ? bytes : std::string_view()));
  return 0;
}
