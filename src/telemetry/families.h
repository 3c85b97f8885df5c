#pragma once

// Every metric there is: name, help, type and labels of each family, in one table. What is exported
// is in this table and nowhere else; docs/metrics.md is compared with it by a test.

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace outrigger::telemetry {

enum class Family : std::uint8_t {
  requests,
  request_duration,
  request_bytes,
  response_bytes,
  requests_active,
  upstream_attempts,
  retries,
  retry_budget_exhausted,
  replay_dropped,
  connections_opened,
  connections_closed,
  connections_active,
  connection_received_bytes,
  connection_sent_bytes,
  connections_not_http,
  connections_refused,
  pool_hits,
  pool_misses,
  pool_overflows,
  pool_pending,
  tls_handshakes,
  http_malformed,
  http_too_large,
  http_floods,
  http_twins,
  http_refused_streams,
  http_stalled_streams,
  http_glitches,
  http_resets,
  http_goaways,
  http_keepalive_pings,
  http_keepalive_timeouts,
  endpoints,
  endpoint_requests,
  endpoint_failures,
  endpoint_active,
  endpoint_latency,
  breaker_open,
  breaker_used,
  breaker_limit,
  config_info,
  certificate_expires,
  ready,
  buffer_bytes,
  loop_lag,
  worker_connections,
  access_log_lines,
  access_log_dropped,
  log_dropped,
  series,
  series_refused,
  build_info,
  process_cpu,
  process_resident,
  process_virtual,
  process_open_fds,
  process_max_fds,
  process_threads,
  process_start_time,
  count_,
};

enum class MetricType : std::uint8_t { counter, gauge, histogram };
std::string_view to_string(MetricType type);

struct FamilyInfo {
  static constexpr std::size_t labels_max = 7;

  Family family;
  std::string_view name;  // as exported in the text format: counters end in _total
  MetricType type;
  std::string_view unit;  // "seconds", "bytes" or empty; the name (without _total) ends in it
  std::string_view help;
  std::array<std::string_view, labels_max> label_names{};

  std::span<const std::string_view> labels() const;
};

const FamilyInfo& info(Family family);
std::span<const FamilyInfo> all_families();

// The upper bounds at which histograms are exported, in microseconds. The cells are finer.
std::span<const std::uint64_t> exported_bounds();

}  // namespace outrigger::telemetry
