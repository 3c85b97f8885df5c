#pragma once

// What the kernel knows about this process: CPU, memory, descriptors, start time. Reads /proc; cold
// path, any thread.

#include <cstdint>
#include <optional>
#include <string_view>

#include "telemetry/scrape.h"

namespace outrigger::telemetry {

struct ProcessStats {
  double cpu_seconds = 0;
  double start_time = 0;  // Unix time; 0 when unknown
  std::uint64_t resident_bytes = 0;
  std::uint64_t virtual_bytes = 0;
  std::uint64_t threads = 0;
  std::uint64_t open_fds = 0;
  std::uint64_t max_fds = 0;
};

// What /proc/self/stat says; `boot_time` is btime of /proc/stat. None when the line is not one.
std::optional<ProcessStats> parse_process_stat(std::string_view line, std::uint64_t boot_time,
                                               long ticks_per_second, long page_size);
// The btime line of /proc/stat; 0 when there is none.
std::uint64_t parse_boot_time(std::string_view text);

ProcessStats read_process_stats();
void gather(Scrape& scrape, const ProcessStats& stats);

}  // namespace outrigger::telemetry
