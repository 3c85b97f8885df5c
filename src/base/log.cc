#include "base/log.h"

#include <poll.h>
#include <pthread.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <mutex>
#include <thread>

#include "base/utf8.h"

namespace outrigger::log {
namespace {

constexpr std::array<std::string_view, 14> room_names = {
    "base",      "config",    "net", "tls",   "http",  "policy", "upstream",
    "discovery", "telemetry", "tcp", "proxy", "admin", "server", "cli"};
constexpr std::array level_names = {"trace", "debug", "info", "warn", "error", "off"};

// Writes to a descriptor that may be stuck: directly by the caller, or in a thread of its own.
class Writer {
 public:
  static constexpr std::size_t waiting_max = std::size_t{1} << 20;

  void take(std::string_view line) {
    std::unique_lock lock(mutex_);
    if (phase_ == Phase::direct) return write_all(line, /*by_thread=*/false);
    if (waiting_.size() + line.size() > waiting_max) {
      dropped_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    waiting_.append(line);
    changed_.notify_all();
  }

  void start(int fd) {
    const std::lock_guard lock(mutex_);
    if (phase_ != Phase::direct) return;
    fd_ = fd;
    phase_ = Phase::running;
    std::thread thread([this] { run(); });
    pthread_setname_np(thread.native_handle(), "log");
    // Nobody can wait for it longer than stop() is willing to.
    thread.detach();
  }

  void stop(Duration patience) {
    std::unique_lock lock(mutex_);
    if (phase_ != Phase::running) return;
    phase_ = Phase::ending;
    until_ = std::chrono::steady_clock::now() + patience;
    changed_.notify_all();
    constexpr Duration grace = milliseconds(500);
    changed_.wait_for(lock, patience + grace, [this] { return phase_ == Phase::direct; });
  }

  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  enum class Phase { direct, running, ending };

  void run() {
    std::uint64_t told = 0;
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return !waiting_.empty() || phase_ == Phase::ending; });
      if (waiting_.empty()) break;
      std::string lines;
      lines.swap(waiting_);
      lock.unlock();
      write_all(lines, /*by_thread=*/true);
      const std::uint64_t lost = dropped() - told;
      told += lost;
      if (lost > 0)
        warn("base", "lines of this log were dropped", {{"lines", std::to_string(lost)}});
      lock.lock();
    }
    // Here and not in stop(), which does not wait for a thread that is stuck in a write.
    fd_ = STDERR_FILENO;
    phase_ = Phase::direct;
    changed_.notify_all();
  }

  bool out_of_time() {
    const std::lock_guard lock(mutex_);
    return phase_ == Phase::ending && std::chrono::steady_clock::now() >= until_;
  }

  // Directly it waits for as long as it takes; the thread asks from time to time whether it should
  // give up. What a pipe that is ready takes for sure is PIPE_BUF, and in one piece: whole lines,
  // so that other writers of the pipe come between lines; only a longer line is cut.
  void write_all(std::string_view lines, bool by_thread) {
    constexpr std::size_t piece_max = 4096;
    constexpr int look_up_ms = 50;
    while (!lines.empty()) {
      if (by_thread) {
        pollfd ready{fd_, POLLOUT, 0};
        const int got = ::poll(&ready, 1, look_up_ms);
        if (got == 0 && out_of_time()) return;
        if (got <= 0) continue;
      }
      std::size_t piece = lines.size();
      if (piece > piece_max) {
        const std::size_t end = lines.rfind('\n', piece_max - 1);
        piece = end == std::string_view::npos ? piece_max : end + 1;
      }
      const ssize_t wrote = ::write(fd_, lines.data(), piece);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0 && errno == EAGAIN) {
        pollfd ready{fd_, POLLOUT, 0};
        ::poll(&ready, 1, look_up_ms);
        if (by_thread && out_of_time()) return;
        continue;
      }
      if (wrote < 0) return;  // there is nobody to report it to
      lines.remove_prefix(static_cast<std::size_t>(wrote));
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  Phase phase_ = Phase::direct;
  int fd_ = STDERR_FILENO;
  std::string waiting_;
  std::chrono::steady_clock::time_point until_;
  std::atomic<std::uint64_t> dropped_{0};
};

// Its thread may outlive main().
Writer& writer() {
  static auto* const w = new Writer;
  return *w;
}

class Sink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  Sink() : coloured_(wants_color(STDERR_FILENO)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t formatted;
    formatter_->format(message, formatted);
    const std::string_view text(formatted.data(), formatted.size());
    if (!coloured_ || message.color_range_end <= message.color_range_start)
      return writer().take(text);
    // By level, from trace to error.
    constexpr std::array colours = {"\033[37m", "\033[36m", "\033[32m", "\033[33;1m", "\033[31;1m"};
    const auto level = std::min(static_cast<std::size_t>(message.level), colours.size() - 1);
    std::string line(text.substr(0, message.color_range_start));
    line += colours[level];
    line +=
        text.substr(message.color_range_start, message.color_range_end - message.color_range_start);
    line.append("\033[m").append(text.substr(message.color_range_end));
    writer().take(line);
  }
  void flush_() override {}

  const bool coloured_;
};

struct State {
  std::array<std::atomic<int>, room_names.size()> levels;
  std::atomic<Format> format{Format::text};
  std::shared_ptr<spdlog::logger> logger;

  State() {
    for (auto& l : levels) l = static_cast<int>(Level::info);
    logger = std::make_shared<spdlog::logger>("outrigger", std::make_shared<Sink>());
    logger->set_level(spdlog::level::trace);
    apply_pattern();
  }
  void apply_pattern() const {
    logger->set_pattern(format == Format::json ? "%v" : "%Y-%m-%dT%H:%M:%S.%e%z %^%-5l%$ %v");
  }
};

