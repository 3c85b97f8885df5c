#pragma once

// Tells when files may have changed: edited in place, replaced by a rename, removed, come back, or
// reached through symbolic links that now point elsewhere (as Kubernetes does with mounted maps and
// secrets). Owned by the reader of the files; one thread, the loop's.
//
//   FileWatch watch(loop, {"/etc/outrigger/endpoints.yaml"}, handler);
//   read the files                      // after the watch was made, or a change could be missed
//     handler.on_files_changed()        // any number of times, never from inside the constructor
//
// inotify watches the directories that hold the files and what their links point to. An event
// begins a pause: when nothing has happened for 50 ms (or events have not ceased for a second) the
// files are looked at, and if one is not the file it was, the handler is called, once for all of
// them. The pause lasts while a file has been written to and not closed, for at most 5 s. Where
// there are no events (NFS, no directory yet, no inotify instance left) the files are looked at
// every 10 s, or every second while a directory can't be watched.
//
// The handler reads the files itself and should expect anything: a writer may still be writing, if
// it takes longer or has begun anew. It may not destroy the watch from inside the callback.

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "net/loop.h"
#include "net/timer.h"

struct inotify_event;

namespace outrigger::net {

class FileWatchHandler {
 public:
  virtual void on_files_changed() = 0;

 protected:
  ~FileWatchHandler() = default;
};

class FileWatch final : private FdHandler {
 public:
  static constexpr Duration pause = milliseconds(50);
  static constexpr Duration pause_max = seconds(1);
  static constexpr Duration writer_max = seconds(5);
  static constexpr Duration look_interval = seconds(10);
  static constexpr Duration look_interval_unwatched = seconds(1);

  FileWatch(Loop& loop, std::vector<std::string> paths, FileWatchHandler& handler);
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;
  ~FileWatch();

  // Every directory has a watch, so that changes are seen by events.
  bool watching() const { return watching_; }

 private:
  // What tells one state of a file from another; all zero when there is no file.
  struct Mark {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = 0;
    std::int64_t modified = 0;
    std::int64_t changed = 0;
    bool operator==(const Mark&) const = default;
  };
  // A directory's number and a name in it.
  using Entry = std::pair<int, std::string>;

  static Mark mark_of(const std::string& path);
  std::vector<Mark> marks() const;
  void on_fd_ready(bool readable, bool writable, bool closed) override;
  void take(const inotify_event& event);
  void begin_pause();
  void on_pause_over();
  void on_look();
  void watch_directories();

  Loop& loop_;
  const std::vector<std::string> paths_;
  FileWatchHandler& handler_;
  int inotify_;  // -1: not available
  std::unique_ptr<FdWatch> events_;
  std::set<int> directories_;  // inotify's numbers
  std::set<Entry> files_;      // where the paths and their links lead
  std::set<Entry> written_;    // of files_, those that a writer has not closed yet
  bool watching_ = false;
  std::vector<Mark> seen_;
  Timer pause_over_;
  Timer look_;
  TimePoint pause_began_{};
};

}  // namespace outrigger::net
