#include "net/event_loop.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "base/check.h"
#include "net/event_memory.h"

namespace outrigger::net {
namespace {

std::uint64_t seed_from_system() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

short flags_of(Interest interest) {
  switch (interest) {
    case Interest::stream:
      return EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST;
    case Interest::accept:
    case Interest::read:
      return EV_READ | EV_PERSIST;
    case Interest::write:
      return EV_WRITE | EV_PERSIST;
    case Interest::read_write:
      return EV_READ | EV_WRITE | EV_PERSIST;
  }
  return 0;
}

event_base* new_base() {
  use_event_memory();
  check(event_get_struct_event_size() <= sizeof(event), "libevent's events have grown");
  event_config* config = event_config_new();
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
  event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
  event_base* base = event_base_new_with_config(config);
  event_config_free(config);
  check(base != nullptr, "libevent has no epoll here");
  return base;
}

}  // namespace

class EventLoop::Watch final : public FdWatch {
 public:
  Watch(EventLoop& loop, int fd, Interest interest, FdHandler& handler)
      : loop_(loop), handler_(handler) {
    check(
        event_assign(&event_, loop.base_.get(), fd, flags_of(interest), &Watch::ready, this) == 0 &&
            event_add(&event_, nullptr) == 0,
        "event_add failed");
  }
  ~Watch() override { event_del(&event_); }

 private:
  static void ready(evutil_socket_t, short what, void* self) {
    auto& watch = *static_cast<Watch*>(self);
    watch.loop_.begin_turn();
    watch.handler_.on_fd_ready((what & EV_READ) != 0, (what & EV_WRITE) != 0,
                               (what & EV_CLOSED) != 0);
  }

  EventLoop& loop_;
  FdHandler& handler_;
  event event_;  // inside, not beside: one allocation less for each connection
};

void EventLoop::BaseDeleter::operator()(event_base* base) const {
  event_base_free(base);
}
void EventLoop::EventDeleter::operator()(event* e) const {
  event_free(e);
}

EventLoop::EventLoop()
    : Loop(read_clock(), seed_from_system()),
      base_(new_base()),
      wake_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  check(wake_fd_ >= 0, "eventfd failed");
  timer_.reset(event_new(
      base_.get(), -1, 0,
      [](evutil_socket_t, short, void* self) { static_cast<EventLoop*>(self)->begin_turn(); },
      this));
  wake_watch_ = watch(wake_fd_, Interest::read, *this);
}

EventLoop::~EventLoop() {
  wake_watch_.reset();
  close(wake_fd_);
}

TimePoint EventLoop::read_clock() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return TimePoint(std::chrono::seconds(t.tv_sec) + nanoseconds(t.tv_nsec));
}

WallTime EventLoop::wall_now() const {
  return std::chrono::floor<microseconds>(std::chrono::system_clock::now());
}

std::unique_ptr<FdWatch> EventLoop::watch(int fd, Interest interest, FdHandler& handler) {
  check(fd >= 0, "watch() of no descriptor");
  return std::make_unique<Watch>(*this, fd, interest, handler);
}

void EventLoop::arm_timer() {
  const auto next = timers().next();
  if (!next || (*next == armed_for_ && event_pending(timer_.get(), EV_TIMEOUT, nullptr) != 0))
    return;
  armed_for_ = *next;
  const auto wait =
      std::max(std::chrono::ceil<microseconds>(*next - read_clock()), microseconds(1000));
  const timeval t{wait.count() / 1'000'000, wait.count() % 1'000'000};
  event_add(timer_.get(), &t);
}

void EventLoop::run() {
  while (!stopped_) {
    if (timers().take_rearmed() || event_pending(timer_.get(), EV_TIMEOUT, nullptr) == 0)
      arm_timer();
    event_base_loop(base_.get(),
                    has_next_turn_hooks() ? EVLOOP_ONCE | EVLOOP_NONBLOCK : EVLOOP_ONCE);
    begin_turn();
    timers().advance(now());
    run_next_turn_hooks();
    finish_turn();
    longest_turn_ = std::max(longest_turn_, read_clock() - now());
    in_turn_ = false;
  }
}

void EventLoop::stop() {
  stopped_ = true;
  post([] {});
}

Duration EventLoop::take_longest_turn() {
  return std::exchange(longest_turn_, Duration(0));
}

void EventLoop::post(std::function<void()> function) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(function));
  }
  if (!woken_.exchange(true)) {
    const std::uint64_t one = 1;
    // The counter cannot overflow: one write a wake-up.
    if (::write(wake_fd_, &one, sizeof one) < 0) return;
  }
}

void EventLoop::on_fd_ready(bool, bool, bool) {
  std::uint64_t count = 0;
  if (::read(wake_fd_, &count, sizeof count) < 0) return;
  woken_ = false;
  std::vector<std::function<void()>> functions;
  {
    const std::lock_guard lock(mutex_);
    functions.swap(posted_);
  }
  for (auto& function : functions) function();
}

}  // namespace outrigger::net
