#pragma once

// The thread for slow work: admin pages and scrapes. It has a loop of its own, so that nothing here
// ever delays a request.

#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "admin/page_handler.h"
#include "admin/server.h"
#include "net/event_loop.h"
#include "net/socket.h"

namespace outrigger::server {

class BackThread {
 public:
  // One port and who answers on it.
  struct Page {
    net::Fd fd;
    std::unique_ptr<admin::PageHandler> handler;
    admin::PageServer::Options options = {};
  };
  // Starts the thread; the pages are served from then on.
  explicit BackThread(std::vector<Page> pages);
  // Ends it; answers under way are cut off.
  ~BackThread();
  // Runs it on the thread, in order. Any thread.
  void post(std::function<void()> task);
  BackThread(const BackThread&) = delete;
  BackThread& operator=(const BackThread&) = delete;

 private:
  void run(std::vector<Page> pages, std::promise<void>& started);

  std::mutex mutex_;                // guards loop_ against its own end
  net::EventLoop* loop_ = nullptr;  // lives on the thread
  std::thread thread_;
};

}  // namespace outrigger::server
