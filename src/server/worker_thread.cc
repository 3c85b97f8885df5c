#include "server/worker_thread.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <string>

#include "server/signals.h"

namespace outrigger::server {

int Shared::open_connections() const {
  int sum = 0;
  for (const auto& thread : threads) sum += thread->open_connections();
  return sum;
}

WorkerThread* Shared::less_loaded_than(int index) const {
  if (threads.size() < 2) return nullptr;
  const int mine = threads[static_cast<std::size_t>(index)]->open_connections();
  WorkerThread* least = nullptr;
  int fewest = mine;
  for (const auto& thread : threads) {
    if (thread->open_connections() < fewest) {
      least = thread.get();
      fewest = thread->open_connections();
    }
  }
  // With many connections the kernel's spread is good enough; a hand-over costs a wake-up.
  constexpr int few = 64;
  const int tolerated = mine <= few ? 0 : mine / 8;
  return mine - fewest > tolerated ? least : nullptr;
}

WorkerThread::~WorkerThread() {
  stop();
  join();
}

void WorkerThread::start(std::shared_ptr<const Snapshot> snapshot,
                         std::vector<ListenSocket> sockets) {
  std::promise<void> ready;
  std::future<void> waiting = ready.get_future();
  const Signals::Blocked blocked;
  thread_ = std::thread([this, snapshot = std::move(snapshot), sockets = std::move(sockets),
                         ready = std::move(ready)]() mutable {
    run(std::move(snapshot), std::move(sockets), ready);
  });
  pthread_setname_np(thread_.native_handle(), ("worker-" + std::to_string(index_)).c_str());
  waiting.wait();
}

void WorkerThread::run(std::shared_ptr<const Snapshot> snapshot, std::vector<ListenSocket> sockets,
                       std::promise<void>& ready) {
  Worker worker(index_, shared_);
  worker.build(snapshot, std::move(sockets));
  snapshot.reset();  // the main thread has it for as long as a worker uses it
  {
    const std::lock_guard lock(mutex_);
    worker_ = &worker;
    if (orders_.snapshot || orders_.stage != Stage::serving) send_orders();
  }
  ready.set_value();
  worker.loop().run();
  const std::lock_guard lock(mutex_);
  worker_ = nullptr;
}

void WorkerThread::adopt(std::shared_ptr<const Snapshot> snapshot) {
  const std::lock_guard lock(mutex_);
  orders_.snapshot = std::move(snapshot);
  send_orders();
}

void WorkerThread::advance(Stage stage) {
  const std::lock_guard lock(mutex_);
  orders_.stage = std::max(orders_.stage, stage);
  send_orders();
}

void WorkerThread::send_orders() {
  if (worker_ == nullptr || orders_sent_) return;
  orders_sent_ = true;
  worker_->loop().post([this, worker = worker_] { carry_out_orders(*worker); });
}

void WorkerThread::carry_out_orders(Worker& worker) {
  Orders now;
  {
    const std::lock_guard lock(mutex_);
    now.stage = orders_.stage;
    now.snapshot = std::move(orders_.snapshot);
    orders_sent_ = false;
  }
  if (now.snapshot) worker.adopt(now.snapshot);
  worker.advance(now.stage);
  stage_.store(now.stage, std::memory_order_release);
}

bool WorkerThread::post(std::function<void(Worker&)> function) {
  const std::lock_guard lock(mutex_);
  if (worker_ == nullptr || posts_ >= posts_max) return false;
  ++posts_;
  worker_->loop().post([this, worker = worker_, function = std::move(function)] {
    --posts_;
    function(*worker);
  });
  return true;
}

bool WorkerThread::take(std::size_t door, net::Fd& fd, const net::SocketAddress& peer) {
  // std::function wants to be copied; the descriptor has one owner all the same.
  auto shared = std::make_shared<net::Fd>(std::move(fd));
  count_connection(1);  // at once, so that the next one goes elsewhere
  const bool posted =
      post([door, shared, peer](Worker& worker) { worker.take(door, std::move(*shared), peer); });
  if (posted) return true;
  count_connection(-1);
  fd = std::move(*shared);
  return false;
}

void WorkerThread::stop() {
  const std::lock_guard lock(mutex_);
  if (worker_ != nullptr) worker_->loop().stop();
}

void WorkerThread::join() {
  if (thread_.joinable()) thread_.join();
}

}  // namespace outrigger::server
