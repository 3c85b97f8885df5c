#pragma once

// Pipes of the kernel, through which bytes go from one socket to another without being copied into
// this process and out again (splice(2)). One thread.

#include <cstddef>
#include <memory>
#include <vector>

#include "net/channel.h"
#include "net/socket.h"

namespace outrigger::net {

class Pipe {
 public:
  // The most that is in a pipe at a time.
  static constexpr std::size_t size = std::size_t{256} * 1024;

  // Null when there is no descriptor left, or when the kernel gives this user only pipes too small
  // to be worth it (fs.pipe-user-pages-soft).
  static std::unique_ptr<Pipe> make();

  // Bytes that have gone in and not come out.
  std::size_t held() const { return held_; }
  // Takes what the socket has received. REQUIRES: held() == 0
  IoResult fill_from(int socket);
  // Sends what is held. REQUIRES: held() > 0
  IoResult drain_to(int socket);

 private:
  Pipe(Fd out, Fd in) : out_(std::move(out)), in_(std::move(in)) {}

  Fd out_;
  Fd in_;
  std::size_t held_ = 0;
};

// Empty pipes for connections that have bytes to move right now; a few serve thousands.
// Owned by the loop.
class PipePool {
 public:
  // Each costs two descriptors, so a worker whose peers do not read holds no more than this, and
  // copies for the rest.
  static constexpr std::size_t most = 32;

  // Null: copy.
  std::unique_ptr<Pipe> take();
  // The kernel, or the sandbox around it, does not support splice(2): it is not tried again.
  void refuse() { most_ = 0; }
  // One that still holds bytes is closed.
  void give(std::unique_ptr<Pipe> pipe);

  std::size_t in_use() const { return in_use_; }

 private:
  static constexpr std::size_t kept_max = 4;

  std::size_t most_ = most;

  std::vector<std::unique_ptr<Pipe>> free_;
  std::size_t in_use_ = 0;
};

}  // namespace outrigger::net
