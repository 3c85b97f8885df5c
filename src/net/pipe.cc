#include "net/pipe.h"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <utility>

namespace outrigger::net {
namespace {

// Below this, as large as a read, moving would take more calls than copying does.
constexpr int worth_it = 64 * 1024;

IoResult move(int from, int to, std::size_t most) {
  for (;;) {
    const ssize_t n = ::splice(from, nullptr, to, nullptr, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n > 0) return {IoResult::Kind::done, static_cast<std::size_t>(n)};
    if (n == 0) return {IoResult::Kind::ended};
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return {IoResult::Kind::blocked};
    return {IoResult::Kind::failed, 0, errno};
  }
}

}  // namespace

std::unique_ptr<Pipe> Pipe::make() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) != 0) return nullptr;
  Fd out(ends[0]);
  Fd in(ends[1]);
  // Refused when the user has many pipes already; then it is as large as the kernel made it.
  ::fcntl(in.get(), F_SETPIPE_SZ, static_cast<int>(size));
  if (::fcntl(in.get(), F_GETPIPE_SZ) < worth_it) return nullptr;
  return std::unique_ptr<Pipe>(new Pipe(std::move(out), std::move(in)));
}

IoResult Pipe::fill_from(int socket) {
  const IoResult result = move(socket, in_.get(), size);
  held_ += result.bytes;
  return result;
}

IoResult Pipe::drain_to(int socket) {
  const IoResult result = move(out_.get(), socket, held_);
  held_ -= result.bytes;
  return result;
}

std::unique_ptr<Pipe> PipePool::take() {
  std::unique_ptr<Pipe> pipe;
  if (in_use_ >= most_) return nullptr;
  if (!free_.empty()) {
    pipe = std::move(free_.back());
    free_.pop_back();
  } else {
    pipe = Pipe::make();
  }
  if (pipe) ++in_use_;
  return pipe;
}

void PipePool::give(std::unique_ptr<Pipe> pipe) {
  --in_use_;
  if (pipe->held() == 0 && free_.size() < kept_max) free_.push_back(std::move(pipe));
}

}  // namespace outrigger::net
