#pragma once

// A two-way stream of bytes without framing or encryption: a socket, or a pipe in memory for tests.
// One thread.

#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/time.h"

namespace outrigger::net {

struct IoResult {
  enum class Kind {
    done,     // `bytes` were moved, at least one
    blocked,  // nothing now; on_channel_ready() will tell
    ended,    // read only: the peer has finished sending
    failed,   // `error` says why (errno); the channel is dead
  };
  Kind kind;
  std::size_t bytes = 0;
  int error = 0;
};

class ChannelHandler {
 public:
  // Edge-triggered: reported once for each change. `closed`: the peer's sending side is closed, so
  // read on until IoResult::Kind::ended even after a short read.
  virtual void on_channel_ready(bool readable, bool writable, bool closed) = 0;

 protected:
  ~ChannelHandler() = default;
};

class Channel {
 public:
  virtual ~Channel() = default;  // closes

  // Begins to report readiness. Once, before any read or write.
  virtual void open(ChannelHandler& handler) = 0;
  // How a connect that was under way when the channel was made has gone: 0 done, EINPROGRESS, or
  // its error.
  virtual int connect_status() { return 0; }
  // A read shorter than `to` means that nothing more is there now (unless `closed` was reported).
  virtual IoResult read(std::span<char> to) = 0;
  // `fin_follows`: shutdown_write() or close() comes next if all of it is taken, so that the last
  // bytes and FIN may leave in one packet.
  virtual IoResult write(std::span<const iovec> from, bool fin_follows) = 0;
  // The peer has reset the connection; what came before may still be there to be read.
  virtual bool was_reset() const = 0;
  // Bytes that a read would give now.
  virtual std::size_t unread() const = 0;
  // The peer's host is taken for dead, and the channel fails with ETIMEDOUT, when it acknowledges
  // nothing of what was sent to it for so long, or does not answer while idle. 0: never.
  virtual void bound_silence(Duration /*most*/) {}
  // Whether the peer has left what was sent to it unanswered for so long. A peer that answers but
  // takes nothing is not silent.
  virtual bool silent_for(Duration /*time*/) const { return false; }
  // Sends FIN once everything written is out; reading goes on.
  virtual void shutdown_write() = 0;
  // Tells the peer at once that its bytes have arrived, where nothing sent would tell it soon.
  virtual void acknowledge() {}
  // Bytes written that the peer's kernel has not taken yet, as far as it is known.
  virtual std::size_t unacknowledged() const { return 0; }
  // Ends both directions at once; no callback follows. `reset`: with RST, so that the peer can't
  // take what it got for complete.
  virtual void close(bool reset) = 0;

  // "10.0.0.7:15006", "[::1]:80" or "unix"; for logs and x-forwarded-for.
  virtual std::string peer_address() const = 0;
  // The same without the port, nor the brackets of IPv6.
  virtual std::string peer_host() const = 0;
  virtual std::string local_address() const = 0;
  // The descriptor, or -1: for splice(2) and SO_ORIGINAL_DST only.
  virtual int fd() const { return -1; }
};

}  // namespace outrigger::net
