#include "telemetry/metrics.h"

#include <array>
#include <utility>

#include "base/check.h"
#include "net/transport.h"
#include "telemetry/process.h"

namespace outrigger::telemetry {
namespace {

constexpr std::string_view compiler =
#if defined(__clang__)
    "clang " __clang_version__;
#else
    "gcc " __VERSION__;
#endif

static_assert(static_cast<std::size_t>(net::TlsFailure::truncated) < TlsCells::timeout);
constexpr std::array<std::string_view, TlsCells::results> tls_results = {
    "ok", "protocol", "certificate", "identity", "peer_refused", "flood", "truncated", "timeout"};
constexpr std::array<std::string_view, TlsCells::versions> tls_versions = {"", "TLSv1.2",
                                                                           "TLSv1.3"};

constexpr std::array close_reasons = {
    net::CloseReason::finished,          net::CloseReason::peer_closed,
    net::CloseReason::peer_reset,        net::CloseReason::connect_failed,
    net::CloseReason::connect_timeout,   net::CloseReason::handshake_failed,
    net::CloseReason::handshake_timeout, net::CloseReason::tls_failed,
    net::CloseReason::io_error,          net::CloseReason::aborted,
    net::CloseReason::timed_out,         net::CloseReason::write_stalled};
static_assert(static_cast<std::size_t>(close_reasons.back()) < ConnectionCells::reasons_max);

void gather_codec(Scrape& scrape, std::string_view side, const http::CodecCounters& c) {
  const auto count = [&](Family family, const Counter& counter) {
    scrape.counter(family, {side}, static_cast<double>(counter.value()));
  };
  const auto count_way = [&](Family family, std::string_view way, const Counter& counter) {
    scrape.counter(family, {side, way}, static_cast<double>(counter.value()));
  };
  count(Family::http_malformed, c.malformed);
  count(Family::http_too_large, c.too_large);
  count(Family::http_floods, c.floods);
  count(Family::http_twins, c.twins);
  count(Family::http_refused_streams, c.refused);
  count(Family::http_stalled_streams, c.stalled);
  count(Family::http_glitches, c.glitches);
  count_way(Family::http_resets, "received", c.resets_received);
  count_way(Family::http_resets, "sent", c.resets_sent);
  count_way(Family::http_goaways, "received", c.goaways_received);
  count_way(Family::http_goaways, "sent", c.goaways_sent);
  count(Family::http_keepalive_pings, c.keepalive_pings);
  count(Family::http_keepalive_timeouts, c.keepalive_timeouts);
}

void gather_tls(Scrape& scrape, std::string_view side, const TlsCells& cells) {
  for (std::size_t result = 0; result < TlsCells::results; ++result) {
    for (std::size_t version = 0; version < TlsCells::versions; ++version) {
      const std::uint64_t n = cells.ended[result][version].value();
      if (n == 0) continue;
      scrape.counter(Family::tls_handshakes, {side, tls_results[result], tls_versions[version]},
                     static_cast<double>(n));
    }
  }
}

// How many values a label of a family without services, listeners and endpoints can have.
std::uint64_t values_of(std::string_view label, int workers) {
  if (label == "worker") return static_cast<std::uint64_t>(workers);
  if (label == "side" || label == "way" || label == "cause") return 2;
  if (label == "name") return 3;  // of certificates
  // Failures have no version.
  if (label == "result") return TlsCells::results - 1 + TlsCells::versions;
  return 1;  // a version
}

}  // namespace

std::uint64_t reserved_series(int workers) {
  std::uint64_t count = 2 * fixed_series();
  for (const FamilyInfo& family : all_families()) {
    if (rank_of(family) > 0) continue;
    std::uint64_t series = family.type == MetricType::histogram ? exported_bounds().size() + 3 : 1;
    for (const std::string_view label : family.labels()) series *= values_of(label, workers);
    count += series;
  }
  return count;
}

ConnectionSeries::ConnectionSeries(Side side, Direction direction, std::string name, int workers)
    : side_(side),
      direction_(direction),
      name_(std::move(name)),
      workers_(workers),
      cells_(std::make_unique<Cells[]>(static_cast<std::size_t>(workers))) {}

ConnectionSeries::Cells& ConnectionSeries::at(int worker) {
  check(worker >= 0 && worker < workers_, "cells of a worker that does not exist");
  return cells_[static_cast<std::size_t>(worker)];
}

void ConnectionSeries::gather(Scrape& scrape) const {
  for (int i = 0; i < workers_; ++i) {
    const Cells& cells = cells_[static_cast<std::size_t>(i)];
    if (side_ == Side::upstream) gather_pool(scrape, cells.pool);
    gather_connections(scrape, cells.connections);
  }
}

void ConnectionSeries::gather_connections(Scrape& scrape, const ConnectionCells& cells) const {
  if (cells.opened.value() == 0 && cells.refused.value() == 0) return;
  const std::string_view way = to_string(direction_);
  const std::string_view listener = side_ == Side::downstream ? name_ : std::string_view();
  const std::string_view service = side_ == Side::upstream ? name_ : std::string_view();
  const auto count = [&](Family family, const Counter& counter) {
    scrape.counter(family, {way, listener, service}, static_cast<double>(counter.value()));
  };
  count(Family::connections_opened, cells.opened);
  count(Family::connection_received_bytes, cells.received_bytes);
  count(Family::connection_sent_bytes, cells.sent_bytes);
  if (side_ == Side::downstream) {
    scrape.counter(Family::connections_not_http, {way, listener},
                   static_cast<double>(cells.not_http.value()));
    scrape.counter(Family::connections_refused, {way, listener},
                   static_cast<double>(cells.refused.value()));
  }
  scrape.gauge(Family::connections_active, {way, listener, service},
               static_cast<double>(cells.active.value()));
  for (const net::CloseReason reason : close_reasons) {
    const std::uint64_t n = cells.closed[static_cast<std::size_t>(reason)].value();
    if (n == 0) continue;
    scrape.counter(Family::connections_closed, {way, listener, service, net::to_string(reason)},
                   static_cast<double>(n));
  }
}

void ConnectionSeries::gather_pool(Scrape& scrape, const PoolCells& cells) const {
  if (cells.hits.value() + cells.misses.value() + cells.overflows.value() == 0) return;
  const std::string_view way = to_string(direction_);
  const auto count = [&](Family family, const Counter& counter) {
    scrape.counter(family, {way, name_}, static_cast<double>(counter.value()));
  };
  count(Family::pool_hits, cells.hits);
  count(Family::pool_misses, cells.misses);
  count(Family::pool_overflows, cells.overflows);
  scrape.gauge(Family::pool_pending, {way, name_}, static_cast<double>(cells.pending.value()));
}

Metrics::Metrics(Options options)
    : options_(std::move(options)),
      workers_(std::make_unique<WorkerMetrics[]>(static_cast<std::size_t>(options_.workers))),
      peers_(options_.peers_max),
      budget_(
          std::make_shared<SeriesBudget>(options_.series_max, reserved_series(options_.workers))),
      stand_in_inbound_(std::make_shared<RequestSeries>(Direction::inbound, "other", "other",
                                                        options_.workers, budget_, nullptr)),
      stand_in_outbound_(std::make_shared<RequestSeries>(Direction::outbound, "other", "other",
                                                         options_.workers, budget_, nullptr)) {}

WorkerMetrics& Metrics::worker(int worker) {
  check(worker >= 0 && worker < options_.workers, "metrics of a worker that does not exist");
  return workers_[static_cast<std::size_t>(worker)];
}

std::shared_ptr<RequestSeries> Metrics::request_series(Direction direction,
                                                       std::string_view service,
                                                       std::string_view route) {
  const std::lock_guard lock(series_mutex_);
  RequestKey key{direction, service, route};
  return requests_.get(std::move(key), [&] {
    return std::make_shared<RequestSeries>(
        direction, std::string(service), std::string(route), options_.workers, budget_,
        direction == Direction::inbound ? stand_in_inbound_ : stand_in_outbound_);
  });
}

std::shared_ptr<ConnectionSeries> Metrics::connection_series(Side side, Direction direction,
                                                             std::string_view name) {
  const std::lock_guard lock(series_mutex_);
  ConnectionKey key{side, direction, name};
  return connections_.get(std::move(key), [&] {
    return std::make_shared<ConnectionSeries>(side, direction, std::string(name), options_.workers);
  });
}

Metrics::Collection::Collection(Collection&& other) noexcept
    : metrics_(std::exchange(other.metrics_, nullptr)), at_(other.at_) {}

Metrics::Collection& Metrics::Collection::operator=(Collection&& other) noexcept {
  if (this != &other) {
    drop();
    metrics_ = std::exchange(other.metrics_, nullptr);
    at_ = other.at_;
  }
  return *this;
}

Metrics::Collection::~Collection() {
  drop();
}

void Metrics::Collection::drop() {
  if (metrics_ == nullptr) return;
  const std::lock_guard lock(metrics_->scrape_mutex_);
  metrics_->collectors_.erase(at_);
  metrics_ = nullptr;
}

Metrics::Collection Metrics::collect(Collector collector) {
  const std::lock_guard lock(scrape_mutex_);
  collectors_.push_back(std::move(collector));
  return {*this, std::prev(collectors_.end())};
}

void Metrics::gather_for_monitoring(Scrape& scrape, TimePoint now) {
  const std::lock_guard lock(scrape_mutex_);
  gather_raw(scrape, now);
}

void Metrics::gather(Scrape& scrape, TimePoint now) {
  const std::lock_guard lock(scrape_mutex_);
  gather_raw(scrape, now);
  for (Sample& sample : scrape.samples()) {
    if (info(sample.family).type == MetricType::gauge) continue;
    const auto base = base_.find({sample.family, {sample.labels.begin(), sample.labels.end()}});
    if (base == base_.end()) continue;
    const BaseValue& before = base->second;
    const bool began_anew = sample.histogram != nullptr
                                ? sample.histogram->count() < before.histogram.count()
                                : sample.value < before.value;
    if (began_anew) {
      // For good: it must not fall back to zero once it has grown past what it was.
      base_.erase(base);
    } else if (sample.histogram != nullptr) {
      sample.histogram->subtract(before.histogram);
    } else {
      sample.value -= before.value;
    }
  }
}

void Metrics::reset_counters(TimePoint now) {
  const std::lock_guard lock(scrape_mutex_);
  Scrape scrape;
  gather_raw(scrape, now);
  base_.clear();
  for (const Sample& sample : scrape.samples()) {
    // The kernel's count of CPU time is not ours to reset.
    if (info(sample.family).type == MetricType::gauge || sample.family == Family::process_cpu) {
      continue;
    }
    BaseValue& base = base_[{sample.family, {sample.labels.begin(), sample.labels.end()}}];
    base.value = sample.value;
    if (sample.histogram != nullptr) base.histogram = *sample.histogram;
  }
}

// Series of the request path hold their share of the budget already, beside what is reserved; those
// of services, listeners and endpoints get what is left of it.
void Metrics::gather_raw(Scrape& scrape, TimePoint now) {
  std::vector<std::shared_ptr<RequestSeries>> requests;
  std::vector<std::shared_ptr<ConnectionSeries>> connections;
  {
    const std::lock_guard lock(series_mutex_);
    requests = requests_.sweep(now);
    connections = connections_.sweep(now);
  }
  const std::vector<std::string> peers = peers_.names();
  scrape.set_admitted(true);
  stand_in_inbound_->gather(scrape, peers);
  stand_in_outbound_->gather(scrape, peers);
  for (const auto& series : requests) series->gather(scrape, peers);
  scrape.set_admitted(false);

  gather_own(scrape);
  gather_workers(scrape);
  for (const auto& series : connections) series->gather(scrape);
  for (const Collector& collector : collectors_) collector(scrape);

  // What the next scrape leaves out is the same again.
  const std::uint64_t left_out = scrape.finish(budget_->max());
  if (left_out > left_out_most_) {
    budget_->refuse(left_out - left_out_most_);
    left_out_most_ = left_out;
  }
  for (Sample& sample : scrape.samples()) {
    if (sample.family == Family::series) sample.value = static_cast<double>(scrape.lines());
    if (sample.family == Family::series_refused) {
      sample.value = static_cast<double>(budget_->refused());
    }
  }
}

void Metrics::gather_workers(Scrape& scrape) const {
  for (int i = 0; i < options_.workers; ++i) {
    const WorkerMetrics& worker = workers_[static_cast<std::size_t>(i)];
    const std::string number = std::to_string(i);
    gather_codec(scrape, "downstream", worker.downstream_codec);
    gather_codec(scrape, "upstream", worker.upstream_codec);
    gather_tls(scrape, "downstream", worker.downstream_tls);
    gather_tls(scrape, "upstream", worker.upstream_tls);
    scrape.histogram(Family::loop_lag, {number}, worker.loop_lag);
    scrape.gauge(Family::buffer_bytes, {number}, static_cast<double>(worker.buffer_bytes.value()));
  }
}

void Metrics::gather_own(Scrape& scrape) const {
  scrape.gauge(Family::series, {}, 0);  // known at the end
  scrape.counter(Family::series_refused, {}, 0);
  scrape.gauge(Family::build_info, {options_.version, compiler}, 1);
  if (options_.process) telemetry::gather(scrape, read_process_stats());
}

}  // namespace outrigger::telemetry
