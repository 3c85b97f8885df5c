#include "net/socket.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <limits>

#include "base/check.h"

namespace outrigger::net {

void Fd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

SocketAddress::SocketAddress(const sockaddr* address, socklen_t length) {
  if (length > offsetof(sockaddr_un, sun_path) && address->sa_family == AF_UNIX) {
    if (length > sizeof(sockaddr_un)) return;
    auto local = std::make_shared<sockaddr_un>();
    std::memcpy(local.get(), address, length);
    local_ = std::move(local);
  } else {
    if (length > sizeof storage_) return;
    std::memcpy(&storage_, address, length);
  }
  length_ = length;
}

SocketAddress SocketAddress::ip(std::string_view host, std::uint16_t port) {
  SocketAddress result;
  const std::string text(host);
  if (inet_pton(AF_INET, text.c_str(), &result.storage_.v4.sin_addr) == 1) {
    result.storage_.v4.sin_family = AF_INET;
    result.storage_.v4.sin_port = htons(port);
    result.length_ = sizeof(sockaddr_in);
  } else if (inet_pton(AF_INET6, text.c_str(), &result.storage_.v6.sin6_addr) == 1) {
    result.storage_.v6.sin6_family = AF_INET6;
    result.storage_.v6.sin6_port = htons(port);
    result.length_ = sizeof(sockaddr_in6);
  }
  return result;
}

Result<SocketAddress> SocketAddress::unix_path(std::string_view path) {
  sockaddr_un local{};
  if (path.empty() || path.size() >= sizeof local.sun_path) {
    return Error{"the path of a Unix socket has 1 to 107 bytes: " + std::string(path)};
  }
  local.sun_family = AF_UNIX;
  std::memcpy(local.sun_path, path.data(), path.size());
  return SocketAddress(reinterpret_cast<const sockaddr*>(&local),
                       static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1));
}

std::uint16_t SocketAddress::port() const {
  if (family() == AF_INET) return ntohs(storage_.v4.sin_port);
  if (family() == AF_INET6) return ntohs(storage_.v6.sin6_port);
  return 0;
}

// Asked for once a connection, which for IPv4 need not cost inet_ntop()'s printf.
std::string SocketAddress::host() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (family() == AF_INET) {
    char* to = text;
    const std::uint32_t address = ntohl(storage_.v4.sin_addr.s_addr);
    for (int shift = 24; shift >= 0; shift -= 8) {
      to = std::to_chars(to, text + sizeof text, address >> shift & 0xff).ptr;
      if (shift > 0) *to++ = '.';
    }
    return {text, to};
  }
  if (family() == AF_INET6) {
    inet_ntop(AF_INET6, &storage_.v6.sin6_addr, text, sizeof text);
  } else {
    return "unix";
  }
  return text;
}

std::string SocketAddress::to_string() const {
  if (!valid()) return "unknown";
  if (family() == AF_INET) return host() + ":" + std::to_string(port());
  if (family() == AF_INET6) return "[" + host() + "]:" + std::to_string(port());
  if (local_ == nullptr || local_->sun_path[0] == '\0') return "unix";
  return std::string("unix:") +
         std::string(local_->sun_path, strnlen(local_->sun_path, sizeof local_->sun_path));
}

