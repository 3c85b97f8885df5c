// The request path allocates nothing once it has seen what it counts. Every operator new of this
// binary is counted here, per thread, so that other threads do not interfere.

#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "telemetry/access_log.h"
#include "telemetry/metrics.h"

namespace {

thread_local std::size_t allocations = 0;

void* counted(std::size_t size, std::size_t alignment) {
  ++allocations;
  void* memory =
      alignment <= alignof(std::max_align_t)
          ? std::malloc(size)
          : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (memory == nullptr) std::abort();
  return memory;
}

}  // namespace

// Not inlined: if only operator delete is inlined, gcc reports its free() as a mismatch with new.
[[gnu::noinline]] static void give_back(void* memory) {
  std::free(memory);
}
void* operator new(std::size_t size) {
  return counted(size, 1);
}
void* operator new[](std::size_t size) {
  return counted(size, 1);
}
void* operator new(std::size_t size, std::align_val_t align) {
  return counted(size, static_cast<std::size_t>(align));
}
void* operator new[](std::size_t size, std::align_val_t align) {
  return counted(size, static_cast<std::size_t>(align));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return counted(size, 1);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return counted(size, 1);
}
void operator delete(void* memory) noexcept {
  give_back(memory);
}
void operator delete[](void* memory) noexcept {
  give_back(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
  give_back(memory);
}
void operator delete[](void* memory, const std::nothrow_t&) noexcept {
  give_back(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  give_back(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  give_back(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  give_back(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
  give_back(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  give_back(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  give_back(memory);
}

namespace outrigger::telemetry {
namespace {

TEST(NoAllocation, the_count_counts) {
  const std::size_t before = allocations;
  delete new int(1);
  EXPECT_EQ(allocations, before + 1);
}

TEST(NoAllocation, requests) {
  Metrics metrics({.workers = 1, .process = false});
  const auto series = metrics.request_series(Direction::outbound, "orders", "r");
  RequestCells& cells = series->cells(0);
  const auto round = [&cells] {
    for (int status = 200; status < 600; ++status) {
      cells.started();
      cells.attempted();
      cells.retried(RetryReason::reset);
      cells.finished({.status = status, .duration = microseconds(status), .bytes_in = 1});
    }
  };
  round();
  const std::size_t before = allocations;
  for (int i = 0; i < 10; ++i) round();
  EXPECT_EQ(allocations, before);
}

TEST(NoAllocation, access_log_lines) {
  config::AccessLog options;
  options.path = "/dev/null";
  for (const auto format : {config::AccessLog::Format::json, config::AccessLog::Format::text,
                            config::AccessLog::Format::logfmt}) {
    options.format = format;
    auto log = AccessLog::open(options, 1, 1);
    ASSERT_TRUE(log.ok());
    AccessLogLane& lane = (*log)->lane(0);
    const std::size_t before = allocations;
    for (int i = 0; i < 1000; ++i) {
      lane.write({.service = "orders",
                  .method = "GET",
                  .path = "/some/path?query",
                  .status = 200,
                  .duration = milliseconds(3),
                  .peer = "spiffe://example.org/\"web\""});
    }
    EXPECT_EQ(allocations, before);
  }
}

}  // namespace
}  // namespace outrigger::telemetry
