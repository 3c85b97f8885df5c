#include "server/back_thread.h"

#include <pthread.h>

#include "admin/server.h"

namespace outrigger::server {

BackThread::BackThread(std::vector<Page> pages)
    : thread_([this, pages = std::move(pages)]() mutable { run(std::move(pages)); }) {
  pthread_setname_np(thread_.native_handle(), "back");
}

BackThread::~BackThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    if (loop_ != nullptr) loop_->stop();
  }
  thread_.join();
}

void BackThread::run(std::vector<Page> pages) {
  net::EventLoop loop;
  std::vector<std::unique_ptr<admin::PageServer>> servers;
  for (Page& page : pages) {
    servers.push_back(std::make_unique<admin::PageServer>(loop, *page.handler));
    servers.back()->listen(std::move(page.fd));
  }
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    loop_ = &loop;
  }
  loop.run();
  const std::lock_guard lock(mutex_);
  loop_ = nullptr;
  servers.clear();
  loop.finish();
}

}  // namespace outrigger::server