State& state() {
  static auto* const s = new State;
  return *s;
}

std::size_t index_of(std::string_view room) {
  for (std::size_t i = 0; i < room_names.size(); ++i) {
    if (room == room_names[i]) return i;
  }
  return room_names.size();
}

spdlog::level::level_enum to_spdlog(Level level) {
  constexpr std::array map = {spdlog::level::trace, spdlog::level::debug, spdlog::level::info,
                              spdlog::level::warn,  spdlog::level::err,   spdlog::level::off};
  return map[static_cast<std::size_t>(level)];
}

void append_hex(std::string& out, const char* form, char c) {
  std::array<char, 8> escape{};
  std::snprintf(escape.data(), escape.size(), form, static_cast<unsigned char>(c));
  out += escape.data();
}

bool is_control(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  return first < 0x20 || first == 0x7F || is_c1_control(text);
}

// Names, addresses and reasons in a line may come from peers and registries: whatever they hold, a
// line stays one line, a JSON object stays one, and a terminal that shows it is not steered.
void append_json(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      out += "\\ufffd";
    } else if (is_control(text)) {
      append_hex(out, "\\u%04x", text[length - 1]);
    } else {
      if (text.front() == '"' || text.front() == '\\') out += '\\';
      out.append(text.substr(0, length));
    }
    text.remove_prefix(std::max<std::size_t>(1, length));
  }
  out += '"';
}

// `marks` are characters that get a backslash.
void append_plain(std::string& out, std::string_view text, std::string_view marks = "") {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      append_hex(out, "\\x%02x", text.front());
    } else if (is_control(text)) {
      for (const char c : text.substr(0, length)) append_hex(out, "\\x%02x", c);
    } else {
      if (marks.find(text.front()) != std::string_view::npos) out += '\\';
      out.append(text.substr(0, length));
    }
    text.remove_prefix(std::max<std::size_t>(1, length));
  }
}

// As in logfmt: what is not one plain word stands in quotes.
void append_word(std::string& out, std::string_view text) {
  bool plain = !text.empty() && text.find_first_of(" \"=\\") == std::string_view::npos;
  for (std::string_view rest = text; plain && !rest.empty();) {
    const std::size_t length = utf8_length(rest);
    plain = length > 0 && !is_control(rest);
    rest.remove_prefix(std::max<std::size_t>(1, length));
  }
  if (plain) {
    out += text;
    return;
  }
  out += '"';
  append_plain(out, text, "\"\\");
  out += '"';
}

}  // namespace

void configure(Level level, Format format) {
  set_all(level);
  state().format = format;
  state().apply_pattern();
}

bool set_level(std::string_view room, Level level) {
  const std::size_t i = index_of(room);
  if (i == room_names.size()) return false;
  state().levels[i] = static_cast<int>(level);
  return true;
}

void set_all(Level level) {
  for (auto& l : state().levels) l = static_cast<int>(level);
}

Pairs levels() {
  Pairs out;
  for (std::size_t i = 0; i < room_names.size(); ++i) {
    out.emplace_back(room_names[i],
                     level_names[static_cast<std::size_t>(state().levels[i].load())]);
  }
  return out;
}

bool parse_level(std::string_view text, Level& out) {
  for (std::size_t i = 0; i < level_names.size(); ++i) {
    if (text == level_names[i]) {
      out = static_cast<Level>(i);
      return true;
    }
  }
  return false;
}

void start_writer(int fd) {
  writer().start(fd);
}

void stop_writer(Duration patience) {
  writer().stop(patience);
}

std::uint64_t dropped() {
  return writer().dropped();
}

bool wants_color(int descriptor) {
  const char* no_color = std::getenv("NO_COLOR");
  return ::isatty(descriptor) == 1 && (no_color == nullptr || *no_color == '\0');
}

bool enabled(std::string_view room, Level level) {
  const std::size_t i = index_of(room);
  return i < room_names.size() &&
         static_cast<int>(level) >= state().levels[i].load(std::memory_order_relaxed);
}

void write(std::string_view room, Level level, std::string_view message, const Pairs& fields) {
  if (!enabled(room, level)) return;
  State& s = state();
  std::string line;
  if (s.format == Format::json) {
    line = "{\"time\":\"";
    const auto now =
        std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
    const std::time_t whole = std::chrono::system_clock::to_time_t(now);
    std::tm utc{};
    gmtime_r(&whole, &utc);
    std::array<char, 40> stamp{};
    const std::size_t length = std::strftime(stamp.data(), stamp.size(), "%Y-%m-%dT%H:%M:%S", &utc);
    std::snprintf(stamp.data() + length, stamp.size() - length, ".%03dZ\"",
                  static_cast<int>(now.time_since_epoch().count() % 1000));
    line += stamp.data();
    line += ",\"level\":\"";
    line += level_names[static_cast<std::size_t>(level)];
    line += "\",\"room\":";
    append_json(line, room);
    line += ",\"message\":";
    append_json(line, message);
    for (const auto& [key, value] : fields) {
      line += ',';
      append_json(line, key);
      line += ':';
      append_json(line, value);
    }
    line += '}';
  } else {
    line.append(room).append(": ");
    append_plain(line, message);
    for (const auto& [key, value] : fields) {
      line.append(" ").append(key).append("=");
      append_word(line, value);
    }
  }
  s.logger->log(to_spdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace outrigger::log
