#include "telemetry/text.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "base/random.h"

namespace outrigger::telemetry {
namespace {

std::string json(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

TEST(Text, utf8_sequences) {
  struct Case {
    std::string_view bytes;
    std::size_t length;
  };
  const Case cases[] = {
      {"a", 1},
      {std::string_view("\0", 1), 1},
      {"\xc2\x80", 2},
      {"\xdf\xbf!", 2},
      {"\xe0\xa0\x80", 3},
      {"\xed\x9f\xbf", 3},
      {"\xef\xbf\xbf", 3},
      {"\xf0\x90\x80\x80", 4},
      {"\xf4\x8f\xbf\xbf", 4},
      {"\x80", 0},              // a continuation alone
      {"\xc0\x80", 0},          // overlong NUL
      {"\xc1\xbf", 0},          // overlong
      {"\xc2", 0},              // cut
      {"\xc2\x20", 0},          // no continuation
      {"\xe0\x9f\xbf", 0},      // overlong
      {"\xe2\x82", 0},          // cut
      {"\xed\xa0\x80", 0},      // surrogate
      {"\xf0\x8f\xbf\xbf", 0},  // overlong
      {"\xf0\x9f\x92", 0},      // cut
      {"\xf4\x90\x80\x80", 0},  // beyond U+10FFFF
      {"\xf5\x80\x80\x80", 0},
      {"\xff", 0},
  };
  for (const Case& c : cases) EXPECT_EQ(utf8_length(c.bytes), c.length) << json(c.bytes);
}

TEST(Text, json_of_hostile_bytes) {
  EXPECT_EQ(json("plain é"), "\"plain é\"");
  EXPECT_EQ(json("a\"b\\c\n\r\t"), R"("a\"b\\c\u000a\u000d\u0009")");
  EXPECT_EQ(json(std::string_view("\0\x1b\x7f", 3)), R"("\u0000\u001b\u007f")");
  EXPECT_EQ(json("a\xff\xc3z"), R"("a\ufffd\ufffdz")");
}

TEST(Text, json_of_any_bytes_is_json) {
  Random random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (std::uint32_t i = random.below(40); i > 0; --i) {
      bytes += static_cast<char>(random.below(256));
    }
    const auto parsed = nlohmann::json::parse(json(bytes), nullptr, false);
    ASSERT_FALSE(parsed.is_discarded()) << json(bytes);
    // Valid text is unchanged.
    if (bytes.find_first_of('\xff') == std::string::npos &&
        parsed.get<std::string>().find("\ufffd") == std::string::npos) {
      EXPECT_EQ(parsed.get<std::string>(), bytes);
    }
  }
}

TEST(Text, plain_is_printable_ascii) {
  std::string out;
  append_plain_escaped(out, std::string_view("a \"b\" \\ \n\x1b[31m é\0", 18));
  EXPECT_EQ(out, R"(a \"b\" \\ \x0a\x1b[31m \xc3\xa9\x00)");
}

TEST(Text, label_values) {
  std::string out;
  append_label_value(out, "<script>\"\\\n\xff é");
  EXPECT_EQ(out, "<script>\\\"\\\\\\n\xef\xbf\xbd é");
  // Nothing that steers a terminal: ESC, CR, DEL and U+009B.
  out.clear();
  append_label_value(out,
                     "a\x1b[31mb\rc\x7f\xc2\x9b"
                     "2J\xc2\xa0");
  const std::string r = "\xef\xbf\xbd";
  EXPECT_EQ(out, "a" + r + "[31mb" + r + "c" + r + r + "2J\xc2\xa0");
}

TEST(Text, numbers) {
  const auto text = [](double value) {
    std::string out;
    append_number(out, value);
    return out;
  };
  EXPECT_EQ(text(0), "0");
  EXPECT_EQ(text(-3), "-3");
  EXPECT_EQ(text(1e9), "1000000000");
  EXPECT_EQ(text(0.0005), "0.0005");
  EXPECT_EQ(text(2.5), "2.5");
  EXPECT_EQ(text(1732270000.125), "1732270000.125");
  EXPECT_EQ(text(1e-9), "1e-09");
  EXPECT_EQ(text(1e300), "1e+300");
  EXPECT_EQ(text(std::numeric_limits<double>::infinity()), "+Inf");
  EXPECT_EQ(text(-std::numeric_limits<double>::infinity()), "-Inf");
  EXPECT_EQ(text(std::numeric_limits<double>::quiet_NaN()), "NaN");
}

}  // namespace
}  // namespace outrigger::telemetry