namespace {

Error listen_error(const SocketAddress& address, const char* call) {
  const int code = errno;
  std::string text =
      "cannot listen on " + address.to_string() + ": " + call + ": " + std::strerror(code);
  if (code == EADDRINUSE) {
    text += address.family() == AF_UNIX ? "; another process uses this file, or it is not a socket"
                                        : "; another process uses this port (ss -ltnp shows which)";
  }
  if (code == EACCES) text += "; ports below 1024 need CAP_NET_BIND_SERVICE";
  if (code == EADDRNOTAVAIL) text += "; no interface of this host has this address";
  return Error{text};
}

// A socket file that refuses a connection may belong to a process that does not listen yet. For a
// datagram socket the kernel tells it apart: where there is an owner, the type is wrong.
void remove_stale_socket(const SocketAddress& address) {
  const auto* local = reinterpret_cast<const sockaddr_un*>(address.get());
  struct stat info {};
  if (::stat(local->sun_path, &info) != 0 || !S_ISSOCK(info.st_mode)) return;
  const Fd probe(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (::connect(probe.get(), address.get(), address.length()) != 0 && errno == ECONNREFUSED)
    ::unlink(local->sun_path);
}

void set_option(int fd, int level, int name, int value = 1) {
  ::setsockopt(fd, level, name, &value, sizeof value);
}

// TCP_USER_TIMEOUT bounds what was sent; keepalive probes a connection on which nothing was. Three
// probes may be lost before the same time is over.
void bound_silence_of(int fd, Duration most) {
  // The kernel's probes come every nine hours at the least.
  constexpr int probe_max = 32'767;
  const auto ms = static_cast<int>(
      std::min<std::int64_t>(most / milliseconds(1), std::numeric_limits<int>::max()));
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, ms);
  if (ms == 0) return;
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, std::clamp(ms / 2000, 1, probe_max));
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, std::clamp(ms / 6000, 1, probe_max));
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE);
}

// A port that is merely bound with SO_REUSEADDR can be bound by others too, and whoever listens
// first has it. Without that option it is ours alone, which the kernel sees when the socket begins
// to listen; shutdown() ends that, and the port stays bound.
bool keep_port(int fd) {
  if (::listen(fd, 0) != 0) return false;
  set_option(fd, SOL_SOCKET, SO_REUSEADDR, 0);
  return ::shutdown(fd, SHUT_RDWR) == 0;
}

}  // namespace

Result<Fd> listen_on(const SocketAddress& address, const ListenOptions& options) {
  Fd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return listen_error(address, "socket");
  if (address.family() != AF_UNIX && options.peer_silence > Duration(0))
    bound_silence_of(fd.get(), options.peer_silence);
  if (address.family() == AF_UNIX) {
    remove_stale_socket(address);
  } else {
    set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR);
    if (options.reuse_port) set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT);
    // Accepted sockets inherit it: one call a listener instead of one a connection.
    set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY);
    if (address.family() == AF_INET6) set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY);
  }
  // So that there is no moment at which the file has other rights.
  const bool own_mode = address.family() == AF_UNIX && options.mode;
  const mode_t before = own_mode ? ::umask(0777 & ~*options.mode) : 0;
  const int bound = ::bind(fd.get(), address.get(), address.length());
  const int error = errno;
  if (own_mode) ::umask(before);
  errno = error;
  if (bound != 0) return listen_error(address, "bind");
  if (options.later) {
    // The kernel keeps only ports that were asked for by number.
    const bool keeps = address.port() != 0 && !options.reuse_port;
    if (keeps && !keep_port(fd.get())) return listen_error(address, "listen");
    return fd;
  }
  if (::listen(fd.get(), options.backlog) != 0) return listen_error(address, "listen");
  return fd;
}

void share_port(const Fd& fd) {
  set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT);
}

Result<void> begin_listening(const Fd& fd) {
  // Or connections that this process ends would be in the way of the next one's start.
  set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR);
  if (::listen(fd.get(), ListenOptions().backlog) == 0) return {};
  const int error = errno;
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  auto* name = reinterpret_cast<sockaddr*>(&storage);
  ::getsockname(fd.get(), name, &length);
  errno = error;
  return listen_error(SocketAddress(name, length), "listen");
}

Fd connect_to(const SocketAddress& address, int& error) {
  error = 0;
  Fd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    error = errno;
    return fd;
  }
  if (address.family() != AF_UNIX) set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY);
  if (::connect(fd.get(), address.get(), address.length()) != 0 && errno != EINPROGRESS) {
    error = errno;
    fd.reset();
  }
  return fd;
}

namespace {

// recv() and send() are points where a thread may be cancelled, for which the C library pays two
// locked instructions a call as soon as there are threads. Nobody is cancelled here. Sanitizers
// know them by name.
#ifdef OUTRIGGER_SANITIZED
ssize_t receive(int fd, std::span<char> to) {
  return ::recv(fd, to.data(), to.size(), 0);
}
ssize_t send_now(int fd, const iovec& from, int flags) {
  return ::send(fd, from.iov_base, from.iov_len, flags);
}
#else
ssize_t receive(int fd, std::span<char> to) {
  return ::syscall(SYS_recvfrom, fd, to.data(), to.size(), 0, nullptr, nullptr);
}
ssize_t send_now(int fd, const iovec& from, int flags) {
  return ::syscall(SYS_sendto, fd, from.iov_base, from.iov_len, flags, nullptr, 0);
}
#endif

}  // namespace

