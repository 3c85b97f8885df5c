#include "telemetry/request_cells.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"

namespace outrigger::telemetry {
namespace {

// What a cell counts, in the key's top byte, so that no key is 0.
enum class Kind : std::uint8_t {
  request = 1,
  retry,
  retry_budget_exhausted,
  replay_dropped,
};

constexpr int grpc_status_max = 16;
constexpr std::uint64_t grpc_other = grpc_status_max + 2;

constexpr std::uint64_t kind_key(Kind kind, std::uint64_t detail = 0) {
  return static_cast<std::uint64_t>(kind) << 56 | detail;
}

// kind 8 | status 16 | gRPC status 8, one up, 0 for none | flag 8 | peer 16
std::uint64_t request_key(const RequestOutcome& o) {
  const std::uint64_t grpc = o.grpc_status < 0 ? 0
                             : o.grpc_status > grpc_status_max
                                 ? grpc_other
                                 : static_cast<std::uint64_t>(o.grpc_status) + 1;
  const auto status = static_cast<std::uint64_t>(std::clamp(o.status, 0, 999));
  return kind_key(Kind::request,
                  status << 32 | grpc << 24 | static_cast<std::uint64_t>(o.flag) << 16 | o.peer);
}

std::size_t hash(std::uint64_t key) {
  return static_cast<std::size_t>((key * 0x9e3779b97f4a7c15ULL) >> 32);
}

std::string_view number_text(std::array<char, 24>& digits, std::uint64_t value) {
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  return {digits.data(), static_cast<std::size_t>(end - digits.data())};
}

constexpr std::array<std::string_view, retry_reason_count> reason_names = {
    "connect_failed",
    "stale_connection",
    "refused_stream",
    "not_processed",
    "reset",
    "reset_before_response",
    "per_try_timeout",
    "gateway_error",
    "5xx",
    "retriable_4xx",
    "retriable_headers",
    "status",
    "cancelled",
    "deadline_exceeded",
    "internal",
    "resource_exhausted",
    "unavailable",
};

}  // namespace

std::uint64_t fixed_series() {
  return exported_bounds().size() + 3 + 5;
}

std::string_view to_string(Direction direction) {
  return direction == Direction::inbound ? "inbound" : "outbound";
}

std::string_view to_string(RetryReason reason) {
  return reason_names[static_cast<std::size_t>(reason)];
}

PeerTable::PeerTable(std::size_t peers_max) : peers_max_(std::min<std::size_t>(peers_max, 60'000)) {
  numbers_.emplace("", nobody);
  numbers_.emplace("other", other);
}

PeerId PeerTable::intern(std::string_view identity) {
  if (identity.empty()) return nobody;
  const std::lock_guard lock(mutex_);
  std::string name(identity);
  if (const auto found = numbers_.find(name); found != numbers_.end()) return found->second;
  if (numbers_.size() >= peers_max_ + 2) return other;
  const auto number = static_cast<PeerId>(numbers_.size());
  numbers_.emplace(std::move(name), number);
  return number;
}

std::vector<std::string> PeerTable::names() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> out(numbers_.size());
  for (const auto& [name, number] : numbers_) out[number] = name;
  return out;
}

bool SeriesBudget::take(std::uint64_t count) {
  std::uint64_t used = used_;
  do {
    if (used + reserved_ + count > max_) return false;
  } while (!used_.compare_exchange_weak(used, used + count));
  return true;
}

RequestCells::~RequestCells() {
  Block* own = own_.load(std::memory_order_acquire);
  if (own == nullptr) return;
  for (Cell* cell = own->cells.load(std::memory_order_acquire); cell != nullptr;) {
    const std::unique_ptr<Cell> dead(cell);
    cell = dead->next;
  }
  delete own;
}

void RequestCells::open() {
  if (!series_->admit(0)) {
    stand_in_ = &series_->stand_in_->cells(static_cast<int>(this - series_->cells_.get()));
    block_ = &stand_in_->block();
    return;
  }
  block_ = new Block;
  own_.store(block_, std::memory_order_release);
}

void RequestCells::retried(RetryReason reason) {
  block();
  cell(kind_key(Kind::retry, static_cast<std::uint64_t>(reason))).add();
}

void RequestCells::retry_budget_exhausted() {
  block();
  cell(kind_key(Kind::retry_budget_exhausted)).add();
}

void RequestCells::replay_dropped() {
  block();
  cell(kind_key(Kind::replay_dropped)).add();
}

void RequestCells::finished(const RequestOutcome& outcome) {
  Block& b = block();
  b.active.sub();
  const auto micros = std::chrono::duration_cast<microseconds>(outcome.duration).count();
  b.duration.record(micros > 0 ? static_cast<std::uint64_t>(micros) : 0);
  if (outcome.bytes_in > 0) b.request_bytes.add(outcome.bytes_in);
  if (outcome.bytes_out > 0) b.response_bytes.add(outcome.bytes_out);
  request_cell(request_key(outcome)).add();
}

// Most requests end like the one before them.
Counter& RequestCells::request_cell(std::uint64_t key) {
  if (key != last_key_) {
    last_ = &cell(key);
    last_key_ = key;
  }
  return *last_;
}

Counter& RequestCells::cell(std::uint64_t key) {
  if (!slots_.empty()) {
    if (const Slot& slot = slot_of(key); slot.key == key) return *slot.counter;
  }
  return add_cell(key);
}

// The key's slot, or the empty one where it belongs. REQUIRES: !slots_.empty()
RequestCells::Slot& RequestCells::slot_of(std::uint64_t key) {
  const std::size_t mask = slots_.size() - 1;
  std::size_t i = hash(key) & mask;
  while (slots_[i].key != 0 && slots_[i].key != key) i = (i + 1) & mask;
  return slots_[i];
}

void RequestCells::grow() {
  std::vector<Slot> old(std::max<std::size_t>(8, slots_.size() * 2));
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.key != 0) slot_of(slot.key) = slot;
  }
}

