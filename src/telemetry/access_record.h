#pragma once

// What the access log says about one exchange or one TCP session, and the three formats for it.
// Pure: the line is formatted into memory that the caller provides, without allocation.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/flags.h"
#include "base/time.h"
#include "config/model.h"
#include "telemetry/request_cells.h"

namespace outrigger::telemetry {

// All text is borrowed for the call. Empty means unknown or not applicable: it is left out of JSON
// and logfmt and is "-" in text.
struct AccessRecord {
  WallTime time{};  // when it began
  Direction direction = Direction::inbound;
  std::string_view service{};
  std::string_view route{};
  std::string_view endpoint{};  // address of the last attempt's endpoint
  std::string_view locality{};  // of that endpoint: "aws/eu-west-1/a"
  std::string_view method{};    // empty for a TCP session
  std::string_view path{};      // anything from '?' on is not written
  int status = 0;
  int grpc_status = -1;  // -1: not gRPC
  Flag flag = Flag::none;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  Duration duration{};
  std::optional<Duration> upstream_duration{};  // of the last attempt
  int attempts = 0;
  std::string_view peer{};  // verified identity
  std::string_view trace_id{};
  std::string_view request_id{};
  std::string_view protocol_in{};   // "HTTP/1.1", "HTTP/2", "tcp"
  std::string_view protocol_out{};  // to the endpoint
  std::string_view tls_version{};   // of the downstream connection
};

// A line in memory of fixed size. What does not fit is cut off; line_max holds any record.
class LineBuilder {
 public:
  LineBuilder(char* data, std::size_t capacity) : data_(data), capacity_(capacity) {}

  void push_back(char c) {
    if (size_ < capacity_) data_[size_++] = c;
  }
  void append(const char* text, std::size_t size) {
    if (size > capacity_ - size_) size = capacity_ - size_;
    if (size > 0) std::memcpy(data_ + size_, text, size);
    size_ += size;
  }
  std::string_view view() const { return {data_, size_}; }

 private:
  char* data_;
  std::size_t capacity_;
  std::size_t size_ = 0;
};

// Maximum bytes written of a text field; the path and the peer's identity have limits of their own.
inline constexpr std::size_t access_text_max = 256;
inline constexpr std::size_t access_peer_max = 512;
inline constexpr std::size_t access_path_max = 2048;
// No record's line is longer, whatever is escaped (at most six bytes per byte).
inline constexpr std::size_t access_line_max = 40 * 1024;
static_assert(access_line_max >
              6 * (10 * access_text_max + access_peer_max + access_path_max) + 1024);

// Appends the line with its newline.
//   json    {"time":"2026-11-22T10:00:00.123456Z","direction":"inbound",…,"duration_ms":3.214,…}
//   logfmt  time=2026-11-22T10:00:00.123456Z direction=inbound … duration_ms=3.214 …
//   text    TIME DIRECTION "METHOD PATH PROTOCOL" STATUS GRPC_STATUS FLAG BYTES_IN BYTES_OUT
//           DURATION_MS UPSTREAM_MS ATTEMPTS SERVICE ROUTE ENDPOINT LOCALITY PEER REQUEST_ID
//           TRACE_ID PROTOCOL_OUT TLS_VERSION
void format_access(LineBuilder& line, config::AccessLog::Format format, const AccessRecord& record);

// Whether the log's `always: [errors]` applies to this record: no response, 5xx, a failed gRPC
// status, or a reason flag.
bool is_error(const AccessRecord& record);

}  // namespace outrigger::telemetry