SocketChannel::SocketChannel(Loop& loop, Fd fd, const SocketAddress& peer)
    : loop_(loop), fd_(std::move(fd)), peer_(peer) {}

void SocketChannel::open(ChannelHandler& handler) {
  check(handler_ == nullptr, "a channel is opened once");
  handler_ = &handler;
  watch_ = loop_.watch(fd_.get(), Interest::stream, *this);
}

int SocketChannel::connect_status() {
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

IoResult SocketChannel::read(std::span<char> to) {
  for (;;) {
    const ssize_t n = receive(fd_.get(), to);
    if (n > 0) return {IoResult::Kind::done, static_cast<std::size_t>(n)};
    if (n == 0) return {IoResult::Kind::ended};
    if (errno == EAGAIN) return {IoResult::Kind::blocked};
    if (errno != EINTR) return {IoResult::Kind::failed, 0, errno};
  }
}

IoResult SocketChannel::write(std::span<const iovec> from, bool fin_follows) {
  const int flags = MSG_NOSIGNAL | (fin_follows ? MSG_MORE : 0);
  for (;;) {
    ssize_t n = 0;
    if (from.size() == 1) {
      n = send_now(fd_.get(), from[0], flags);
    } else {
      msghdr message{};
      message.msg_iov = const_cast<iovec*>(from.data());
      message.msg_iovlen = from.size();
      n = ::sendmsg(fd_.get(), &message, flags);
    }
    if (n >= 0) return {IoResult::Kind::done, static_cast<std::size_t>(n)};
    if (errno == EAGAIN || errno == ENOBUFS) return {IoResult::Kind::blocked};
    if (errno != EINTR) return {IoResult::Kind::failed, 0, errno};
  }
}

// POLLHUP says less: both sides have sent FIN, and what came before it waits to be read.
bool SocketChannel::was_reset() const {
  pollfd state{fd_.get(), 0, 0};
  return ::poll(&state, 1, 0) == 1 && (state.revents & POLLERR) != 0;
}

std::size_t SocketChannel::unread() const {
  int bytes = 0;
  return ::ioctl(fd_.get(), FIONREAD, &bytes) == 0 ? static_cast<std::size_t>(bytes) : 0;
}

void SocketChannel::bound_silence(Duration most) {
  if (peer_.family() != AF_UNIX) bound_silence_of(fd_.get(), most);
}

// A shut window leaves nothing retransmitted and its probes answered.
bool SocketChannel::silent_for(Duration time) const {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (::getsockopt(fd_.get(), IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return false;
  constexpr int lost_max = 2;
  return milliseconds(info.tcpi_last_ack_recv) >= time &&
         (info.tcpi_retransmits > lost_max || info.tcpi_probes > lost_max);
}

void SocketChannel::shutdown_write() {
  ::shutdown(fd_.get(), SHUT_WR);
}

void SocketChannel::acknowledge() {
  set_option(fd_.get(), IPPROTO_TCP, TCP_QUICKACK);
}

std::size_t SocketChannel::unacknowledged() const {
  int bytes = 0;
  return ::ioctl(fd_.get(), SIOCOUTQ, &bytes) == 0 && bytes > 0 ? static_cast<std::size_t>(bytes)
                                                                : 0;
}

void SocketChannel::close(bool reset) {
  watch_.reset();
  if (reset && fd_.valid()) {
    const linger now{1, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  fd_.reset();
}

std::string SocketChannel::local_address() const {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  if (!fd_.valid() || ::getsockname(fd_.get(), address, &length) != 0) return "unknown";
  return SocketAddress(address, length).to_string();
}

void SocketChannel::on_fd_ready(bool readable, bool writable, bool closed) {
  handler_->on_channel_ready(readable, writable, closed);
}

}  // namespace outrigger::net
