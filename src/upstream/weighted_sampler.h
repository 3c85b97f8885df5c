#pragma once

// Draws an index with a probability in proportion to its weight, in constant time, by the alias
// method (Walker 1977, in Vose's linear construction of 1991). Equal weights need no table. One
// thread; a member of the balancer that uses it.

#include <cstdint>
#include <span>
#include <vector>

#include "base/random.h"
#include "outrigger/load_balancer.h"

namespace outrigger::upstream {

class WeightedSampler {
 public:
  // Linear in the number of endpoints.
  void build(std::span<const BalancedEndpoint> endpoints);

  // REQUIRES: build() was given at least one endpoint.
  std::uint32_t draw(Random& random) const {
    const std::uint64_t r = random.next();
    // The high half chooses the column, the low half which of the column's two entries.
    const auto column = static_cast<std::uint32_t>(((r >> 32) * size_) >> 32);
    if (columns_.empty()) return column;
    const Column& c = columns_[column];
    return static_cast<std::uint32_t>(r) < c.threshold ? column : c.alias;
  }
  bool equal_weights() const { return equal_; }

 private:
  struct Column {
    std::uint32_t threshold;  // in 2^-32
    std::uint32_t alias;
  };
  std::vector<Column> columns_;  // empty when all weights are equal
  std::uint32_t size_ = 0;
  bool equal_ = true;
};

}  // namespace outrigger::upstream
