#include "support/manual_loop.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>

namespace outrigger::test {

struct MemoryChannel::Pipe {
  // One end's readiness: a change is told once, in the next turn, like the edge-triggered poller's.
  struct End final : ManualLoop::Notice {
    End(Pipe& p, bool r) : pipe(p), to_reader(r) {}
    void tell() override { pipe.tell(to_reader); }
    Pipe& pipe;
    const bool to_reader;
  };
  void tell(bool to_reader) {
    MemoryChannel* channel = to_reader ? reader : writer;
    if (channel == nullptr || channel->handler_ == nullptr) return;
    channel->handler_->on_channel_ready(to_reader, !to_reader, to_reader && (ended || broken));
  }

  End read_end{*this, true};
  End write_end{*this, false};
  std::string bytes;
  bool ended = false;
  bool broken = false;
  bool writer_blocked = false;
  MemoryChannel* reader = nullptr;
  MemoryChannel* writer = nullptr;
};

void ManualLoop::turn() {
  timers().set_now(now());
  running_.swap(posted_);
  for (auto& f : running_) f();
  running_.clear();
  IntrusiveList<Notice> ready;
  ready.take_all(ready_);
  while (!ready.empty()) ready.pop_front().tell();
  look_at_descriptors();
  timers_fired_ += timers().advance(now());
  run_next_turn_hooks();
  finish_turn();
}

void ManualLoop::settle() {
  int turns = 0;
  do {
    turn();
    if (++turns < settle_turns_max) continue;
    ADD_FAILURE() << "turns without end";
    return;
  } while (!posted_.empty() || !ready_.empty() || has_next_turn_hooks());
}

void ManualLoop::advance(Duration by) {
  const TimePoint end = now() + by;
  settle();
  while (now() < end) {
    TimePoint step = end;
    if (const auto next = timers().next()) step = std::clamp(*next, now() + Duration(1), end);
    set_now(step);
    settle();
  }
}

int ManualLoop::run_out_timers() {
  const int before = timers_fired_;
  // A timer that arms itself again and again is found out by the first few times.
  while (timers().next() && timers_fired_ < before + 100) {
    set_now(std::max(*timers().next(), now() + Duration(1)));
    settle();
  }
  return timers_fired_ - before;
}

// A descriptor of the real world, for what cannot be had in memory (inotify).
class ManualLoop::ReadWatch final : public net::FdWatch, public ListLink<ReadWatch> {
 public:
  ReadWatch(int f, net::FdHandler& h) : fd(f), handler(h) {}
  const int fd;
  net::FdHandler& handler;
};

std::unique_ptr<net::FdWatch> ManualLoop::watch(int fd, net::Interest interest,
                                                net::FdHandler& handler) {
  if (interest != net::Interest::read && interest != net::Interest::accept)
    return std::make_unique<net::FdWatch>();
  auto watch = std::make_unique<ReadWatch>(fd, handler);
  read_watches_.push_back(*watch);
  return watch;
}

ManualLoop::ManualLoop(std::uint64_t seed) : Loop(TimePoint(hours(1)), seed) {}
ManualLoop::~ManualLoop() = default;

void ManualLoop::look_at_descriptors() {
  IntrusiveList<ReadWatch> all;
  all.take_all(read_watches_);
  while (!all.empty()) {
    ReadWatch& watch = all.pop_front();
    read_watches_.push_back(watch);
    pollfd p{watch.fd, POLLIN, 0};
    if (::poll(&p, 1, 0) == 1) watch.handler.on_fd_ready(true, false, false);
  }
}

MemoryChannel::MemoryChannel(ManualLoop& loop, std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out,
                             Options options)
    : loop_(loop), in_(std::move(in)), out_(std::move(out)), options_(options) {
  in_->reader = this;
  out_->writer = this;
}

MemoryChannel::Pair MemoryChannel::make(ManualLoop& loop, Options options) {
  auto there = std::make_shared<Pipe>();
  auto back = std::make_shared<Pipe>();
  return {std::unique_ptr<MemoryChannel>(new MemoryChannel(loop, back, there, options)),
          std::unique_ptr<MemoryChannel>(new MemoryChannel(loop, there, back, options))};
}

MemoryChannel::~MemoryChannel() {
  close(false);
}

void MemoryChannel::open(net::ChannelHandler& handler) {
  handler_ = &handler;
  notify_peer(*out_, false);
  if (!in_->bytes.empty() || in_->ended) notify_peer(*in_, true);
}

void MemoryChannel::notify_peer(Pipe& pipe, bool to_reader) {
  loop_.ready(to_reader ? pipe.read_end : pipe.write_end);
}

net::IoResult MemoryChannel::read(std::span<char> to) {
  ++reads;
  using Kind = net::IoResult::Kind;
  if (in_->broken) return {Kind::failed, 0, ECONNRESET};
  if (in_->bytes.empty()) return {in_->ended ? Kind::ended : Kind::blocked};
  const std::size_t n = std::min({to.size(), in_->bytes.size(), options_.read_max});
  in_->bytes.copy(to.data(), n);
  in_->bytes.erase(0, n);
  if (in_->writer_blocked) {
    in_->writer_blocked = false;
    notify_peer(*in_, false);
  }
  // A read cut short by `read_max` is no sign of emptiness: the rest is announced like new bytes.
  if (!in_->bytes.empty() && n < to.size()) notify_peer(*in_, true);
  return {Kind::done, n};
}

net::IoResult MemoryChannel::write(std::span<const iovec> from, bool fin_follows) {
  ++writes;
  if (fin_follows) ++last_writes;
  using Kind = net::IoResult::Kind;
  if (out_->broken || out_->ended) return {Kind::failed, 0, EPIPE};
  std::size_t written = 0;
  for (const iovec& part : from) {
    const std::size_t room = options_.capacity - std::min(options_.capacity, out_->bytes.size());
    const std::size_t n = std::min(part.iov_len, room);
    out_->bytes.append(static_cast<const char*>(part.iov_base), n);
    written += n;
    if (n < part.iov_len) {
      out_->writer_blocked = true;
      break;
    }
  }
  if (written == 0) return {Kind::blocked};
  notify_peer(*out_, true);
  return {Kind::done, written};
}

bool MemoryChannel::was_reset() const {
  return in_->broken;
}

std::size_t MemoryChannel::unread() const {
  return in_->bytes.size();
}

void MemoryChannel::shutdown_write() {
  out_->ended = true;
  notify_peer(*out_, true);
}

void MemoryChannel::close(bool reset) {
  if (in_->reader == nullptr) return;
  in_->reader = nullptr;
  out_->writer = nullptr;
  handler_ = nullptr;
  // Unread input or a wish turns the close into a reset, as TCP does.
  if (reset || !in_->bytes.empty()) {
    out_->broken = true;
  } else {
    out_->ended = true;
  }
  in_->broken = true;
  notify_peer(*out_, true);
  notify_peer(*in_, false);
}

}  // namespace outrigger::test
