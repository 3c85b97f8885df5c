#include "base/flags.h"

#include <array>

namespace outrigger {
namespace {

struct Row {
  std::string_view letters;
  std::string_view text;
};
constexpr std::array<Row, flag_count> rows = {{
    {"", "no flag"},
    {"UH", "no healthy endpoint"},
    {"UF", "the connection to the endpoint failed"},
    {"UO", "a breaker or a queue was full"},
    {"NR", "no route"},
    {"URX", "the retry limit was reached"},
    {"UT", "the endpoint did not respond in time"},
    {"UC", "the endpoint closed the connection early"},
    {"DC", "the caller went away"},
    {"RL", "rate limited"},
    {"UAEX", "denied by authorization"},
    {"DPE", "the caller violated the protocol"},
    {"UPE", "the endpoint violated the protocol"},
    {"FI", "an injected fault"},
    {"SI", "idle for too long"},
    {"OM", "overloaded"},
}};

}  // namespace

std::string_view letters(Flag flag) {
  return rows[static_cast<std::size_t>(flag)].letters;
}

std::string_view describe(Flag flag) {
  return rows[static_cast<std::size_t>(flag)].text;
}

Flag parse_flag(std::string_view text) {
  for (std::size_t i = 1; i < rows.size(); ++i) {
    if (rows[i].letters == text) return static_cast<Flag>(i);
  }
  return Flag::none;
}

}  // namespace outrigger
