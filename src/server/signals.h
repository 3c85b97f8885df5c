#pragma once

// Signals as events of the main loop, by signalfd(2). block() comes before any thread is started,
// so that all threads leave them alone.

#include <memory>
#include <vector>

#include "net/loop.h"
#include "net/socket.h"

namespace outrigger::server {

class SignalHandler {
 public:
  virtual void on_signal(int signal) = 0;

 protected:
  ~SignalHandler() = default;
};

class Signals final : private net::FdHandler {
 public:
  // Blocks TERM, INT, HUP, USR1, USR2 and QUIT in this thread and those it starts; ignores PIPE.
  static void block();
  Signals(net::Loop& loop, SignalHandler& handler);

 private:
  void on_fd_ready(bool readable, bool writable, bool closed) override;

  SignalHandler& handler_;
  net::Fd fd_;
  std::unique_ptr<net::FdWatch> watch_;
};

}  // namespace outrigger::server
