#pragma once

// The access log: workers format lines into rings of their own, one thread writes them out. If a
// disk is full or a pipe is not read, the rings fill up; lines are then dropped and counted, and no
// request waits.
//
// Owned by the server. Workers use their lanes; everything else may be used from any thread. The
// destructor writes what is left, for as long as the target accepts it, and ends the thread; no
// lane may be used by then.
//
//   auto log = AccessLog::open(config.telemetry.access_log, workers, seed);
//   log.value()->lane(worker).write(record);

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/metric_cells.h"
#include "base/random.h"
#include "base/result.h"
#include "config/model.h"
#include "net/socket.h"
#include "telemetry/access_record.h"
#include "telemetry/byte_ring.h"
#include "telemetry/scrape.h"

namespace outrigger::telemetry {

class AccessLog;

// One worker's end; that worker's thread only. Owned by the log.
class AccessLogLane {
 public:
  AccessLogLane(AccessLog& log, std::size_t ring_bytes, std::uint64_t seed);

  // Whether any record could be written: false with `path: none`, so that no one collects its
  // fields.
  bool enabled() const;
  // Formats and queues the line, if sampling or `always` says so. No allocation, never blocks.
  void write(const AccessRecord& record);

 private:
  friend class AccessLog;
  bool chosen(const AccessRecord& record);

  AccessLog& log_;
  ByteRing ring_;
  Random random_;
  std::unique_ptr<char[]> scratch_;
  Counter lines_;
  Counter dropped_;
};

class AccessLog {
 public:
  static constexpr std::size_t ring_bytes_default = 256 * 1024;

  // Opens the target; an error says why that failed. `path: none` starts no thread.
  static Result<std::unique_ptr<AccessLog>> open(const config::AccessLog& options, int lanes,
                                                 std::uint64_t seed,
                                                 std::size_t ring_bytes = ring_bytes_default);
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;
  ~AccessLog();

  // REQUIRES: 0 <= worker < lanes
  AccessLogLane& lane(int worker);
  const config::AccessLog& options() const { return options_; }
  bool enabled() const { return enabled_; }

  // The file has been renamed: the writer opens it again by its name before the next line, or
  // within the line that a pipe does not take. If that fails, it continues with the old one and logs
  // an error.
  void reopen();
  // Waits until all lines queued before are written or lost; false when that took longer than
  // `wait`.
  bool flush(Duration wait);
  // Adds the lines written and dropped.
  void collect(Scrape& scrape) const;
  std::uint64_t dropped() const;

 private:
  friend class AccessLogLane;
  // Whether the writer must be woken when there is something to write.
  enum class Sleep : std::uint8_t {
    awake,
    napping,  // wakes soon by itself, or earlier if a ring becomes half full
    idle,
  };
  static constexpr int nap_millis = 20;
  // How long a blocked target is waited for while the log is being closed.
  static constexpr int give_up_millis = 500;

  struct Lines;
  AccessLog(config::AccessLog options, int lanes, std::uint64_t seed, std::size_t ring_bytes);
  Result<void> open_target();
  void wake_if_asleep(const ByteRing& ring);
  void wake();

  // The writer thread.
  void run();
  bool drain_all();
  void write_lines(Lines lines, ByteRing& ring);
  std::size_t write_some(const Lines& lines);
  bool wait_writable();
  void lose(const Lines& lines, int error);
  void reopen_target();
  void sleep(bool nap);

  const config::AccessLog options_;
  const bool enabled_;
  std::vector<std::unique_ptr<AccessLogLane>> lanes_;
  net::Fd file_;  // of a file target; the standard streams are not ours to close
  int target_ = -1;
  bool regular_ = false;
  std::pair<dev_t, ino_t> file_id_{};
  // Independent facts about failures, so that lines stay complete.
  bool in_line_ = false;       // the last byte out was not a line's end
  bool newline_owed_ = false;  // the rest of that line is lost
  bool skipping_ = false;      // up to the end of a line whose beginning is in another file
  bool failing_ = false;       // the last write failed, and that has been logged
  bool gave_up_ = false;       // the log is being closed and the target accepts nothing
  net::Fd event_;
  std::atomic<Sleep> sleep_{Sleep::awake};
  std::atomic<bool> stop_{false};
  std::atomic<bool> reopen_{false};
  std::atomic<std::uint64_t> write_failed_{0};
  std::mutex flush_mutex_;
  std::condition_variable flushed_;
  std::uint64_t flushes_asked_ = 0;
  std::uint64_t flushes_done_ = 0;
  std::thread thread_;
};

}  // namespace outrigger::telemetry
