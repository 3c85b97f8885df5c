#pragma once

// A loop driven by hand: time moves when the test says so, nothing blocks. With it, pipes in memory
// that join two channels and can be made slow, fragmented, broken.

#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/channel.h"
#include "net/loop.h"

namespace outrigger::test {

class ManualLoop final : public net::Loop {
 public:
  explicit ManualLoop(std::uint64_t seed = 1);
  ~ManualLoop() override;

  // One turn: posts, queued readiness, timers, hooks, retirements.
  void turn();
  // Turns until nothing is left to do at the current time. Fails the test, and goes on with what is
  // left, when there is no end to it.
  void settle();
  static constexpr int settle_turns_max = 200'000;
  // Moves time, in steps no longer than a timer tick, running what becomes due.
  void advance(Duration by);
  // Moves time on until no timer is left, for as long as it takes, and says how many have fired.
  int run_out_timers();

  WallTime wall_now() const override {
    return WallTime(microseconds(now().time_since_epoch() / microseconds(1)));
  }
  // Descriptors watched for reading or accepting are asked in each turn; others never report.
  std::unique_ptr<net::FdWatch> watch(int, net::Interest, net::FdHandler&) override;
  void post(std::function<void()> function) override { posted_.push_back(std::move(function)); }

  // Readiness to be told in the next turn, once however often it is asked for; how memory channels
  // notify. Embedded in its owner; leaving scope cancels it.
  class Notice : public ListLink<Notice> {
   public:
    virtual void tell() = 0;

   protected:
    ~Notice() = default;
  };
  void ready(Notice& notice) {
    if (!notice.linked()) ready_.push_back(notice);
  }

 private:
  class ReadWatch;
  void look_at_descriptors();

  int timers_fired_ = 0;
  IntrusiveList<ReadWatch> read_watches_;
  std::vector<std::function<void()>> posted_;
  std::vector<std::function<void()>> running_;  // of posted_, in this turn
  IntrusiveList<Notice> ready_;
};

// One end of a pipe in memory.
class MemoryChannel final : public net::Channel {
 public:
  struct Pipe;
  struct Options {
    std::size_t capacity = 64 * 1024;  // what the "kernel" takes before a write blocks
    std::size_t read_max = 64 * 1024;  // no read returns more
  };
  using Pair = std::pair<std::unique_ptr<MemoryChannel>, std::unique_ptr<MemoryChannel>>;
  static Pair make(ManualLoop& loop, Options options);
  static Pair make(ManualLoop& loop) { return make(loop, Options{}); }
  ~MemoryChannel() override;

  void open(net::ChannelHandler& handler) override;
  int connect_status() override { return connect_error; }
  net::IoResult read(std::span<char> to) override;
  net::IoResult write(std::span<const iovec> from, bool fin_follows) override;
  bool was_reset() const override;
  std::size_t unread() const override;
  void bound_silence(Duration most) override { silence_max = most; }
  bool silent_for(Duration) const override { return silent; }
  void shutdown_write() override;
  void acknowledge() override { ++acknowledged; }
  void close(bool reset) override;
  std::string peer_address() const override { return "192.0.2.1:1000"; }
  std::string peer_host() const override { return "192.0.2.1"; }
  std::string local_address() const override { return "192.0.2.2:2000"; }

  int connect_error = 0;
  int acknowledged = 0;
  Duration silence_max{};
  bool silent = false;
  int last_writes = 0;  // with FIN behind them
  int reads = 0;
  int writes = 0;

 private:
  MemoryChannel(ManualLoop& loop, std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out,
                Options options);
  void notify_peer(Pipe& pipe, bool to_reader);

  ManualLoop& loop_;
  std::shared_ptr<Pipe> in_;
  std::shared_ptr<Pipe> out_;
  const Options options_;
  net::ChannelHandler* handler_ = nullptr;
};

}  // namespace outrigger::test
