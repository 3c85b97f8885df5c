// docs/limits.md states what CodecLimits holds; a row whose number changes must change there too.

#include <gtest/gtest.h>

#include <string>

#include "http/codec.h"
#include "support/golden_file.h"

namespace outrigger::http {
namespace {

TEST(LimitsPage, SaysWhatTheCodeHolds) {
  const CodecLimits anybody;
  CodecLimits peer;
  peer.raise_for_trusted();
  const std::string page = test::read_source_file("docs/limits.md");
  enum class Unit { count, bytes, kib };
  const auto show = [](std::size_t value, Unit unit) {
    if (unit == Unit::bytes) return std::to_string(value) + " bytes";
    if (unit == Unit::count) return std::to_string(value);
    EXPECT_EQ(value % 1024, 0U) << value;
    return std::to_string(value / 1024) + " KiB";
  };
  std::size_t rows = 0;
  const auto row = [&](const std::string& name, auto member, Unit unit) {
    const std::string text =
        "| " + name + " | " + show(anybody.*member, unit) + " | " + show(peer.*member, unit) + " |";
    EXPECT_NE(page.find(text), std::string::npos) << "docs/limits.md should hold:\n" << text;
    ++rows;
  };
  row("request line", &CodecLimits::line_bytes, Unit::kib);
  row("head", &CodecLimits::head_bytes, Unit::kib);
  row("fields in a head", &CodecLimits::head_fields, Unit::count);
  row("`cookie` fields in a head, HTTP/2", &CodecLimits::cookie_crumbs, Unit::count);
  row("field, name and value together", &CodecLimits::field_bytes, Unit::kib);
  row("name of a field", &CodecLimits::name_bytes, Unit::bytes);
  row("trailers", &CodecLimits::trailer_bytes, Unit::kib);
  row("fields in trailers", &CodecLimits::trailer_fields, Unit::count);
  row("extensions of one chunk", &CodecLimits::chunk_extension_bytes, Unit::bytes);
  row("framing of chunks beyond a tenth of the data", &CodecLimits::chunk_overhead, Unit::kib);
  row("rest of a request that is answered already", &CodecLimits::drain_bytes, Unit::kib);
  row("bytes kept behind an upgrade until it is answered", &CodecLimits::upgrade_hold, Unit::kib);
  row("streams at once", &CodecLimits::streams, Unit::count);
  row("window of a stream", &CodecLimits::stream_window, Unit::kib);
  row("window of a connection", &CodecLimits::connection_window, Unit::kib);
  row("heads held, all streams together", &CodecLimits::connection_heads, Unit::kib);
  row("answers queued, memory of all streams together", &CodecLimits::connection_queue, Unit::kib);
  row("CONTINUATION frames of a block", &CodecLimits::continuations, Unit::count);
  row("interim answers (1xx) to one request", &CodecLimits::interims, Unit::count);
  // The page has no row that is not checked, except the one that is a time (see
  // HttpConnectionTest).
  std::size_t stand = 0;
  for (std::size_t at = 0; (at = page.find("\n| ", at)) != page.npos; ++at) ++stand;
  constexpr std::size_t table_heads = 3;
  EXPECT_EQ(stand, rows + table_heads + 1);
}

}  // namespace
}  // namespace outrigger::http
