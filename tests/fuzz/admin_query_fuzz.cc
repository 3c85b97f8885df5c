// The query of an admin URL against a second, plainer reading: the same names and values, and the
// first one of a name is what value() gives.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "admin/query.h"

namespace {

using outrigger::admin::Query;

int digit(char c) {
  constexpr std::string_view digits = "0123456789abcdefABCDEF";
  const auto at = static_cast<int>(digits.find(c));
  return at > 15 ? at - 6 : at;
}

// Byte by byte, with two bytes of memory for an escape that is not yet whole.
std::vector<std::pair<std::string, std::string>> plain_reading(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> pairs;
  std::string name;
  std::string value;
  bool in_value = false;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i == text.size() || text[i] == '&') {
      if (!name.empty() || in_value) pairs.emplace_back(std::move(name), std::move(value));
      name.clear();
      value.clear();
      in_value = false;
      continue;
    }
    if (text[i] == '=' && !in_value) {
      in_value = true;
      continue;
    }
    std::string& to = in_value ? value : name;
    const bool escape =
        text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0;
    if (escape) {
      to += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      to += text[i] == '+' ? ' ' : text[i];
    }
  }
  if (pairs.size() > Query::pairs_max) pairs.resize(Query::pairs_max);
  return pairs;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Query query(text);
  const auto expected = plain_reading(text);
  if (query.pairs() != expected) std::abort();
  for (std::size_t i = expected.size(); i-- > 0;) {
    bool first = true;
    for (std::size_t j = 0; j < i; ++j) first = first && expected[j].first != expected[i].first;
    if (first && query.value(expected[i].first) != expected[i].second) std::abort();
  }
  return 0;
}
