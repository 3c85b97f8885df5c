#include "telemetry/access_record.h"

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/random.h"
#include "support/golden_file.h"

namespace outrigger::telemetry {
namespace {

using Format = config::AccessLog::Format;

constexpr WallTime at{std::chrono::sys_days{std::chrono::year{2026} / 11 / 22} + hours(9) +
                      minutes(5) + seconds(7) + microseconds(1234)};

std::string line_of(Format format, const AccessRecord& record) {
  const auto memory = std::make_unique<char[]>(access_line_max);
  LineBuilder line(memory.get(), access_line_max);
  format_access(line, format, record);
  return std::string(line.view());
}

AccessRecord full() {
  return {.time = at,
          .direction = Direction::outbound,
          .service = "orders",
          .route = "beta-users",
          .endpoint = "10.0.0.7:15006",
          .locality = "aws/eu-west-1/a",
          .method = "POST",
          .path = "/api/v1/orders?secret=1",
          .status = 503,
          .grpc_status = 14,
          .flag = Flag::URX,
          .bytes_in = 12,
          .bytes_out = 345678,
          .duration = microseconds(1'234'567),
          .upstream_duration = microseconds(98),
          .attempts = 2,
          .peer = "spiffe://example.org/web",
          .trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
          .request_id = "0b7e9a5c-6f0f-4b3e-9d53-1f5d3f0a7c11",
          .protocol_in = "HTTP/1.1",
          .protocol_out = "HTTP/2",
          .tls_version = "TLSv1.3"};
}

AccessRecord hostile() {
  AccessRecord record = full();
  record.service = "a b";
  record.route = "x=\"y\"";
  record.path = "/\"\\\n\x1b[2J\xc3\xa9\xff{}";
  record.peer = "-";
  record.request_id = "\r\n{\"forged\":1}";
  return record;
}

AccessRecord session() {
  return {.time = at,
          .direction = Direction::inbound,
          .service = "legacy",
          .endpoint = "127.0.0.1:3306",
          .flag = Flag::SI,
          .bytes_in = 1,
          .bytes_out = 2,
          .duration = hours(30),
          .protocol_in = "tcp"};
}

std::string golden(Format format) {
  return line_of(format, full()) + line_of(format, hostile()) + line_of(format, session()) +
         line_of(format, AccessRecord{});
}

TEST(AccessRecord, json) {
  test::expect_golden("tests/golden/access_log/json.txt", golden(Format::json));
}
TEST(AccessRecord, logfmt) {
  test::expect_golden("tests/golden/access_log/logfmt.txt", golden(Format::logfmt));
}
TEST(AccessRecord, text) {
  test::expect_golden("tests/golden/access_log/text.txt", golden(Format::text));
}

TEST(AccessRecord, json_reads_back) {
  const auto parsed = nlohmann::json::parse(line_of(Format::json, full()));
  EXPECT_EQ(parsed["time"], "2026-11-22T09:05:07.001234Z");
  EXPECT_EQ(parsed["path"], "/api/v1/orders");
  EXPECT_EQ(parsed["status"], 503);
  EXPECT_EQ(parsed["grpc_status"], 14);
  EXPECT_EQ(parsed["flag"], "URX");
  EXPECT_EQ(parsed["duration_ms"], 1234.567);
  EXPECT_EQ(parsed["upstream_ms"], 0.098);
  EXPECT_EQ(parsed["attempts"], 2);
}

// A head too malformed to have a method still gets a response, and the log has its status; an
// opaque TCP session has no status at all.
TEST(AccessRecord, an_answer_to_a_head_without_a_method_has_its_status) {
  const AccessRecord refused = {.status = 400, .flag = Flag::DPE, .protocol_in = "HTTP/1.1"};
  EXPECT_EQ(nlohmann::json::parse(line_of(Format::json, refused)).value("status", 0), 400);
  EXPECT_NE(line_of(Format::logfmt, refused).find(" status=400 "), std::string::npos);
  EXPECT_FALSE(nlohmann::json::parse(line_of(Format::json, {})).contains("status"));
}

// Whatever callers send, a record is one line that parsers of its format can read.
TEST(AccessRecord, any_bytes_are_one_line) {
  Random random(3);
  for (int round = 0; round < 500; ++round) {
    std::string bytes;
    for (std::uint32_t i = random.below(300); i > 0; --i) {
      bytes += static_cast<char>(random.below(256));
    }
    AccessRecord record = full();
    record.path = record.peer = record.request_id = record.method = record.service = bytes;
    for (const Format format : {Format::json, Format::logfmt, Format::text}) {
      const std::string line = line_of(format, record);
      ASSERT_EQ(line.find('\n'), line.size() - 1);
      ASSERT_EQ(line.find('\x1b'), std::string::npos);
    }
    ASSERT_TRUE(nlohmann::json::accept(line_of(Format::json, record)));
  }
}

TEST(AccessRecord, the_longest_record_fits) {
  const std::string huge(1U << 20, '\x01');
  AccessRecord record = full();
  for (std::string_view* field :
       {&record.service, &record.route, &record.endpoint, &record.locality, &record.method,
        &record.path, &record.peer, &record.trace_id, &record.request_id, &record.protocol_in,
        &record.protocol_out, &record.tls_version}) {
    *field = huge;
  }
  record.bytes_in = record.bytes_out = ~0ULL;
  record.duration = Duration::max();
  for (const Format format : {Format::json, Format::logfmt, Format::text}) {
    const std::string line = line_of(format, record);
    EXPECT_LT(line.size(), access_line_max);
    EXPECT_EQ(line.back(), '\n');
  }
  EXPECT_TRUE(nlohmann::json::accept(line_of(Format::json, record)));
}

TEST(AccessRecord, a_builder_that_is_full_stays_in_its_memory) {
  std::string memory(8, '.');
  LineBuilder line(memory.data(), 4);
  line.append("abcdef", 6);
  line.push_back('x');
  EXPECT_EQ(line.view(), "abcd");
  EXPECT_EQ(memory, "abcd....");
}

TEST(AccessRecord, what_counts_as_an_error) {
  const auto record = [](int status, int grpc, Flag flag) {
    return AccessRecord{.method = "GET", .status = status, .grpc_status = grpc, .flag = flag};
  };
  EXPECT_FALSE(is_error(record(200, -1, Flag::none)));
  EXPECT_FALSE(is_error(record(404, -1, Flag::none)));
  EXPECT_FALSE(is_error(record(200, 0, Flag::none)));
  EXPECT_TRUE(is_error(record(500, -1, Flag::none)));
  EXPECT_TRUE(is_error(record(200, 13, Flag::none)));
  EXPECT_TRUE(is_error(record(200, -1, Flag::DC)));
  EXPECT_TRUE(is_error(record(0, -1, Flag::none)));
  EXPECT_FALSE(is_error(AccessRecord{}));  // a TCP session that ended normally has no status
}

}  // namespace
}  // namespace outrigger::telemetry
