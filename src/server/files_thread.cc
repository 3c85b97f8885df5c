#include "server/files_thread.h"

#include <pthread.h>
#include <sys/resource.h>

#include <utility>

#include "server/signals.h"

namespace outrigger::server {

FilesThread::FilesThread() {
  const Signals::Blocked blocked;
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), "files");
}

FilesThread::~FilesThread() {
  {
    const std::lock_guard lock(mutex_);
    abandoned_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void FilesThread::post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  changed_.notify_all();
}

void FilesThread::run() {
  // In Linux this is for the calling thread alone.
  constexpr int low = 10;
  setpriority(PRIO_PROCESS, 0, low);
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return abandoned_ || !tasks_.empty(); });
    if (abandoned_) return;
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task(abandoned_);
    task = nullptr;  // not under the lock
    lock.lock();
  }
}

}  // namespace outrigger::server
