#include "net/listener.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"

namespace outrigger::net {
namespace {

Fd open_spare() {
  return Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

}  // namespace

Listener::Listener(Loop& loop, Fd fd, ListenerHandler& handler)
    : loop_(loop),
      fd_(std::move(fd)),
      spare_(open_spare()),
      handler_(handler),
      resume_timer_(Timer::to<&Listener::resume>(*this)) {
  pause(false);
}

Listener::~Listener() {
  watch_.reset();
}

void Listener::pause(bool paused) {
  resume_timer_.cancel();
  if (paused) {
    watch_.reset();
  } else if (!watch_) {
    watch_ = loop_.watch(fd_.get(), Interest::accept, *this);
  }
}

void Listener::on_fd_ready(bool, bool, bool) {
  if (!accept_some(batch_)) {
    batch_ = 1;
    full_turns_ = 0;
  } else if (++full_turns_ == patience) {
    batch_ = std::min(2 * batch_, batch_max);
    full_turns_ = 0;
  }
}

void Listener::accept_all() {
  while (watch_ && accept_some(batch_max)) {
  }
}

// False when no connection is waiting, or none can be accepted now.
bool Listener::accept_some(int most) {
  for (int i = 0; i < most; ++i) {
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    auto* address = reinterpret_cast<sockaddr*>(&storage);
    const int fd = ::accept4(fd_.get(), address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      handler_.on_accept(Fd(fd), SocketAddress(address, length));
      if (!watch_) return false;  // the handler paused us
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO || errno == EPERM) continue;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
      out_of_descriptors();
    return false;
  }
  return true;
}

void Listener::out_of_descriptors() {
  at_limit_.add();
  if (at_limit_.value() % 100 == 1)
    log::warn("net", "no file descriptor left to accept with; pausing for 100 ms");
  // Close one waiting client with the spare descriptor: it learns at once instead of hanging.
  spare_.reset();
  Fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC)).reset();
  spare_ = open_spare();
  pause(true);
  loop_.timers().arm(resume_timer_, pause_at_limit);
}

}  // namespace outrigger::net
