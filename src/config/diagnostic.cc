#include "config/diagnostic.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "base/utf8.h"

namespace outrigger::config {
namespace {

// Longer words are not compared with what was meant.
constexpr std::size_t word_max = 64;

// Excerpts of longer lines are cut around the place they show.
constexpr std::size_t excerpt_max = 160;

bool starts_character(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
}

int characters(std::string_view text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), starts_character));
}

// The number of edits (insert, delete, replace, swap of neighbours) between two words of at most
// word_max bytes.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::array<std::size_t, word_max + 1> before{}, last{}, row{};
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replace});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

std::size_t common_prefix(std::string_view a, std::string_view b) {
  const auto end = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
  return static_cast<std::size_t>(end - a.begin());
}

std::string padding_up_to(std::string_view line, int column) {
  std::string out;
  int at = 1;
  for (std::size_t i = 0; i < line.size() && at < column; ++i) {
    if (i + 1 < line.size() && !starts_character(line[i + 1])) continue;
    out += line[i] == '\t' ? '\t' : ' ';
    ++at;
  }
  out.append(static_cast<std::size_t>(std::max(0, column - at)), ' ');
  return out;
}

// The line around byte `at`: whole, or a window with dots where something was left out.
void cut_excerpt(std::string_view line, std::size_t at, Diagnostic& d) {
  std::size_t from = 0;
  std::size_t to = line.size();
  if (line.size() > excerpt_max) {
    from = at > excerpt_max / 2 ? at - excerpt_max / 2 : 0;
    to = std::min(line.size(), from + excerpt_max);
    while (from > 0 && !starts_character(line[from])) --from;
    while (to < line.size() && !starts_character(line[to])) --to;
  }
  const std::string_view dots = from > 0 ? "…" : "";
  d.excerpt = std::string(dots) + printable(line.substr(from, to - from));
  if (to < line.size()) d.excerpt += "…";
  d.excerpt_column = characters(dots) + characters(line.substr(from, at - from)) + 1;
  d.length = std::max(1, std::min(d.length, characters(d.excerpt) - d.excerpt_column + 1));
}

void render_one(const Diagnostic& d, bool color, std::string& out) {
  const char* bold = color ? "\x1b[1m" : "";
  const bool warning = d.severity == Diagnostic::Severity::warning;
  const char* red = !color ? "" : warning ? "\x1b[1;35m" : "\x1b[1;31m";
  const char* plain = color ? "\x1b[0m" : "";
  out += bold + printable(d.file);
  if (d.line > 0) out += ":" + std::to_string(d.line) + ":" + std::to_string(d.column);
  out += std::string(": ") + plain + red + (warning ? "warning: " : "error: ") + plain +
         printable(d.message) + "\n";
  if (d.line == 0) return;
  std::string number = std::to_string(d.line);
  if (number.size() < 5) number.insert(0, 5 - number.size(), ' ');
  out += number + " | " + d.excerpt + "\n";
  out += std::string(number.size(), ' ') + " | " + padding_up_to(d.excerpt, d.excerpt_column) +
         red + std::string(static_cast<std::size_t>(std::max(1, d.length)), '^') + plain + "\n";
}

}  // namespace

Source::Source(std::string name, std::string text)
    : name_(std::move(name)), text_(std::move(text)) {
  if (text_.starts_with("\xEF\xBB\xBF")) text_.erase(0, 3);  // a byte order mark
  starts_.push_back(0);
  for (std::size_t i = 0; i < text_.size(); ++i) {
    if (text_[i] == '\n') starts_.push_back(i + 1);
  }
}

std::string_view Source::line(int number) const {
  if (number < 1 || number > line_count()) return {};
  const auto index = static_cast<std::size_t>(number - 1);
  const std::size_t start = starts_[index];
  // Up to the line feed that the next line begins behind.
  const std::size_t end = index + 1 < starts_.size() ? starts_[index + 1] - 1 : text_.size();
  std::string_view rest = std::string_view(text_).substr(start, end - start);
  if (!rest.empty() && rest.back() == '\r') rest.remove_suffix(1);
  return rest;
}

