#include "telemetry/access_log.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace outrigger::telemetry {
namespace {

// Linux reports a pipe as writable when this much fits, so a write of this size does not block and
// is not interleaved with other processes' writes. So no more is written at once, and whole lines;
// only a line that is longer may have others' in it.
constexpr std::size_t pipe_chunk = 4096;
constexpr int blocked_poll_millis = 100;

}  // namespace

// What a ring holds: whole lines, one of which may begin in one piece and end in the other.
struct AccessLog::Lines {
  std::string_view first;
  std::string_view second;

  std::size_t size() const { return first.size() + second.size(); }
  char at(std::size_t i) const { return i < first.size() ? first[i] : second[i - first.size()]; }
  std::size_t count() const {
    return static_cast<std::size_t>(std::ranges::count(first, '\n') +
                                    std::ranges::count(second, '\n'));
  }
  void remove_prefix(std::size_t n) {
    const std::size_t here = std::min(n, first.size());
    first.remove_prefix(here);
    second.remove_prefix(n - here);
  }
  // Up to the end of the first line.
  std::size_t first_line() const {
    const std::size_t end = first.find('\n');
    return end != std::string_view::npos ? end + 1 : first.size() + second.find('\n') + 1;
  }
  // Up to the end of the last line that ends within `max` bytes; `max` where none does.
  std::size_t whole_lines(std::size_t max) const {
    if (size() <= max) return size();
    std::size_t n = max;
    while (n > 0 && at(n - 1) != '\n') --n;
    return n > 0 ? n : max;
  }
};

AccessLogLane::AccessLogLane(AccessLog& log, std::size_t ring_bytes, std::uint64_t seed)
    : log_(log),
      ring_(ring_bytes),
      random_(seed),
      scratch_(log.enabled() ? std::make_unique<char[]>(access_line_max) : nullptr) {}

bool AccessLogLane::enabled() const {
  return log_.enabled();
}

void AccessLogLane::write(const AccessRecord& record) {
  if (!enabled() || !chosen(record)) return;
  LineBuilder line(scratch_.get(), access_line_max);
  format_access(line, log_.options_.format, record);
  (ring_.push(line.view()) ? lines_ : dropped_).add();
  log_.wake_if_asleep(ring_);
}

bool AccessLogLane::chosen(const AccessRecord& record) {
  const config::AccessLog& options = log_.options_;
  if (options.sample >= 1.0) return true;
  if (options.always_errors && is_error(record)) return true;
  if (options.always_slower && record.duration > *options.always_slower) return true;
  return random_.unit() < options.sample;
}

AccessLog::AccessLog(config::AccessLog options, int lanes, std::uint64_t seed,
                     std::size_t ring_bytes)
    : options_(std::move(options)), enabled_(options_.path != "none") {
  // If nothing is written, no memory is allocated for it.
  const std::size_t bytes = enabled_ ? ring_bytes : 1;
  for (int i = 0; i < lanes; ++i) {
    lanes_.push_back(
        std::make_unique<AccessLogLane>(*this, bytes, seed + static_cast<std::uint64_t>(i)));
  }
}

Result<std::unique_ptr<AccessLog>> AccessLog::open(const config::AccessLog& options, int lanes,
                                                   std::uint64_t seed, std::size_t ring_bytes) {
  std::unique_ptr<AccessLog> log(new AccessLog(options, lanes, seed, ring_bytes));
  if (!log->enabled_) return log;
  if (auto opened = log->open_target(); !opened) return opened.error();
  log->event_ = net::Fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!log->event_.valid()) {
    return Error{std::string("access log: eventfd: ") + std::strerror(errno)};
  }
  // Signals are handled by the main thread: the writer inherits a mask that blocks them all.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  log->thread_ = std::thread([raw = log.get()] { raw->run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return log;
}

AccessLog::~AccessLog() {
  if (!thread_.joinable()) return;
  stop_ = true;
  wake();
  thread_.join();
}

AccessLogLane& AccessLog::lane(int worker) {
  check(worker >= 0 && static_cast<std::size_t>(worker) < lanes_.size(),
        "the access log of a worker that does not exist");
  return *lanes_[static_cast<std::size_t>(worker)];
}

Result<void> AccessLog::open_target() {
  int target = STDOUT_FILENO;
  net::Fd file;
  if (options_.path == "stderr") {
    target = STDERR_FILENO;
  } else if (options_.path != "stdout") {
    // Non-blocking for named pipes; for a regular file it has no effect.
    file = net::Fd(::open(options_.path.c_str(),
                          O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0640));
    if (!file.valid()) {
      return Error{"access log: cannot open " + options_.path + ": " + std::strerror(errno)};
    }
    target = file.get();
  }
  struct stat about {};
  regular_ = ::fstat(target, &about) == 0 && S_ISREG(about.st_mode);
  file_id_ = {about.st_dev, about.st_ino};
  file_ = std::move(file);
  target_ = target;
  return {};
}

void AccessLog::reopen() {
  reopen_ = true;
  wake();
}

bool AccessLog::flush(Duration wait) {
  if (!thread_.joinable()) return true;
  std::unique_lock lock(flush_mutex_);
  const std::uint64_t ours = ++flushes_asked_;
  wake();
  return flushed_.wait_for(lock, wait, [this, ours] { return flushes_done_ >= ours; });
}

std::uint64_t AccessLog::dropped() const {
  std::uint64_t total = write_failed_;
  for (const auto& lane : lanes_) total += lane->dropped_.value();
  return total;
}

