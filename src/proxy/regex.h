#pragma once

// A regular expression in RE2's syntax: linear in the text whatever the pattern, bounded in memory.
// Compiled once, const afterwards, used by any thread. The only file that knows RE2.

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace re2 {
class RE2;
}

namespace outrigger::proxy {

class Regex {
 public:
  static constexpr std::size_t pattern_bytes_max = 4096;

  // The error says what is wrong with the pattern.
  static Result<Regex> compile(std::string_view pattern);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  // All of the text.
  bool matches(std::string_view text) const;
  // A part of the text; anchor with ^ and $.
  bool is_in(std::string_view text) const;

 private:
  explicit Regex(std::unique_ptr<re2::RE2> compiled);
  std::unique_ptr<re2::RE2> compiled_;
};

}  // namespace outrigger::proxy
