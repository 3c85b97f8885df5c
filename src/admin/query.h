#pragma once

// The query of a URL as names and values.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace outrigger::admin {

class Query {
 public:
  static constexpr std::size_t pairs_max = 64;

  // "a=1&b=%20x": '+' is a space, a broken escape stands for itself, what is beyond pairs_max is
  // ignored.
  explicit Query(std::string_view text);

  // The first value of that name, or empty.
  std::string_view value(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& pairs() const { return pairs_; }

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

}  // namespace outrigger::admin
