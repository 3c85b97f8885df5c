#include "net/dns.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>

#include <algorithm>
#include <array>

#include "base/check.h"

namespace outrigger::net {
namespace {

constexpr Duration ttl_max = hours(1);
constexpr Duration timer_step = milliseconds(100);

// c-ares is initialised once a process.
struct Library {
  Library() {
    check(ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS, "ares_library_init failed");
  }
  ~Library() { ares_library_cleanup(); }
};

}  // namespace

// One of c-ares' sockets.
class Resolver::Watched final : public Retirable, private FdHandler {
 public:
  Watched(Resolver& resolver, int fd, Interest interest) : resolver_(resolver), fd_(fd) {
    watch_ = resolver.loop_.watch(fd, interest, *this);
  }
  void stop() { watch_.reset(); }

 private:
  void on_fd_ready(bool readable, bool writable, bool) override {
    resolver_.process(readable ? fd_ : ARES_SOCKET_BAD, writable ? fd_ : ARES_SOCKET_BAD);
  }
  Resolver& resolver_;
  int fd_;
  std::unique_ptr<FdWatch> watch_;
};

// Shared between c-ares, which always calls back once, and the handle, which may be dropped before.
struct Resolver::Pending {
  Loop& loop;
  Callback callback;  // empty once cancelled
};

class Resolver::Handle final : public Query {
 public:
  explicit Handle(std::shared_ptr<Pending> pending) : pending_(std::move(pending)) {}
  ~Handle() override { pending_->callback = nullptr; }

 private:
  std::shared_ptr<Pending> pending_;
};

Resolver::Resolver(Loop& loop) : loop_(loop), timer_(Timer::to<&Resolver::on_timer>(*this)) {
  static const Library library;
  ares_options options{};
  options.timeout = 5000;
  options.tries = 2;
  options.sock_state_cb = &Resolver::on_socket;
  options.sock_state_cb_data = this;
  const int made = ares_init_options(&channel_, &options,
                                     ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
  check(made == ARES_SUCCESS, "ares_init_options failed");
}

Resolver::~Resolver() {
  ares_destroy(channel_);
  sockets_.clear();
}

std::unique_ptr<Resolver::Query> Resolver::resolve(const std::string& name, Callback callback) {
  auto pending = std::make_shared<Pending>(Pending{loop_, std::move(callback)});
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  // c-ares may answer inside the call (from /etc/hosts): the callback is posted all the same.
  ares_getaddrinfo(channel_, name.c_str(), nullptr, &hints, &Resolver::on_answer,
                   new std::shared_ptr<Pending>(pending));
  arm();
  return std::make_unique<Handle>(std::move(pending));
}

void Resolver::on_answer(void* argument, int status, int, ::ares_addrinfo* result) {
  const std::unique_ptr<std::shared_ptr<Pending>> holder(
      static_cast<std::shared_ptr<Pending>*>(argument));
  Resolved resolved;
  resolved.ttl = ttl_max;
  if (status != ARES_SUCCESS) resolved.error = ares_strerror(status);
  for (const ares_addrinfo_node* node = result != nullptr ? result->nodes : nullptr;
       node != nullptr; node = node->ai_next) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    const void* address = node->ai_family == AF_INET
                              ? static_cast<const void*>(
                                    &reinterpret_cast<const sockaddr_in*>(node->ai_addr)->sin_addr)
                              : &reinterpret_cast<const sockaddr_in6*>(node->ai_addr)->sin6_addr;
    if (inet_ntop(node->ai_family, address, text.data(), text.size()) == nullptr) continue;
    resolved.addresses.emplace_back(text.data());
    resolved.ttl = std::min<Duration>(resolved.ttl, seconds(std::max(node->ai_ttl, 0)));
  }
  if (result != nullptr) ares_freeaddrinfo(result);
  std::sort(resolved.addresses.begin(), resolved.addresses.end());
  resolved.addresses.erase(std::unique(resolved.addresses.begin(), resolved.addresses.end()),
                           resolved.addresses.end());
  if (resolved.addresses.empty() && resolved.error.empty())
    resolved.error = "the name has no addresses";
  (*holder)->loop.post([pending = *holder, resolved = std::move(resolved)] {
    if (pending->callback) pending->callback(resolved);
  });
}

void Resolver::on_socket(void* self, int fd, int readable, int writable) {
  auto& resolver = *static_cast<Resolver*>(self);
  const auto known = resolver.sockets_.find(fd);
  if (known != resolver.sockets_.end()) {
    // It may be on the stack of its own callback.
    known->second->stop();
    resolver.loop_.retire(std::move(known->second));
    resolver.sockets_.erase(known);
  }
  if (readable == 0 && writable == 0) return;
  const Interest interest = readable != 0 && writable != 0 ? Interest::read_write
                            : readable != 0                ? Interest::read
                                                           : Interest::write;
  resolver.sockets_.emplace(fd, std::make_unique<Watched>(resolver, fd, interest));
}

void Resolver::process(int readable_fd, int writable_fd) {
  ares_process_fd(channel_, readable_fd, writable_fd);
  arm();
}

void Resolver::arm() {
  if (!sockets_.empty() && !timer_.armed()) loop_.timers().arm(timer_, timer_step);
}

void Resolver::on_timer() {
  ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  arm();
}

}  // namespace outrigger::net
