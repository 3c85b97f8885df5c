#pragma once

// The security layer between a channel's bytes and a connection's plain text: TLS without I/O.
// Bytes go in, bytes come out into buffers of the connection, which owns the transport and calls it
// on its own thread. A connection without a transport is plain text.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "net/buffer.h"

namespace outrigger::net {

// What a finished handshake proved. The views are good as long as the transport lives.
struct HandshakeInfo {
  std::string alpn;           // "h2", "http/1.1", "outrigger-tcp" or empty
  std::string peer_identity;  // the peer's SPIFFE ID, empty without a verified certificate
  std::string peer_subject;   // subject of its certificate (RFC 2253), for XFCC
  std::string peer_hash;      // SHA-256 of its certificate, hexadecimal, for XFCC
  std::string server_name;    // SNI
  std::string version;        // "TLSv1.3"
  std::string cipher;
};

// Why a handshake or an established session failed; a metric label and a log field.
enum class TlsFailure {
  none,
  protocol,      // not TLS, or a version or cipher nobody shares
  certificate,   // missing, expired, not yet valid, unknown CA, bad signature, revoked
  identity,      // verified, but not who it should be
  peer_refused,  // the peer sent an alert about our certificate before any application byte
  flood,         // renegotiation or key updates beyond the limit
  truncated,     // ended without close_notify
};

class Transport {
 public:
  virtual ~Transport() = default;

  enum class State {
    handshaking,
    established,
    ended,   // the peer sent close_notify: nothing more will come in; sealing still works
    failed,  // see failure(); what is in `out` (an alert) should still be sent
  };
  virtual State state() const = 0;
  virtual TlsFailure failure() const = 0;
  // For people: what was presented, what was expected.
  virtual std::string failure_text() const = 0;
  // REQUIRES: state() has been established.
  virtual const HandshakeInfo& info() const = 0;

  // Takes part in the handshake: consumes from the front of `in`, appends what must be sent to
  // `out`. Call first with empty `in`: a client then writes its ClientHello.
  virtual void handshake(std::string_view& in, Buffer& out) = 0;
  // Decrypts: consumes from the front of `in` (all of it, unless `plain` fills up first) and
  // returns how many bytes of `plain` were filled. Call again while it fills `plain` completely.
  // May append to `out` (key updates, alerts) and change state().
  virtual std::size_t open(std::string_view& in, std::span<char> plain, Buffer& out) = 0;
  // Encrypts all of `plain` into `out`. False when the session is dead.
  virtual bool seal(std::string_view plain, Buffer& out) = 0;
  // Appends close_notify.
  virtual void close_notify(Buffer& out) = 0;
  // The channel's input has ended (FIN). Without a close_notify before it anybody may have cut the
  // session: state() becomes failed, failure() truncated; or ended where FIN is all there is to
  // say.
  virtual void channel_ended() {}
  // The connection has gone idle: give back what memory can be given back.
  virtual void go_idle() = 0;
};

}  // namespace outrigger::net
