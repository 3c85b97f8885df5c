#include "server/back_thread.h"

#include <pthread.h>

#include "admin/server.h"

namespace outrigger::server {

BackThread::BackThread(std::vector<Page> pages) {
  std::promise<net::EventLoop*> started;
  thread_ = std::thread([this, pages = std::move(pages), &started]() mutable { run(std::move(pages), started); });
  pthread_setname_np(thread_.native_handle(), "back");
  loop_ = started.get_future().get();
}

BackThread::~BackThread() {
  loop_->stop();
  thread_.join();
}

void BackThread::post(std::function<void()> task) { loop_->post(std::move(task)); }

void BackThread::run(std::vector<Page> pages, std::promise<net::EventLoop*>& started) {
  net::EventLoop loop;
  std::vector<std::unique_ptr<admin::PageServer>> servers;
  for (Page& page : pages) {
    servers.push_back(std::make_unique<admin::PageServer>(loop, *page.handler));
    servers.back()->listen(std::move(page.fd));
  }
  started.set_value(&loop);
  loop.run();
  servers.clear();
  loop.finish();
}

}  // namespace outrigger::server
