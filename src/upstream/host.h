#pragma once

// One endpoint on one worker: its address and its pools. Owned by the worker's Cluster; after a
// registry has withdrawn it, it lives until its last stream is done.

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "config/model.h"
#include "upstream/endpoint_set.h"
#include "upstream/pool.h"

namespace outrigger::upstream {

class Host {
 public:
  Host(const EndpointInfo& info, const net::SocketAddress& address, std::uint32_t worker)
      : cells(info.state->cells(worker)),
        endpoint_(info.value),
        state_(info.state),
        address_(address),
        name_(address.to_string()) {}

  const config::Endpoint& endpoint() const { return endpoint_; }
  const net::SocketAddress& address() const { return address_; }
  const std::string& name() const { return name_; }
  std::uint64_t identity() const { return state_->identity(); }
  EndpointState& state() { return *state_; }
  // Weight, locality and labels may change; the identity may not.
  void update(const config::Endpoint& endpoint) { endpoint_ = endpoint; }

  Pool& pool(Offer offer, ClientContext& context, const Connector& connector,
             policy::Breaker& breaker, const PoolCounters& counters) {
    auto& pool = pools_[static_cast<std::size_t>(offer)];
    if (!pool)
      pool = std::make_unique<Pool>(context, connector, breaker, counters, cells.connections,
                                    address_, offer);
    return *pool;
  }
  void drain() {
    for (auto& pool : pools_) {
      if (pool) pool->drain();
    }
  }
  bool idle() const {
    if (active.value() != 0) return false;
    for (const auto& pool : pools_) {
      if (pool && !pool->idle()) return false;
    }
    return true;
  }

  std::size_t connections() const {
    std::size_t sum = 0;
    for (const auto& pool : pools_) sum += pool ? pool->connections() : 0;
    return sum;
  }

  Gauge active;  // of this worker, of this host: one that has been withdrawn may have a successor
  EndpointCells& cells;

 private:
  config::Endpoint endpoint_;
  std::shared_ptr<EndpointState> state_;
  net::SocketAddress address_;
  std::string name_;
  std::array<std::unique_ptr<Pool>, 3> pools_;  // by Offer: http, http1, http2
};

}  // namespace outrigger::upstream
