#pragma once

// One listening socket on one loop. Accepts in batches, so that the connections it already has are
// served in between. A batch is one connection as long as few come: to ask for another when nobody
// waits costs more than a turn of the loop, since the kernel makes a socket before it looks. It
// doubles after `patience` turns that left somebody waiting, up to `batch_max`. At the descriptor
// limit it gives up a spare descriptor to refuse politely, and pauses instead of spinning. Owned by
// the worker; destroying it closes the socket.

#include "base/metric_cells.h"
#include "net/loop.h"
#include "net/socket.h"

namespace outrigger::net {

class ListenerHandler {
 public:
  // A new connection; not yet read.
  virtual void on_accept(Fd fd, const SocketAddress& peer) = 0;

 protected:
  ~ListenerHandler() = default;
};

class Listener final : private FdHandler {
 public:
  static constexpr int batch_max = 16;
  static constexpr int patience = 16;
  static constexpr Duration pause_at_limit = milliseconds(100);

  Listener(Loop& loop, Fd fd, ListenerHandler& handler);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Stops and resumes accepting; the backlog keeps what comes in between.
  void pause(bool paused);
  // Accepts all that have connected so far; before the end, since closing the socket would reset
  // them.
  void accept_all();
  // Times that accept() found no free descriptor.
  const Counter& at_limit() const { return at_limit_; }

 private:
  void on_fd_ready(bool readable, bool writable, bool closed) override;
  bool accept_some(int most);
  void out_of_descriptors();
  void resume() { pause(false); }

  Loop& loop_;
  Fd fd_;
  Fd spare_;
  ListenerHandler& handler_;
  Timer resume_timer_;
  std::unique_ptr<FdWatch> watch_;
  int batch_ = 1;
  int full_turns_ = 0;  // in a row, with this batch
  Counter at_limit_;
};

}  // namespace outrigger::net