void AccessLog::collect(Scrape& scrape) const {
  std::uint64_t lines = 0;
  std::uint64_t dropped = 0;
  for (const auto& lane : lanes_) {
    dropped += lane->dropped_.value();
    lines += lane->lines_.value();
  }
  scrape.counter(Family::access_log_lines, {}, static_cast<double>(lines));
  scrape.counter(Family::access_log_dropped, {"queue_full"}, static_cast<double>(dropped));
  scrape.counter(Family::access_log_dropped, {"write_failed"}, static_cast<double>(write_failed_));
}

// The ring's store came before this load, and the writer's store of `idle` comes before its last
// look at the rings, all sequentially consistent: one of the two sees the other.
void AccessLog::wake_if_asleep(const ByteRing& ring) {
  Sleep seen = sleep_.load(std::memory_order_seq_cst);
  if (seen == Sleep::awake || (seen == Sleep::napping && ring.used() <= ring.capacity() / 2)) {
    return;
  }
  if (sleep_.compare_exchange_strong(seen, Sleep::awake)) wake();
}

void AccessLog::wake() {
  const std::uint64_t one = 1;
  // Non-blocking: it fails only if the writer is certain to wake anyway.
  [[maybe_unused]] const auto written = ::write(event_.get(), &one, sizeof(one));
}

void AccessLog::run() {
  for (;;) {
    const bool stopping = stop_;
    if (reopen_.exchange(false)) reopen_target();
    std::uint64_t asked = 0;
    {
      const std::lock_guard lock(flush_mutex_);
      asked = flushes_asked_;
    }
    const bool wrote = drain_all();
    {
      const std::lock_guard lock(flush_mutex_);
      flushes_done_ = asked;
    }
    flushed_.notify_all();
    if (stopping) return;
    sleep(wrote);
  }
}

// Writes what each ring held when its turn came: complete lines, so that another ring's can follow.
bool AccessLog::drain_all() {
  bool any = false;
  for (const auto& lane : lanes_) {
    const auto [first, second] = lane->ring_.readable();
    any = any || !first.empty();
    write_lines({first, second}, lane->ring_);
  }
  return any;
}

// What cannot be written is lost, so that the ring advances: a full disk must not stop the log for
// longer than it is full.
void AccessLog::write_lines(Lines lines, ByteRing& ring) {
  const auto consume = [&](std::size_t n) {
    ring.consume(n);
    lines.remove_prefix(n);
  };
  while (lines.size() > 0) {
    if (reopen_.exchange(false)) reopen_target();
    if (std::exchange(skipping_, false)) {
      ++write_failed_;
      consume(lines.first_line());
      continue;
    }
    if (newline_owed_) newline_owed_ = write_some({"\n", {}}) == 0;
    const std::size_t written = newline_owed_ ? 0 : write_some(lines);
    if (written == 0 && reopen_) continue;  // the new target may take it
    if (written == 0) lose(lines, errno);
    consume(written == 0 ? lines.size() : written);
  }
}

// Returns the number of bytes written, at least one, or 0 when they cannot be written.
std::size_t AccessLog::write_some(const Lines& lines) {
  const std::size_t size = regular_ ? lines.size() : lines.whole_lines(pipe_chunk);
  const std::size_t first = std::min(size, lines.first.size());
  const std::array<iovec, 2> parts = {{{const_cast<char*>(lines.first.data()), first},
                                       {const_cast<char*>(lines.second.data()), size - first}}};
  for (;;) {
    if (!regular_ && !wait_writable()) return 0;
    const ssize_t written = ::writev(target_, parts.data(), size > first ? 2 : 1);
    if (written > 0) {
      const auto count = static_cast<std::size_t>(written);
      in_line_ = lines.at(count - 1) != '\n';
      failing_ = false;
      return count;
    }
    if (written == 0 || (errno != EINTR && errno != EAGAIN)) return 0;
  }
}

// False when the target is to be opened again, or when the log is being closed and the target has
// accepted nothing for long enough.
bool AccessLog::wait_writable() {
  for (int waited = 0; !gave_up_ && !reopen_;) {
    pollfd target{target_, POLLOUT, 0};
    const int ready = ::poll(&target, 1, blocked_poll_millis);
    if (ready > 0 || (ready < 0 && errno != EINTR)) return true;
    if (stop_) waited += blocked_poll_millis;
    gave_up_ = waited >= give_up_millis;
  }
  errno = ETIMEDOUT;
  return false;
}

void AccessLog::lose(const Lines& lines, int error) {
  write_failed_ += lines.count();
  newline_owed_ = in_line_;
  if (failing_) return;
  failing_ = true;
  log::warn("telemetry", "the access log cannot be written; lines are dropped and counted",
            {{"path", options_.path}, {"error", std::strerror(error)}});
}

// A line that was begun is the old file's: neither its rest nor its end belongs into another one.
void AccessLog::reopen_target() {
  const auto old = file_id_;
  if (auto opened = open_target(); !opened) return log::error("telemetry", opened.error().message);
  if (file_id_ == old) return;
  skipping_ = in_line_ && !newline_owed_;
  in_line_ = newline_owed_ = false;
}

void AccessLog::sleep(bool nap) {
  sleep_.store(nap ? Sleep::napping : Sleep::idle, std::memory_order_seq_cst);
  const bool waiting =
      std::ranges::any_of(lanes_, [](const auto& lane) { return lane->ring_.used() > 0; });
  pollfd event{event_.get(), POLLIN, 0};
  // A nap collects lines even if some are already there; without a nap there must be none.
  const int timeout = nap ? nap_millis : waiting ? 0 : -1;
  ::poll(&event, 1, timeout);
  sleep_.store(Sleep::awake, std::memory_order_seq_cst);
  std::uint64_t count = 0;
  [[maybe_unused]] const auto drained = ::read(event_.get(), &count, sizeof(count));
}

}  // namespace outrigger::telemetry
