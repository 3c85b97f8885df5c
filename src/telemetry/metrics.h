#pragma once

// The registry of all cells. One for the process, owned by the server, older than the workers and
// gone after them.
//
// Making series and scraping is for the main and back threads (any thread may; a mutex guards the
// lists). Counting is for the workers, each in its own cells, without a lock:
//
//   auto series = metrics.request_series(Direction::outbound, "orders", "beta-users");  // compile
//   series->cells(worker).started();                                                    // worker
//   Scrape scrape;  metrics.gather(scrape, loop.now());                                 // scrape
//
// Values that live in other rooms (endpoints, breakers, certificates) come from collectors, which
// are asked at each scrape.

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/time.h"
#include "base/traffic_cells.h"
#include "http/codec.h"
#include "net/connection.h"
#include "telemetry/request_cells.h"
#include "telemetry/scrape.h"
#include "telemetry/series_map.h"

namespace outrigger::telemetry {

// What one worker counts besides requests and connections; written by its thread only. Owned by
// Metrics.
struct alignas(64) WorkerMetrics {
  http::CodecCounters downstream_codec;
  http::CodecCounters upstream_codec;
  TlsCells downstream_tls;
  TlsCells upstream_tls;
  Histogram loop_lag;  // microseconds that the longest turn of each second took
  Gauge buffer_bytes;
};

// Series that are always there, whatever max_series says: those of a process with this many workers,
// as many as there can be, and those that stand in for refused ones.
std::uint64_t reserved_series(int workers);

enum class Side : std::uint8_t { downstream, upstream };

// The connections of one listener (downstream) or one service (upstream), a set of cells for each
// worker. Shared by those who compile the configuration; workers count in their own cells.
class ConnectionSeries {
 public:
  ConnectionSeries(Side side, Direction direction, std::string name, int workers);

  // REQUIRES: 0 <= worker < workers
  ConnectionCells& connections(int worker) { return at(worker).connections; }
  // Upstream only.
  PoolCells& pool(int worker) { return at(worker).pool; }

  // Adds what the workers have counted. Any thread.
  void gather(Scrape& scrape) const;

 private:
  struct alignas(64) Cells {
    ConnectionCells connections;
    PoolCells pool;
  };
  Cells& at(int worker);
  void gather_connections(Scrape& scrape, const ConnectionCells& cells) const;
  void gather_pool(Scrape& scrape, const PoolCells& cells) const;

  const Side side_;
  const Direction direction_;
  const std::string name_;
  const int workers_;
  std::unique_ptr<Cells[]> cells_;
};

class Metrics {
 public:
  struct Options {
    int workers = 1;
    std::uint64_t series_max = 20'000;
    std::size_t peers_max = 1000;
    std::string version{};  // of the build
    bool process = true;    // export what the kernel knows about this process
  };
  using Collector = std::function<void(Scrape&)>;

  explicit Metrics(Options options);
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  int workers() const { return options_.workers; }
  // REQUIRES: 0 <= worker < workers()
  WorkerMetrics& worker(int worker);
  // The same series for the same names, for as long as somebody holds it and ten minutes more.
  // `service` and `route` may be empty where there was none (flag NR).
  std::shared_ptr<RequestSeries> request_series(Direction direction, std::string_view service,
                                                std::string_view route);
  // `name`: the listener's (downstream) or the service's (upstream).
  std::shared_ptr<ConnectionSeries> connection_series(Side side, Direction direction,
                                                      std::string_view name);
  // The number of a verified identity; once for a connection.
  PeerId peer(std::string_view identity) { return peers_.intern(identity); }

  // A collector's registration: once its destructor has returned the collector does not run.
  class Collection {
   public:
    Collection() = default;
    Collection(Collection&& other) noexcept;
    Collection& operator=(Collection&& other) noexcept;
    ~Collection();

   private:
    friend class Metrics;
    Collection(Metrics& metrics, std::list<Collector>::iterator at) : metrics_(&metrics), at_(at) {}
    void drop();
    Metrics* metrics_ = nullptr;
    std::list<Collector>::iterator at_;
  };
  // The collector runs on the scraping thread, one scrape at a time. It may ask for series, but
  // must not gather, reset or register. The handle must not outlive this object.
  [[nodiscard]] Collection collect(Collector collector);

  // Everything there is, sorted and merged; counters and histograms as they have grown since the
  // last reset.
  void gather(Scrape& scrape, TimePoint now);
  // The same for monitoring: counters as they have grown since the start, which never go back.
  void gather_for_monitoring(Scrape& scrape, TimePoint now);
  // The cells have one writer each, so what they hold now is remembered and subtracted from then
  // on.
  void reset_counters(TimePoint now);
  void set_series_max(std::uint64_t series_max) { budget_->set_max(series_max); }

 private:
  using RequestKey = std::tuple<Direction, std::string, std::string>;
  using ConnectionKey = std::tuple<Side, Direction, std::string>;
  using BaseKey = std::pair<Family, std::vector<std::string>>;
  struct BaseValue {
    double value = 0;
    HistogramValue histogram;
  };

  void gather_raw(Scrape& scrape, TimePoint now);
  void gather_workers(Scrape& scrape) const;
  void gather_own(Scrape& scrape) const;

  const Options options_;
  std::unique_ptr<WorkerMetrics[]> workers_;
  PeerTable peers_;
  std::shared_ptr<SeriesBudget> budget_;
  std::shared_ptr<RequestSeries> stand_in_inbound_;
  std::shared_ptr<RequestSeries> stand_in_outbound_;
  std::mutex series_mutex_;  // the two maps
  SeriesMap<RequestKey, RequestSeries> requests_;
  SeriesMap<ConnectionKey, ConnectionSeries> connections_;
  std::mutex scrape_mutex_;  // collectors and the base; held while collectors run
  std::list<Collector> collectors_;
  std::map<BaseKey, BaseValue> base_;
  std::uint64_t left_out_most_ = 0;  // lines, in one scrape
};

}  // namespace outrigger::telemetry
