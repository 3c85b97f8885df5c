#include "net/file_watch.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>

#include "base/log.h"

namespace outrigger::net {
namespace {

constexpr std::uint32_t directory_events = IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_CREATE |
                                           IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
                                           IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

std::int64_t nanoseconds_of(const timespec& t) {
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string name_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

// Where the path leads when all links are followed; empty when it leads nowhere.
std::string real_path(const std::string& path) {
  std::array<char, PATH_MAX> resolved;
  return ::realpath(path.c_str(), resolved.data()) != nullptr ? resolved.data() : "";
}

}  // namespace

FileWatch::FileWatch(Loop& loop, std::vector<std::string> paths, FileWatchHandler& handler)
    : loop_(loop),
      paths_(std::move(paths)),
      handler_(handler),
      inotify_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)),
      pause_over_(Timer::to<&FileWatch::on_pause_over>(*this)),
      look_(Timer::to<&FileWatch::on_look>(*this)) {
  if (inotify_ >= 0) {
    events_ = loop_.watch(inotify_, Interest::read, *this);
  } else {
    log::warn("net", "out of inotify instances; polling files every second instead");
  }
  watch_directories();
  seen_ = marks();
  loop_.timers().arm(look_, watching_ ? look_interval : look_interval_unwatched);
}

FileWatch::~FileWatch() {
  events_.reset();
  if (inotify_ >= 0) ::close(inotify_);
}

FileWatch::Mark FileWatch::mark_of(const std::string& path) {
  struct stat s {};
  if (::stat(path.c_str(), &s) != 0) return {};
  return {s.st_dev, s.st_ino, s.st_size, nanoseconds_of(s.st_mtim), nanoseconds_of(s.st_ctim)};
}

std::vector<FileWatch::Mark> FileWatch::marks() const {
  std::vector<Mark> out;
  for (const std::string& path : paths_) out.push_back(mark_of(path));
  return out;
}

// Any event, an overflow of the queue included, is a reason to look.
void FileWatch::on_fd_ready(bool /*readable*/, bool /*writable*/, bool /*closed*/) {
  alignas(inotify_event) std::array<char, 16 * 1024> events;
  bool any = false;
  for (ssize_t got = 0; (got = ::read(inotify_, events.data(), events.size())) > 0; any = true) {
    for (const char* at = events.data(); at < events.data() + got;) {
      const auto& event = *reinterpret_cast<const inotify_event*>(at);
      take(event);
      at += sizeof event + event.len;
    }
  }
  if (any) begin_pause();
}

void FileWatch::take(const inotify_event& event) {
  if ((event.mask & IN_Q_OVERFLOW) != 0) return written_.clear();
  if (event.len == 0) return;
  constexpr std::uint32_t over =
      IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE;
  Entry entry(event.wd, event.name);
  if ((event.mask & over) != 0) {
    written_.erase(entry);
  } else if ((event.mask & IN_MODIFY) != 0 && files_.contains(entry)) {
    written_.insert(std::move(entry));
  }
}

void FileWatch::begin_pause() {
  const TimePoint now = loop_.now();
  if (!pause_over_.armed()) pause_began_ = now;
  const TimePoint over = written_.empty() ? std::min(now + pause, pause_began_ + pause_max)
                                          : pause_began_ + writer_max;
  loop_.timers().arm_at(pause_over_, over);
}

void FileWatch::on_pause_over() {
  written_.clear();
  // First the watches, then the look: a change between the two brings an event.
  watch_directories();
  std::vector<Mark> now = marks();
  if (now == seen_) return;
  seen_ = std::move(now);
  handler_.on_files_changed();
}

void FileWatch::on_look() {
  const bool watched = watching_;
  watch_directories();
  loop_.timers().arm(look_, watching_ ? look_interval : look_interval_unwatched);
  if (watched != watching_ || marks() != seen_) begin_pause();
}

void FileWatch::watch_directories() {
  if (inotify_ < 0) return;
  std::set<int> wanted;
  bool all = true;
  files_.clear();
  const auto want = [&](const std::string& path) {
    const std::string directory = directory_of(path);
    const int number = ::inotify_add_watch(inotify_, directory.c_str(), directory_events);
    if (number < 0) {
      all = false;
    } else {
      wanted.insert(number);
      files_.emplace(number, name_of(path));
    }
  };
  for (const std::string& path : paths_) {
    want(path);
    const std::string real = real_path(path);
    if (!real.empty()) want(real);
  }
  for (const int number : directories_) {
    // Fails for directories that are gone: their watches went with them.
    if (!wanted.contains(number)) ::inotify_rm_watch(inotify_, number);
  }
  directories_ = std::move(wanted);
  watching_ = all;
}

}  // namespace outrigger::net
