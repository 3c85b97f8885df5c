#pragma once

// The thread that reads and parses the files of registries, which takes seconds if they are large:
// probes and scrapes on the back thread do not wait for it, nor does the end of the process, except
// for a read that the kernel does not end. It has a low priority.

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "discovery/file_registry.h"

namespace outrigger::server {

class FilesThread {
 public:
  using Task = discovery::FileRegistry::Task;

  FilesThread();
  // Tells the running task to give up and waits for that; those that have not begun are dropped.
  ~FilesThread();
  // Runs it on the thread, in order. Any thread.
  void post(Task task);
  FilesThread(const FilesThread&) = delete;
  FilesThread& operator=(const FilesThread&) = delete;

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  std::atomic<bool> abandoned_{false};
  std::thread thread_;
};

}  // namespace outrigger::server
