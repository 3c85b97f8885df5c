#pragma once

// Descriptors and addresses: thin wrappers of the socket calls. Everything is non-blocking and
// close-on-exec. Any thread, except SocketChannel (its loop's).

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "net/channel.h"
#include "net/loop.h"

namespace outrigger::net {

// Owns a descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset();

 private:
  int fd_ = -1;
};

// An IPv4, IPv6 or Unix address. Small: every connection and every endpoint has one.
class SocketAddress {
 public:
  SocketAddress() = default;
  SocketAddress(const sockaddr* address, socklen_t length);
  // `host` is an IPv4 or IPv6 literal; an invalid one gives an address with !valid().
  static SocketAddress ip(std::string_view host, std::uint16_t port);
  static Result<SocketAddress> unix_path(std::string_view path);

  bool valid() const { return length_ > 0; }
  int family() const { return get()->sa_family; }
  const sockaddr* get() const {
    return local_ == nullptr ? &storage_.any : reinterpret_cast<const sockaddr*>(local_.get());
  }
  socklen_t length() const { return length_; }
  std::uint16_t port() const;
  // "10.0.0.7:80", "[::1]:80", "unix:/path".
  std::string to_string() const;
  // Without the port: "10.0.0.7", "::1", "unix".
  std::string host() const;

 private:
  union Storage {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
  } storage_{};
  socklen_t length_ = 0;
  // A Unix address with a name: four times as large as the others, and rare. A client's has none.
  std::shared_ptr<const sockaddr_un> local_;
};

struct ListenOptions {
  bool reuse_port = false;
  int backlog = 4096;
  Duration peer_silence{};  // Channel::bound_silence() of what it accepts
  // Only bound: connections are refused until begin_listening(). Nobody else can bind the address
  // meanwhile, but for `reuse_port` after share_port().
  bool later = false;
  // Of a Unix socket's file, whatever the umask; without it as the umask has it. Before there are
  // other threads, which share the umask.
  std::optional<mode_t> mode{};
};

// A listening socket, TCP_NODELAY set for what it accepts. A Unix socket file that no process has
// any more is replaced; the error names the address, the reason and the likely cause.
Result<Fd> listen_on(const SocketAddress& address, const ListenOptions& options);
// For sockets that were bound with `later`. share_port(): by sockets with `reuse_port`, from now on.
void share_port(const Fd& fd);
Result<void> begin_listening(const Fd& fd);

// Begins to connect; connect_status() of the channel tells how it goes. `error` is set when it
// failed at once.
Fd connect_to(const SocketAddress& address, int& error);

class SocketChannel final : public Channel, private FdHandler {
 public:
  // `peer` is known to the code that accepts or connects.
  SocketChannel(Loop& loop, Fd fd, const SocketAddress& peer);

  void open(ChannelHandler& handler) override;
  int connect_status() override;
  IoResult read(std::span<char> to) override;
  IoResult write(std::span<const iovec> from, bool fin_follows) override;
  bool was_reset() const override;
  std::size_t unread() const override;
  void bound_silence(Duration most) override;
  bool silent_for(Duration time) const override;
  void shutdown_write() override;
  void acknowledge() override;
  std::size_t unacknowledged() const override;
  void close(bool reset) override;
  std::string peer_address() const override { return peer_.to_string(); }
  std::string peer_host() const override { return peer_.host(); }
  std::string local_address() const override;
  int fd() const override { return fd_.get(); }
  const SocketAddress& peer() const { return peer_; }

 private:
  void on_fd_ready(bool readable, bool writable, bool closed) override;

  Loop& loop_;
  Fd fd_;
  SocketAddress peer_;
  ChannelHandler* handler_ = nullptr;
  std::unique_ptr<FdWatch> watch_;  // dropped before fd_ is closed
};

}  // namespace outrigger::net
