#include "upstream/endpoint_set.h"

#include <algorithm>
#include <string>
#include <unordered_set>

namespace outrigger::upstream {
namespace {

// FNV-1a over the bytes and the length of each part, with a final mix (SplitMix64's), since FNV's
// low bits alone are weak.
class Hash {
 public:
  void add(std::string_view text) {
    for (const char c : text) add_byte(static_cast<unsigned char>(c));
    for (std::uint64_t n = text.size(), i = 0; i < 4; ++i, n >>= 8) add_byte(n & 0xff);
  }
  std::uint64_t value() const {
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }

 private:
  void add_byte(std::uint64_t byte) { state_ = (state_ ^ byte) * 0x100000001b3ULL; }
  std::uint64_t state_ = 0xcbf29ce484222325ULL;
};

}  // namespace

EndpointCells& EndpointState::cells(std::uint32_t worker) {
  EndpointCells* cells = cells_.load(std::memory_order_acquire);
  if (cells == nullptr) {
    auto fresh = std::make_unique<EndpointCells[]>(load_.workers());
    // Otherwise another worker was first, and `cells` is what it has made.
    if (cells_.compare_exchange_strong(cells, fresh.get(), std::memory_order_acq_rel))
      cells = fresh.release();
  }
  return cells[worker];
}

EndpointState::Totals EndpointState::totals() const {
  Totals totals;
  totals.active = load_.active();
  const EndpointCells* cells = cells_.load(std::memory_order_acquire);
  for (std::uint32_t i = 0; cells != nullptr && i < load_.workers(); ++i) {
    totals.requests += cells[i].requests.value();
    totals.failures += cells[i].failures.value();
    totals.connections += cells[i].connections.value();
    totals.latency = std::max(totals.latency, Duration(cells[i].latency.value()));
  }
  return totals;
}

std::shared_ptr<EndpointState> EndpointStates::get(std::uint64_t identity) {
  const std::lock_guard lock(mutex_);
  std::weak_ptr<EndpointState>& entry = states_[identity];
  std::shared_ptr<EndpointState> state = entry.lock();
  if (state == nullptr) {
    state = std::make_shared<EndpointState>(identity, workers_);
    entry = state;
    if (states_.size() >= sweep_at_) sweep();
  }
  return state;
}

std::shared_ptr<EndpointState> EndpointStates::find(std::uint64_t identity) const {
  const std::lock_guard lock(mutex_);
  const auto found = states_.find(identity);
  return found == states_.end() ? nullptr : found->second.lock();
}

std::size_t EndpointStates::alive() const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(std::count_if(states_.begin(), states_.end(),
                                                [](const auto& s) { return !s.second.expired(); }));
}

// Removes expired entries each time the map has doubled, so that churn of addresses does not fill
// it.
void EndpointStates::sweep() {
  std::erase_if(states_, [](const auto& s) { return s.second.expired(); });
  sweep_at_ = std::max<std::size_t>(1024, states_.size() * 2);
}

std::uint64_t identity_of(std::string_view service, const config::Address& address,
                          std::span<const std::string> expect_ids) {
  Hash hash;
  hash.add(service);
  hash.add(address.host);
  hash.add(std::to_string(address.is_unix ? -1 : address.port));
  for (const std::string& id : expect_ids) hash.add(id);
  return hash.value();
}

std::shared_ptr<const EndpointSet> EndpointSet::make(std::string_view service,
                                                     std::vector<config::Endpoint> endpoints,
                                                     std::span<const std::string> expect_ids,
                                                     EndpointStates& states) {
  std::shared_ptr<EndpointSet> set(new EndpointSet);  // NOLINT: the constructor is private
  std::unordered_set<std::uint64_t> seen;
  set->endpoints_.reserve(endpoints.size());
  for (config::Endpoint& endpoint : endpoints) {
    if (endpoint.weight == 0) continue;
    const std::uint64_t identity = identity_of(service, endpoint.address, expect_ids);
    if (!seen.insert(identity).second) continue;
    set->endpoints_.push_back({std::move(endpoint), identity, states.get(identity)});
  }

  set->endpoints_.shrink_to_fit();  // balanced_ points into it from here on
  set->balanced_.reserve(set->endpoints_.size());
  for (const EndpointInfo& e : set->endpoints_) {
    set->balanced_.push_back({.identity = e.identity,
                              .weight = e.value.weight,
                              .priority = 0,
                              .host = e.value.address.host,
                              .port = e.value.address.port,
                              .cloud = e.value.locality.cloud,
                              .region = e.value.locality.region,
                              .zone = e.value.locality.zone,
                              .labels = &e.value.labels,
                              .load = &e.state->load()});
  }
  return set;
}

std::optional<std::uint32_t> EndpointSet::find(std::uint64_t identity) const {
  for (std::uint32_t i = 0; i < endpoints_.size(); ++i) {
    if (endpoints_[i].identity == identity) return i;
  }
  return std::nullopt;
}

void Eligibility::reset(std::size_t count) {
  words_.assign((count + 63) / 64, ~0ULL);
  if (count % 64 != 0) words_.back() = (1ULL << (count % 64)) - 1;
  count_ = eligible_ = count;
}

void Eligibility::set(std::uint32_t index, bool eligible) {
  if (get(index) == eligible) return;
  words_[index / 64] ^= 1ULL << (index % 64);
  eligible_ += eligible ? 1 : static_cast<std::size_t>(-1);
}

}  // namespace outrigger::upstream