// A key met for the first time by this worker. Refused ones are remembered as well, so that they
// cost no more than others from then on.
Counter& RequestCells::add_cell(std::uint64_t key) {
  const bool is_request = key >> 56 == static_cast<std::uint64_t>(Kind::request);
  Counter* const refused = is_request ? &block_->other : &block_->unlisted;
  if (used_ >= slots_max) return *refused;
  if (used_ * 2 >= slots_.size()) grow();
  Counter* counter = refused;
  if (stand_in_ != nullptr) {
    counter = &stand_in_->cell(key);
  } else if (series_->admit(key)) {
    auto* added = new Cell{key, {}, block_->cells.load(std::memory_order_relaxed)};
    block_->cells.store(added, std::memory_order_release);
    counter = &added->counter;
  }
  slot_of(key) = {key, counter};
  ++used_;
  return *counter;
}

RequestSeries::RequestSeries(Direction direction, std::string service, std::string route,
                             int workers, std::shared_ptr<SeriesBudget> budget,
                             std::shared_ptr<RequestSeries> stand_in)
    : direction_(direction),
      service_(std::move(service)),
      route_(std::move(route)),
      workers_(workers),
      cells_(std::make_unique<RequestCells[]>(static_cast<std::size_t>(workers))),
      budget_(std::move(budget)),
      stand_in_(std::move(stand_in)) {
  for (int i = 0; i < workers_; ++i) cells_[static_cast<std::size_t>(i)].series_ = this;
}

RequestSeries::~RequestSeries() {
  budget_->give(taken_);
}

RequestCells& RequestSeries::cells(int worker) {
  check(worker >= 0 && worker < workers_, "cells of a worker that does not exist");
  return cells_[static_cast<std::size_t>(worker)];
}

bool RequestSeries::admit(std::uint64_t key) {
  const std::lock_guard lock(mutex_);
  if (admitted_.contains(key)) return true;
  const std::uint64_t count = key == 0 ? fixed_series() : 1;
  if (stand_in_ != nullptr || key != 0) {
    if (!budget_->take(count)) {
      if (refused_.insert(key).second) budget_->refuse(count);
      return false;
    }
    taken_ += count;
  }
  admitted_.insert(key);
  return true;
}

void RequestSeries::gather(Scrape& scrape, const std::vector<std::string>& peers) const {
  const std::string_view way = to_string(direction_);
  for (int i = 0; i < workers_; ++i) {
    const auto* block = cells_[static_cast<std::size_t>(i)].own_.load(std::memory_order_acquire);
    if (block == nullptr) continue;
    const auto count = [&](Family family, std::uint64_t value) {
      scrape.counter(family, {way, service_, route_}, static_cast<double>(value));
    };
    scrape.histogram(Family::request_duration, {way, service_, route_}, block->duration);
    count(Family::request_bytes, block->request_bytes.value());
    count(Family::response_bytes, block->response_bytes.value());
    count(Family::upstream_attempts, block->attempts.value());
    scrape.gauge(Family::requests_active, {way, service_, route_},
                 static_cast<double>(block->active.value()));
    if (const std::uint64_t n = block->other.value(); n > 0) {
      scrape.counter(Family::requests, {way, service_, route_, "other", "", "", "other"},
                     static_cast<double>(n));
    }
    const auto* cell = block->cells.load(std::memory_order_acquire);
    for (; cell != nullptr; cell = cell->next) gather_cell(scrape, *cell, peers);
  }
}

void RequestSeries::gather_cell(Scrape& scrape, const RequestCells::Cell& cell,
                                const std::vector<std::string>& peers) const {
  const std::string_view way = to_string(direction_);
  const auto value = static_cast<double>(cell.counter.value());
  switch (static_cast<Kind>(cell.key >> 56)) {
    case Kind::request: {
      std::array<char, 24> status{};
      std::array<char, 24> grpc{};
      const std::uint64_t g = cell.key >> 24 & 0xff;
      const std::uint64_t peer = cell.key & 0xffff;
      const auto flag = static_cast<Flag>(cell.key >> 16 & 0xff);
      scrape.counter(Family::requests,
                     {way, service_, route_, number_text(status, cell.key >> 32 & 0xffff),
                      g == 0            ? ""
                      : g == grpc_other ? std::string_view("other")
                                        : number_text(grpc, g - 1),
                      letters(flag), peer < peers.size() ? std::string_view(peers[peer]) : "other"},
                     value);
      return;
    }
    case Kind::retry: {
      const auto reason = static_cast<RetryReason>(cell.key & 0xff);
      scrape.counter(Family::retries, {way, service_, route_, to_string(reason)}, value);
      return;
    }
    case Kind::retry_budget_exhausted:
      scrape.counter(Family::retry_budget_exhausted, {way, service_, route_}, value);
      return;
    case Kind::replay_dropped:
      scrape.counter(Family::replay_dropped, {way, service_, route_}, value);
      return;
  }
}

}  // namespace outrigger::telemetry
