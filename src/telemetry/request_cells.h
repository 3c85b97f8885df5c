#pragma once

// Where requests are counted. A RequestSeries stands for one (direction, service, route); it is
// found by name once, when the configuration is compiled, and has one RequestCells for each worker.
// A worker counts in its own cells with plain adds: no lock, no name, no allocation once a
// combination of labels has been seen. A scrape on another thread reads the same cells: what is new
// is published by one release store and never moves afterwards.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/flags.h"
#include "base/metric_cells.h"
#include "base/time.h"
#include "telemetry/scrape.h"

namespace outrigger::telemetry {

enum class Direction : std::uint8_t { inbound, outbound };
std::string_view to_string(Direction direction);

// What made another attempt necessary; named as in the configuration's retry_on where it is there.
enum class RetryReason : std::uint8_t {
  connect_failed,
  stale_connection,
  refused_stream,
  not_processed,
  reset,
  reset_before_response,
  per_try_timeout,
  gateway_error,
  server_error,
  retriable_4xx,
  retriable_headers,
  status,
  grpc_cancelled,
  grpc_deadline_exceeded,
  grpc_internal,
  grpc_resource_exhausted,
  grpc_unavailable,
};
inline constexpr int retry_reason_count = static_cast<int>(RetryReason::grpc_unavailable) + 1;
std::string_view to_string(RetryReason reason);

// A verified identity as a small number, so that cells are found without comparing text.
using PeerId = std::uint16_t;

// Gives identities their numbers. Any thread: asked once for a connection, after its handshake,
// never for a request. At most `peers_max` identities; all later ones share `other`.
class PeerTable {
 public:
  static constexpr PeerId nobody = 0;
  static constexpr PeerId other = 1;

  explicit PeerTable(std::size_t peers_max);
  PeerId intern(std::string_view identity);
  // Identities by number.
  std::vector<std::string> names() const;

 private:
  mutable std::mutex mutex_;
  std::size_t peers_max_;
  std::unordered_map<std::string, PeerId> numbers_;
};

// Series that exist as soon as there was one request: the duration's buckets, +Inf, sum and count,
// bytes both ways, active, attempts, and the one for requests whose own was refused.
std::uint64_t fixed_series();

// How many series there may be. Any thread; asked only when a series is new.
class SeriesBudget {
 public:
  // `reserved`: of them, those that never ask.
  SeriesBudget(std::uint64_t series_max, std::uint64_t reserved)
      : reserved_(reserved), max_(series_max) {}
  // False when there is no room for `count` more.
  bool take(std::uint64_t count);
  void give(std::uint64_t count) { used_ -= count; }
  void refuse(std::uint64_t count) { refused_ += count; }
  void set_max(std::uint64_t series_max) { max_ = series_max; }
  std::uint64_t max() const { return max_; }
  std::uint64_t refused() const { return refused_; }

 private:
  const std::uint64_t reserved_;
  std::atomic<std::uint64_t> max_;
  std::atomic<std::uint64_t> used_{0};
  std::atomic<std::uint64_t> refused_{0};
};

// How one request ended.
struct RequestOutcome {
  int status = 0;        // 0: there was no answer
  int grpc_status = -1;  // -1: not gRPC
  Flag flag = Flag::none;
  PeerId peer = PeerTable::nobody;
  Duration duration{};
  std::uint64_t bytes_in = 0;   // of the request's body
  std::uint64_t bytes_out = 0;  // of the answer's body
};

class RequestSeries;

// One worker's cells of one series; that worker's thread only. Owned by the series.
//
//   cells.started();  cells.attempted();  cells.retried(…);  cells.attempted();
//   cells.finished(outcome);              // each started() has exactly one finished()
class alignas(64) RequestCells {
 public:
  RequestCells() = default;
  RequestCells(const RequestCells&) = delete;
  RequestCells& operator=(const RequestCells&) = delete;
  ~RequestCells();

  void started() { block().active.add(); }
  void attempted() { block().attempts.add(); }
  void retried(RetryReason reason);
  void retry_budget_exhausted();
  void replay_dropped();
  void finished(const RequestOutcome& outcome);

 private:
  friend class RequestSeries;
  // A counter whose labels go beyond the series'. Published through `next`, from the newest on.
  struct Cell {
    std::uint64_t key;
    Counter counter;
    Cell* next;
  };
  // Allocated at the first request.
  struct Block {
    Histogram duration;
    Counter request_bytes;
    Counter response_bytes;
    Gauge active;
    Counter attempts;
    Counter other;     // requests whose own cell was refused
    Counter unlisted;  // retries and the like whose cell was refused; not exported
    std::atomic<Cell*> cells{nullptr};
  };
  struct Slot {
    std::uint64_t key = 0;
    Counter* counter = nullptr;
  };
  // Slots of combinations seen, refused ones included; beyond it all is `other`.
  static constexpr std::size_t slots_max = 4096;

  Block& block() {
    if (block_ == nullptr) [[unlikely]] {
      open();
    }
    return *block_;
  }
  Counter& cell(std::uint64_t key);
  Counter& request_cell(std::uint64_t key);
  Counter& add_cell(std::uint64_t key);
  Slot& slot_of(std::uint64_t key);
  void grow();
  void open();

  RequestSeries* series_ = nullptr;
  RequestCells* stand_in_ = nullptr;  // counts for us when we were refused
  Block* block_ = nullptr;            // ours or the stand-in's
  std::uint64_t last_key_ = 0;
  Counter* last_ = nullptr;
  std::vector<Slot> slots_;  // open addressing, a power of two, at most half full
  std::size_t used_ = 0;
  std::atomic<Block*> own_{nullptr};  // for the scrape
};

class RequestSeries {
 public:
  // `stand_in` null: this is a stand-in itself and never refused; its fixed series are reserved.
  RequestSeries(Direction direction, std::string service, std::string route, int workers,
                std::shared_ptr<SeriesBudget> budget, std::shared_ptr<RequestSeries> stand_in);
  RequestSeries(const RequestSeries&) = delete;
  RequestSeries& operator=(const RequestSeries&) = delete;
  ~RequestSeries();

  // REQUIRES: 0 <= worker < workers
  RequestCells& cells(int worker);
  Direction direction() const { return direction_; }
  const std::string& service() const { return service_; }
  const std::string& route() const { return route_; }

  // Adds what the workers have counted. Any thread. `peers`: PeerTable::names().
  void gather(Scrape& scrape, const std::vector<std::string>& peers) const;

 private:
  friend class RequestCells;
  // Whether there is room for the series of this key (0: the fixed ones); the same answer to every
  // worker. Only when a worker meets a key for the first time.
  bool admit(std::uint64_t key);
  void gather_cell(Scrape& scrape, const RequestCells::Cell& cell,
                   const std::vector<std::string>& peers) const;

  const Direction direction_;
  const std::string service_;
  const std::string route_;
  const int workers_;
  std::unique_ptr<RequestCells[]> cells_;
  std::shared_ptr<SeriesBudget> budget_;
  std::shared_ptr<RequestSeries> stand_in_;
  std::mutex mutex_;
  std::unordered_set<std::uint64_t> admitted_;
  std::unordered_set<std::uint64_t> refused_;
  std::uint64_t taken_ = 0;
};

}  // namespace outrigger::telemetry
