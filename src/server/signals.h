#pragma once

// Signals as events of the main loop: by signalfd(2), and TERM and INT, which ask for the end, by a
// handler: the second of those ends the process at once with exit code 2, whatever the main thread
// is doing meanwhile. One for the process.

#include <signal.h>

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
  // On the main thread. From here on it takes TERM and INT, also those that came before.
  Signals(net::Loop& loop, SignalHandler& handler);
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  // Threads that are started while one of these lives do not take TERM and INT.
  class Blocked {
   public:
    Blocked();
    ~Blocked();
    Blocked(const Blocked&) = delete;
    Blocked& operator=(const Blocked&) = delete;

   private:
    sigset_t before_;
  };
  // The end has been asked for in another way: already the next TERM or INT is the second.
  static void end_at_next();

 private:
  void on_fd_ready(bool readable, bool writable, bool closed) override;

  SignalHandler& handler_;
  net::Fd fd_;
  net::Fd asked_;  // an eventfd: the first TERM or INT
  std::unique_ptr<net::FdWatch> watch_;
  std::unique_ptr<net::FdWatch> asked_watch_;
};

}  // namespace outrigger::server
