#pragma once

// Cells that low rooms count in. A cell is written by one thread (its worker) with plain adds and
// read by the scraping thread; the relaxed atomics make that defined without a locked instruction.
// Names, labels and export live in telemetry.

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

namespace outrigger {

class Counter {
 public:
  void add(std::uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// Goes up and down: connections open, requests active. One writer; may dip below zero only by a
// bug.
class Gauge {
 public:
  void add(std::int64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void sub(std::int64_t n = 1) { add(-n); }
  void set(std::int64_t n) { value_.store(n, std::memory_order_relaxed); }
  std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// A log-linear histogram of microseconds: four buckets to each power of two, from 1 µs to about
// 71 minutes, so that a bucket's width is at most a quarter of its value.
class Histogram {
 public:
  static constexpr int sub_bits = 2;
  static constexpr int bucket_count = 128;

  void record(std::uint64_t value) {
    buckets_[static_cast<std::size_t>(index_of(value))].add();
    sum_.add(value);
  }
  // The bucket of a value; the last one takes all that is larger.
  static constexpr int index_of(std::uint64_t value) {
    if (value < (1U << sub_bits)) return static_cast<int>(value);
    const int exponent = static_cast<int>(std::bit_width(value)) - 1;
    const int sub = static_cast<int>((value >> (exponent - sub_bits)) & ((1U << sub_bits) - 1));
    const int index = ((exponent - sub_bits + 1) << sub_bits) + sub;
    return index < bucket_count ? index : bucket_count - 1;
  }
  // The smallest value beyond bucket `index`, in microseconds.
  static constexpr std::uint64_t upper_bound(int index) {
    if (index < (1 << sub_bits)) return static_cast<std::uint64_t>(index) + 1;
    const int exponent = (index >> sub_bits) + sub_bits - 1;
    const std::uint64_t sub = static_cast<std::uint64_t>(index) & ((1U << sub_bits) - 1);
    return ((1ULL << sub_bits) + sub + 1) << (exponent - sub_bits);
  }
  std::uint64_t bucket(int index) const {
    return buckets_[static_cast<std::size_t>(index)].value();
  }
  std::uint64_t sum() const { return sum_.value(); }

 private:
  std::array<Counter, bucket_count> buckets_;
  Counter sum_;
};

}  // namespace outrigger
