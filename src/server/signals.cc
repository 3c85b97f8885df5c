#include "server/signals.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <initializer_list>

namespace outrigger::server {
namespace {

// timeout(1) and shells signal the process and its group: that is one wish, told twice, and a
// throttled process may be a while between the two.
constexpr std::int64_t echo_nanos = 200'000'000;
constexpr std::int64_t signal_bits = 127;
constexpr std::int64_t in_another_way = 127;  // no signal has this number

// What the handler uses; nothing else may be touched there. The handler may run on two threads at
// once, so that the first signal and its time are one word: the time with its low bits replaced.
struct {
  std::atomic<std::int64_t> first{0};
  std::atomic<int> wake{-1};
} asked_end;
static_assert(std::atomic<std::int64_t>::is_always_lock_free);

std::int64_t now_nanos() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

extern "C" void on_end_signal(int signal) {
  const int error = errno;
  const std::int64_t now = now_nanos() & ~signal_bits;
  std::int64_t first = 0;
  if (asked_end.first.compare_exchange_strong(first, now | signal)) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(asked_end.wake, &one, sizeof one);
  } else if ((first & signal_bits) != signal || now - (first & ~signal_bits) > echo_nanos) {
    _exit(2);
  }
  errno = error;
}

sigset_t set_of(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

}  // namespace

void Signals::block() {
  const sigset_t set = set_of({SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT});
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

Signals::Signals(net::Loop& loop, SignalHandler& handler)
    : handler_(handler), asked_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  const sigset_t others = set_of({SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT});
  fd_ = net::Fd(signalfd(-1, &others, SFD_NONBLOCK | SFD_CLOEXEC));
  watch_ = loop.watch(fd_.get(), net::Interest::read, *this);
  asked_watch_ = loop.watch(asked_.get(), net::Interest::read, *this);
  asked_end.first = 0;
  asked_end.wake = asked_.get();
  struct sigaction action {};
  action.sa_handler = on_end_signal;
  action.sa_flags = SA_RESTART;
  action.sa_mask = set_of({SIGTERM, SIGINT});
  for (const int signal : {SIGTERM, SIGINT}) sigaction(signal, &action, nullptr);
  pthread_sigmask(SIG_UNBLOCK, &action.sa_mask, nullptr);
}

Signals::Blocked::Blocked() {
  const sigset_t set = set_of({SIGTERM, SIGINT});
  pthread_sigmask(SIG_BLOCK, &set, &before_);
}

Signals::Blocked::~Blocked() {
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

Signals::~Signals() {
  asked_end.wake = -1;
}

void Signals::end_at_next() {
  std::int64_t none = 0;
  asked_end.first.compare_exchange_strong(none, in_another_way);
}

void Signals::on_fd_ready(bool, bool, bool) {
  std::uint64_t count = 0;
  if (::read(asked_.get(), &count, sizeof count) == static_cast<ssize_t>(sizeof count)) {
    handler_.on_signal(static_cast<int>(asked_end.first & signal_bits));
  }
  signalfd_siginfo info{};
  while (::read(fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    handler_.on_signal(static_cast<int>(info.ssi_signo));
  }
}

}  // namespace outrigger::server
