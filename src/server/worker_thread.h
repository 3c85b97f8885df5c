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

  // What may wait to be run by a worker that is busy, beside its orders, which are one.
  static constexpr int posts_max = 1024;

  // Once, on the main thread; returns when the worker accepts connections.
  void start(std::shared_ptr<const Snapshot> snapshot, std::vector<ListenSocket> sockets);
  // Main thread: what the worker is to do next. Newer orders replace those it has not seen yet.
  void adopt(std::shared_ptr<const Snapshot> snapshot);
  void advance(Stage stage);
  // The stage that the worker has reached.
  Stage stage() const { return stage_.load(std::memory_order_acquire); }
  // Functions posted that have not run yet.
  int waiting() const { return posts_; }
  // False when the worker has not begun or has ended, or too much waits for it; then the function
  // is dropped.
  bool post(std::function<void(Worker&)> function);
  // A connection that another worker accepted. False when post() would say so; then `fd` stays the
  // caller's.
  bool take(std::size_t door, net::Fd& fd, const net::SocketAddress& peer);
  void stop();
  void join();

  int open_connections() const { return open_.load(std::memory_order_relaxed); }
  // On the worker's thread, or before handing a connection to it.
  void count_connection(int by) { open_.fetch_add(by, std::memory_order_relaxed); }

 private:
  void run(std::shared_ptr<const Snapshot> snapshot, std::vector<ListenSocket> sockets,
           std::promise<void>& ready);

  struct Orders {
    std::shared_ptr<const Snapshot> snapshot;  // a newer one, or none
    Stage stage = Stage::serving;
  };
  void send_orders();
  void carry_out_orders(Worker& worker);

  const int index_;
  Shared& shared_;
  std::atomic<int> open_{0};
  std::atomic<int> posts_{0};  // waiting
  std::atomic<Stage> stage_{Stage::serving};
  std::mutex mutex_;  // guards the orders, and worker_ against its own end
  Orders orders_;
  bool orders_sent_ = false;
  Worker* worker_ = nullptr;  // lives on the thread
  std::thread thread_;
};

}  // namespace outrigger::server
