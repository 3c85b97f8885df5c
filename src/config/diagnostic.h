#pragma once

// Errors in a configuration: the text of a file, places in it, and the messages that point there.
// Plain values; any thread.

#include <atomic>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace outrigger::config {

// The text of one file with its lines found. Places point into it, so it neither moves nor dies
// before the last of them.
class Source {
 public:
  Source(std::string name, std::string text);
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  const std::string& name() const { return name_; }
  const std::string& text() const { return text_; }
  int line_count() const { return static_cast<int>(starts_.size()); }
  // Line `number`, counted from one, without its line end; empty when there is no such line.
  std::string_view line(int number) const;
  // The directory of the file with its slash, for paths relative to it; empty when there is none.
  std::string directory() const;

 private:
  std::string name_;
  std::string text_;
  std::vector<std::size_t> starts_;
};

// A stretch of a line: line and column count from one, column and length in bytes. Line 0: the file
// as a whole.
struct Place {
  const Source* source = nullptr;
  int line = 0;
  int column = 0;
  int length = 1;
};

// One error or warning, able to show itself after its Source is gone. Column and length count
// characters, as editors do.
struct Diagnostic {
  enum class Severity { error, warning };

  std::string file;
  int line = 0;  // 0: the file as a whole
  int column = 0;
  int length = 1;
  std::string message;
  std::string excerpt;     // the line it points into, or a part of it when it is very long
  int excerpt_column = 1;  // where in the excerpt the stretch begins
  Severity severity = Severity::error;

  bool operator==(const Diagnostic&) const = default;
};

Diagnostic make_diagnostic(const Place& place, std::string_view message);

// Collects errors up to a bound, so that a hostile file cannot make an endless report.
class Report {
 public:
  static constexpr std::size_t errors_max = 100;

  // Whoever reads gives up when `abandoned` becomes true, which another thread may do: what was
  // read by then is worth nothing.
  explicit Report(const std::atomic<bool>* abandoned = nullptr) : abandoned_(abandoned) {}
  bool abandoned() const {
    return abandoned_ != nullptr && abandoned_->load(std::memory_order_relaxed);
  }

  void error(const Place& place, std::string_view message);
  // What is valid and has a consequence that its writer should know of.
  void warning(const Place& place, std::string_view message);
  // No errors.
  bool empty() const { return errors_.empty(); }
  // A further error would not be shown; costly advice can be saved.
  bool full() const { return errors_.size() >= errors_max; }
  // The errors in the order of their files' first appearance, then of their lines. A last one says
  // so when some did not fit.
  std::vector<Diagnostic> take();
  std::vector<Diagnostic> take_warnings() { return std::move(warnings_); }

 private:
  const std::atomic<bool>* const abandoned_;
  std::vector<Diagnostic> errors_;
  std::vector<Diagnostic> warnings_;
  bool dropped_ = false;
};

//   web.yaml:14:5: error: unknown key 'retires' in services.orders; did you mean 'retry'?
//      14 |     retires: 2
//         |     ^^^^^^^
std::string render(const std::vector<Diagnostic>& errors, bool color);
// An array of {file, line, column, length, message}, for tools.
std::string render_json(const std::vector<Diagnostic>& errors);

// A value as it may stand in a message: quoted, shortened, control characters replaced.
std::string quoted(std::string_view text);

// "; did you mean 'retry'?" when one candidate is close enough to `word`, else "".
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace outrigger::config
