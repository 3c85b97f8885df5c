#pragma once

// The loop over libevent, without its locks. Made, run and destroyed on one thread; only post() and
// stop() may be called from others.

#include <atomic>
#include <mutex>
#include <vector>

#include "net/loop.h"

struct event;
struct event_base;

namespace outrigger::net {

class EventLoop final : public Loop, private FdHandler {
 public:
  EventLoop();
  ~EventLoop() override;

  // Runs turns until stop().
  void run();
  // Runs what is left to do at a turn's end, for owners that die after run().
  void finish() { finish_turn(); }
  // Ends run() after the current turn. Any thread.
  void stop();

  WallTime wall_now() const override;
  std::unique_ptr<FdWatch> watch(int fd, Interest interest, FdHandler& handler) override;
  void post(std::function<void()> function) override;

  // Longest turn since the last call, from its first event to its end.
  Duration take_longest_turn();

 private:
  class Watch;
  struct BaseDeleter {
    void operator()(event_base* base) const;
  };
  struct EventDeleter {
    void operator()(event* e) const;
  };

  static TimePoint read_clock();
  void begin_turn() {
    if (in_turn_) return;
    in_turn_ = true;
    set_now(read_clock());
    timers().set_now(now());
  }
  void arm_timer();
  void on_fd_ready(bool readable, bool writable, bool closed) override;

  std::unique_ptr<event_base, BaseDeleter> base_;
  std::unique_ptr<event, EventDeleter> timer_;
  int wake_fd_;
  std::unique_ptr<FdWatch> wake_watch_;
  std::atomic<bool> stopped_{false};
  bool in_turn_ = false;
  TimePoint armed_for_{};
  Duration longest_turn_{};
  std::mutex mutex_;  // guards posted_
  std::vector<std::function<void()>> posted_;
  std::atomic<bool> woken_{false};
};

}  // namespace outrigger::net
