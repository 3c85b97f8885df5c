#pragma once

// One thread's event loop and its seam to the world: time, timers, sockets, pools and deferred
// destruction. EventLoop runs on libevent; ManualLoop (tests, simulation) is driven by hand.
//
// A turn is: wait, read the clock once, run ready descriptors, due timers and posts, then the
// turn's end: flush hooks (until there are none), then destruction of what was retired.

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "base/arena.h"
#include "base/intrusive_list.h"
#include "base/random.h"
#include "base/time.h"
#include "net/buffer.h"
#include "net/timer.h"

namespace outrigger::net {

class PipePool;

// Base of what a callback can reach: destroyed through Loop::retire(), after the current turn.
class Retirable {
 public:
  virtual ~Retirable() = default;

 private:
  friend class RetireList;
  Retirable* next_retired_ = nullptr;
};

// Destroys in the order of retirement, between callbacks; what a destructor retires is handled the
// same way.
class RetireList {
 public:
  ~RetireList() { run(); }
  void add(std::unique_ptr<Retirable> object);
  void run();
  bool empty() const { return first_ == nullptr; }

 private:
  Retirable* first_ = nullptr;
  Retirable* last_ = nullptr;
};

// Something to do once at the end of the turn (a connection's flush). Embedded in its owner;
// leaving scope cancels it.
class TurnHook : public ListLink<TurnHook> {
 public:
  virtual void on_turn_end() = 0;

 protected:
  ~TurnHook() = default;
};

// The same, plus work that is postponed to the next turn so that others go first. The two are
// requested and kept separately: a hook may wait for both.
class YieldingHook : public TurnHook, public ListLink<YieldingHook> {
 public:
  void on_turn_end() override {}
  virtual void on_next_turn() = 0;

  // Cancels both.
  void unlink() {
    ListLink<TurnHook>::unlink();
    ListLink<YieldingHook>::unlink();
  }

 protected:
  ~YieldingHook() = default;
};

// Called when a watched descriptor is ready. `closed`: the peer has closed its sending side, or
// both.
class FdHandler {
 public:
  virtual void on_fd_ready(bool readable, bool writable, bool closed) = 0;

 protected:
  ~FdHandler() = default;
};

// A registration with the loop; dropping it cancels before the destructor returns. The descriptor
// is not closed.
class FdWatch {
 public:
  virtual ~FdWatch() = default;
};

enum class Interest {
  stream,  // read, write and peer-closed, edge-triggered, registered once for the connection's life
  accept,  // read, level-triggered
  read,    // read, level-triggered
  write,   // write, level-triggered
  read_write,
};

class Loop {
 public:
  static constexpr std::size_t scratch_size = 64 * 1024;

  virtual ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // The time this turn began.
  TimePoint now() const { return now_; }
  // Wall time, read on each call; for logs and certificates, not for deadlines.
  virtual WallTime wall_now() const = 0;
  // The wall time as an HTTP date ("Sun, 06 Nov 1994 08:49:37 GMT"), written anew once a second;
  // good until it is asked for again.
  std::string_view http_date();
  TimerWheel& timers() { return timers_; }
  BufferPool& buffers() { return buffers_; }
  BlockPool& blocks() { return blocks_; }
  PipePool& pipes() { return *pipes_; }
  // Returns the pools' free blocks to the heap; the next requests allocate again.
  void trim_pools() {
    buffers_.trim();
    blocks_.trim();
  }
  // A connection has become idle and released what it held; the number of those since the last
  // call.
  void note_rested() { ++rested_; }
  std::size_t take_rested() { return std::exchange(rested_, 0); }
  Random& random() { return random_; }

  // The buffer for socket reads when nothing is left over from earlier ones. Valid until the next
  // read on any connection of this loop.
  std::span<char> scratch() { return {scratch_.get(), scratch_size}; }
  // A second one, for the plain text of what scratch() holds encrypted.
  std::span<char> plain_scratch() { return {plain_scratch_.get(), scratch_size}; }

  // Destroys the object after the current turn. Never fails, never runs destructors at once.
  void retire(std::unique_ptr<Retirable> object) { retired_.add(std::move(object)); }
  // Runs the hook at this turn's end; again in the same turn is the same as once.
  void at_turn_end(TurnHook& hook) {
    if (!hook.linked()) turn_end_.push_back(hook);
  }
  // Runs the hook after ready events have been served, in this turn or, if that is past, in the
  // next, which does not wait: for work that is done in pieces.
  void in_next_turn(YieldingHook& hook) {
    if (!static_cast<ListLink<YieldingHook>&>(hook).linked()) next_turn_.push_back(hook);
  }

  // REQUIRES: fd >= 0, nonblocking. The handler outlives the watch.
  virtual std::unique_ptr<FdWatch> watch(int fd, Interest interest, FdHandler& handler) = 0;
  // Runs the function on the loop's thread in one of its next turns. Any thread. Captures values or
  // weak references only. Dropped unrun when the loop ends first.
  virtual void post(std::function<void()> function) = 0;

 protected:
  Loop(TimePoint now, std::uint64_t seed);
  void set_now(TimePoint now) { now_ = now; }
  // Hooks, then retirements; the end of every turn.
  void finish_turn();
  // Runs what in_next_turn() left, after what has become ready since.
  void run_next_turn_hooks();
  bool has_next_turn_hooks() const { return !next_turn_.empty(); }

 private:
  TimePoint now_;
  std::array<char, 29> date_;
  TimePoint date_until_ = TimePoint::min();
  BufferPool buffers_;
  BlockPool blocks_;
  std::unique_ptr<PipePool> pipes_;
  TimerWheel timers_;
  Random random_;
  std::size_t rested_ = 0;
  std::unique_ptr<char[]> scratch_;
  std::unique_ptr<char[]> plain_scratch_;
  IntrusiveList<TurnHook> turn_end_;
  IntrusiveList<YieldingHook> next_turn_;
  RetireList retired_;
};

}  // namespace outrigger::net