std::string Source::directory() const {
  const std::size_t slash = name_.rfind('/');
  return slash == std::string::npos ? "" : name_.substr(0, slash + 1);
}

Diagnostic make_diagnostic(const Place& place, std::string_view message) {
  Diagnostic d;
  // Names from the file stand in messages; none of them begins a line of its own.
  d.message = printable(message);
  if (place.source == nullptr) return d;
  d.file = place.source->name();
  if (place.line < 1) return d;
  std::string_view line = place.source->line(place.line);
  const std::size_t at =
      std::min(line.size(), static_cast<std::size_t>(std::max(1, place.column)) - 1);
  const std::size_t wanted = static_cast<std::size_t>(std::max(1, place.length));
  const std::string_view marked = line.substr(at, wanted);
  d.line = place.line;
  d.column = characters(line.substr(0, at)) + 1;
  d.length = std::max(1, characters(marked));
  cut_excerpt(line, at, d);
  return d;
}

void Report::error(const Place& place, std::string_view message) {
  if (errors_.size() >= errors_max) {
    dropped_ = true;
    return;
  }
  Diagnostic d = make_diagnostic(place, message);
  // An alias is read wherever it stands, but what is wrong with it is said once.
  if (std::find(errors_.begin(), errors_.end(), d) == errors_.end())
    errors_.push_back(std::move(d));
}

void Report::warning(const Place& place, std::string_view message) {
  if (warnings_.size() >= errors_max) return;
  warnings_.push_back(make_diagnostic(place, message));
  warnings_.back().severity = Diagnostic::Severity::warning;
}

std::vector<Diagnostic> Report::take() {
  std::map<std::string, std::size_t> order;
  for (const Diagnostic& d : errors_) order.emplace(d.file, order.size());
  std::stable_sort(errors_.begin(), errors_.end(), [&](const Diagnostic& a, const Diagnostic& b) {
    return std::tuple(order[a.file], a.line, a.column) <
           std::tuple(order[b.file], b.line, b.column);
  });
  if (dropped_) {
    Diagnostic more;
    more.file = errors_.back().file;
    more.message = "further errors are not shown";
    errors_.push_back(std::move(more));
    dropped_ = false;
  }
  return std::move(errors_);
}

std::string render(const std::vector<Diagnostic>& errors, bool color) {
  std::string out;
  for (const Diagnostic& d : errors) render_one(d, color, out);
  return out;
}

std::string render_json(const std::vector<Diagnostic>& errors) {
  auto list = nlohmann::ordered_json::array();
  for (const Diagnostic& d : errors) {
    list.push_back({{"file", d.file},
                    {"line", d.line},
                    {"column", d.column},
                    {"length", d.length},
                    {"message", d.message}});
  }
  // A file name need not be UTF-8; what is not is replaced rather than thrown about.
  return list.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string quoted(std::string_view text) {
  constexpr std::size_t shown_max = 60;
  if (text.size() <= shown_max) return "'" + printable(text) + "'";
  std::size_t end = shown_max;
  while (end > 0 && !starts_character(text[end])) --end;
  return "'" + printable(text.substr(0, end)) + "…'";
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates) {
  if (word.empty() || word.size() > word_max) return "";
  const std::string* best = nullptr;
  std::size_t best_distance = 0;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > word_max) continue;
    const std::size_t distance = edit_distance(word, candidate);
    // Short words are close to everything; a shared beginning says more than a shared letter.
    const std::size_t shorter = std::min(word.size(), candidate.size());
    const std::size_t allowed = common_prefix(word, candidate) >= 3 ? 3 : (shorter >= 4 ? 2 : 1);
    if (distance > allowed || distance >= shorter) continue;
    if (best == nullptr || distance < best_distance) {
      best = &candidate;
      best_distance = distance;
    }
  }
  return best == nullptr ? "" : "; did you mean '" + *best + "'?";
}

}  // namespace outrigger::config
