#include "telemetry/process.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <fstream>
#include <iterator>
#include <string>

namespace outrigger::telemetry {
namespace {

std::string read_whole(const char* path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::uint64_t count_fds() {
  DIR* dir = ::opendir("/proc/self/fd");
  if (dir == nullptr) return 0;
  std::uint64_t count = 0;
  while (const dirent* entry = ::readdir(dir)) {
    if (entry->d_name[0] != '.') ++count;
  }
  ::closedir(dir);
  return count > 0 ? count - 1 : 0;  // without the one that reads
}

}  // namespace

std::optional<ProcessStats> parse_process_stat(std::string_view line, std::uint64_t boot_time,
                                               long ticks_per_second, long page_size) {
  // The second field is the program's name in parentheses and may hold anything, so count from its
  // end: the first field after it is the third of proc(5).
  constexpr std::size_t first = 3;
  const std::size_t name_end = line.rfind(')');
  if (name_end == std::string_view::npos || ticks_per_second <= 0) return std::nullopt;
  std::string_view rest = line.substr(name_end + 1);
  std::array<std::string_view, 25> fields{};
  std::size_t count = first;
  while (count < fields.size()) {
    const std::size_t begin = rest.find_first_not_of(" \n");
    if (begin == std::string_view::npos) break;
    const std::size_t end = std::min(rest.find_first_of(" \n", begin), rest.size());
    fields[count++] = rest.substr(begin, end - begin);
    rest.remove_prefix(end);
  }
  if (count < fields.size()) return std::nullopt;
  const auto ticks = static_cast<double>(ticks_per_second);
  ProcessStats out;
  out.cpu_seconds = static_cast<double>(number(fields[14]) + number(fields[15])) / ticks;
  out.threads = number(fields[20]);
  if (boot_time > 0) {
    out.start_time =
        static_cast<double>(boot_time) + static_cast<double>(number(fields[22])) / ticks;
  }
  out.virtual_bytes = number(fields[23]);
  out.resident_bytes = number(fields[24]) * static_cast<std::uint64_t>(page_size);
  return out;
}

std::uint64_t parse_boot_time(std::string_view text) {
  constexpr std::string_view key = "btime ";
  std::size_t at = text.starts_with(key) ? 0 : text.find("\nbtime ");
  if (at == std::string_view::npos) return 0;
  at = text.find(key, at);
  return number(text.substr(at + key.size()));
}

ProcessStats read_process_stats() {
  // The boot time does not change, and /proc/stat is long on large machines.
  static const std::uint64_t boot_time = parse_boot_time(read_whole("/proc/stat"));
  const auto parsed = parse_process_stat(read_whole("/proc/self/stat"), boot_time,
                                         ::sysconf(_SC_CLK_TCK), ::sysconf(_SC_PAGESIZE));
  ProcessStats out = parsed.value_or(ProcessStats{});
  out.open_fds = count_fds();
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) out.max_fds = limit.rlim_cur;
  return out;
}

void gather(Scrape& scrape, const ProcessStats& stats) {
  scrape.counter(Family::process_cpu, {}, stats.cpu_seconds);
  scrape.gauge(Family::process_resident, {}, static_cast<double>(stats.resident_bytes));
  scrape.gauge(Family::process_virtual, {}, static_cast<double>(stats.virtual_bytes));
  scrape.gauge(Family::process_open_fds, {}, static_cast<double>(stats.open_fds));
  scrape.gauge(Family::process_max_fds, {}, static_cast<double>(stats.max_fds));
  scrape.gauge(Family::process_threads, {}, static_cast<double>(stats.threads));
  scrape.gauge(Family::process_start_time, {}, stats.start_time);
}

}  // namespace outrigger::telemetry
