#pragma once

// A bounded queue of bytes from one thread to another without locks. A push is taken whole or not
// at all, and the reader sees it whole. Positions only grow; the memory is a power of two.

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace outrigger::telemetry {

class ByteRing {
 public:
  // `capacity` is rounded up to a power of two.
  explicit ByteRing(std::size_t capacity)
      : size_(std::bit_ceil(capacity)), data_(std::make_unique<char[]>(size_)) {}
  ByteRing(const ByteRing&) = delete;
  ByteRing& operator=(const ByteRing&) = delete;

  std::size_t capacity() const { return size_; }

  // Writer. False when there is no room. The store is sequentially consistent so that the writer
  // can tell afterwards whether the reader sleeps (see AccessLog).
  bool push(std::string_view bytes) {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (bytes.size() > size_ - (tail - head_.load(std::memory_order_acquire))) return false;
    const std::size_t at = tail & (size_ - 1);
    const std::size_t first = std::min(bytes.size(), size_ - at);
    std::memcpy(data_.get() + at, bytes.data(), first);
    std::memcpy(data_.get(), bytes.data() + first, bytes.size() - first);
    tail_.store(tail + bytes.size(), std::memory_order_seq_cst);
    return true;
  }
  // Either side; a moment's value.
  std::size_t used() const {
    const std::size_t head = head_.load(std::memory_order_acquire);
    return tail_.load(std::memory_order_seq_cst) - head;
  }

  // Reader. What there is, in at most two pieces.
  std::array<std::string_view, 2> readable() const {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    const std::size_t count = tail_.load(std::memory_order_seq_cst) - head;
    const std::size_t at = head & (size_ - 1);
    const std::size_t first = std::min(count, size_ - at);
    return {std::string_view(data_.get() + at, first),
            std::string_view(data_.get(), count - first)};
  }
  // Reader. REQUIRES: count <= used()
  void consume(std::size_t count) {
    head_.store(head_.load(std::memory_order_relaxed) + count, std::memory_order_release);
  }

 private:
  const std::size_t size_;
  const std::unique_ptr<char[]> data_;
  alignas(64) std::atomic<std::size_t> tail_{0};  // written up to here
  alignas(64) std::atomic<std::size_t> head_{0};  // read up to here
};

}  // namespace outrigger::telemetry
