#pragma once

// A worker's thread as others hold it. Every method is for any thread unless it says otherwise;
// what is asked of the worker runs on its loop.

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "server/shared.h"
#include "server/snapshot.h"
#include "server/worker.h"

namespace outrigger::server {

class WorkerThread {
 public:
  WorkerThread(int index, Shared& shared) : index_(index), shared_(shared) {}
  // Ends the thread at once.
  ~WorkerThread();
  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;

  // Once, on the main thread; returns when the worker accepts connections.
  void start(std::shared_ptr<const Snapshot> snapshot, std::vector<ListenSocket> sockets);
  // False when the worker has not begun or has ended; then the function is dropped.
  bool post(std::function<void(Worker&)> function);
  // Runs it and waits for what it returns; the default value when the worker does not answer in a
  // second.
  template <typename T>
  T ask(std::function<T(Worker&)> function) {
    auto answer = std::make_shared<std::promise<T>>();
    std::future<T> future = answer->get_future();
    post([answer, function = std::move(function)](Worker& worker) {
      answer->set_value(function(worker));
    });
    return future.wait_for(std::chrono::seconds(1)) == std::future_status::ready ? future.get()
                                                                                 : T{};
  }
  // A connection that another worker accepted. False when the worker has not begun or has ended;
  // then `fd` stays the caller's.
  bool take(std::size_t door, net::Fd& fd, const net::SocketAddress& peer);
  void stop();
  void join();

  int open_connections() const { return open_.load(std::memory_order_relaxed); }
  // On the worker's thread, or before handing a connection to it.
  void count_connection(int by) { open_.fetch_add(by, std::memory_order_relaxed); }

 private:
  void run(const std::shared_ptr<const Snapshot>& snapshot, std::vector<ListenSocket> sockets,
           std::promise<void>& ready);

  const int index_;
  Shared& shared_;
  std::atomic<int> open_{0};
  std::mutex mutex_;          // guards worker_ against its own end
  Worker* worker_ = nullptr;  // lives on the thread
  std::thread thread_;
};

}  // namespace outrigger::server
