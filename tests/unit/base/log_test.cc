#include "base/log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace outrigger::log {
namespace {

// What one message becomes on stderr, without its time.
std::string written(Format format, std::string_view message, const Pairs& fields) {
  configure(Level::info, format);
  testing::internal::CaptureStderr();
  info("net", message, fields);
  std::string line = testing::internal::GetCapturedStderr();
  configure(Level::info, Format::text);
  return line.substr(std::min(line.size(), line.find("net")));
}

TEST(Log, TextThatPeersSendCannotForgeALineOrSteerATerminal) {
  EXPECT_EQ(written(Format::text, "odd\nnet: forged", {{"path", "/\x1b[2J\r\n\x7f\xC2\x9B\xFF"}}),
            "net: odd\\x0anet: forged path=\"/\\x1b[2J\\x0d\\x0a\\x7f\\xc2\\x9b\\xff\"\n");
}

TEST(Log, AFieldsValueCannotForgeAnotherField) {
  EXPECT_EQ(written(Format::text, "m", {{"reason", "no level=error"}, {"empty", ""}, {"b", "\""}}),
            "net: m reason=\"no level=error\" empty=\"\" b=\"\\\"\"\n");
  EXPECT_EQ(written(Format::text, "m", {{"address", "10.0.0.1:80"}, {"name", "größe"}}),
            "net: m address=10.0.0.1:80 name=größe\n");
}

TEST(Log, JsonStaysJsonWhateverBytesPeersSend) {
  EXPECT_EQ(written(Format::json, "m\n", {{"path", "\x1b\x7f\xC2\x9B\xFF\"\\ü"}}),
            "net\",\"message\":\"m\\u000a\",\"path\":\"\\u001b\\u007f\\u009b\\ufffd\\\"\\\\ü\"}\n");
}

}  // namespace
}  // namespace outrigger::log
