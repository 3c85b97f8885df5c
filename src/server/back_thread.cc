#include "server/back_thread.h"

#include <pthread.h>

#include "server/signals.h"

namespace outrigger::server {

BackThread::BackThread(std::vector<Page> pages) {
  std::promise<void> started;
  std::future<void> waiting = started.get_future();
  const Signals::Blocked blocked;
  thread_ = std::thread([this, pages = std::move(pages), started = std::move(started)]() mutable {
    run(std::move(pages), started);
  });
  pthread_setname_np(thread_.native_handle(), "back");
  waiting.wait();
}

BackThread::~BackThread() {
  {
    const std::lock_guard lock(mutex_);
    if (loop_ != nullptr) loop_->stop();
  }
  thread_.join();
}

void BackThread::post(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  if (loop_ != nullptr) loop_->post(std::move(task));
}

void BackThread::run(std::vector<Page> pages, std::promise<void>& started) {
  net::EventLoop loop;
  std::vector<std::unique_ptr<admin::PageServer>> servers;
  for (Page& page : pages) {
    servers.push_back(std::make_unique<admin::PageServer>(loop, *page.handler, page.options));
    servers.back()->listen(std::move(page.fd));
  }
  {
    const std::lock_guard lock(mutex_);
    loop_ = &loop;
  }
  started.set_value();
  loop.run();
  {
    // Who stops the loop may still be in its stop() when run() returns.
    const std::lock_guard lock(mutex_);
    loop_ = nullptr;
  }
  servers.clear();
  loop.finish();
}

}  // namespace outrigger::server
