// Heads from and to HTTP/2 fields: every byte at every position, limits, and the normal form.

#include "http/h2_head.h"

#include <gtest/gtest.h>

#include "http/validation.h"
#include "support/codec_fakes.h"
#include "support/h2_frames.h"
#include "support/h2_world.h"

namespace outrigger::http {
namespace {

using Verdict = H2HeadReader::Verdict;

class H2Head : public testing::Test {
 protected:
  Verdict read(const h2::FieldList& fields) {
    head.clear();
    arena.reset();
    reader.begin_request(head);
    for (const auto& [name, value] : fields) reader.field(name, value);
    return reader.finish();
  }
  Verdict read_more(const h2::FieldList& more) { return read(h2::request_fields("GET", more)); }
  Verdict read_response(const h2::FieldList& fields) {
    head.clear();
    arena.reset();
    reader.begin_response(head);
    for (const auto& [name, value] : fields) reader.field(name, value);
    return reader.finish();
  }
  std::string text() { return fakes::render(head); }

  BlockPool blocks;
  CodecLimits limits;
  Arena arena{blocks};
  Head head{arena};
  H2HeadReader reader{limits};
};

TEST_F(H2Head, EveryByteInANameAndAValue) {
  for (int c = 0; c < 256; ++c) {
    const char byte = static_cast<char>(c);
    const bool upper = c >= 'A' && c <= 'Z';
    const bool name_ok = is_token_char(byte) && !upper;
    for (const std::string& name : {std::string(1, byte) + "x", "x" + std::string(1, byte),
                                    "x" + std::string(1, byte) + "y"}) {
      EXPECT_EQ(read_more({{name, "v"}}) == Verdict::ok, name_ok) << c;
    }
    const bool control = (c < 0x20 && c != '\t') || c == 0x7f;
    const bool blank = c == ' ' || c == '\t';
    EXPECT_EQ(read_more({{"x", "a" + std::string(1, byte) + "b"}}) == Verdict::ok, !control) << c;
    EXPECT_EQ(read_more({{"x", "a" + std::string(1, byte)}}) == Verdict::ok, !control && !blank);
    EXPECT_EQ(read_more({{"x", std::string(1, byte) + "a"}}) == Verdict::ok, !control && !blank);
  }
}

TEST_F(H2Head, EveryByteInThePseudoFields) {
  const h2::FieldList good = h2::request_fields();
  for (int c = 0; c < 256; ++c) {
    const char byte = static_cast<char>(c);
    const auto with = [&good, byte](std::size_t at) {
      h2::FieldList fields = good;
      std::string& value = fields[at].second;
      if (at == 2) value = "/ab";
      value.insert(2, 1, byte);
      return fields;
    };
    EXPECT_EQ(read(with(0)) == Verdict::ok, is_token_char(byte)) << c;
    EXPECT_EQ(read(with(1)), Verdict::malformed) << c;
    const bool target = c > ' ' && c != 0x7f && c != '#';
    EXPECT_EQ(read(with(2)) == Verdict::ok, target) << c;
    const std::string authority = "ex" + std::string(1, byte) + "ample.test";
    EXPECT_EQ(read(with(3)) == Verdict::ok, is_authority(authority)) << c;
  }
}

TEST_F(H2Head, NormalForm) {
  EXPECT_EQ(read(h2::request_fields("POST", {{"host", "EXAMPLE.test:80"},
                                             {"te", "Trailers"},
                                             {"content-length", "12"},
                                             {"cookie", "a=b"},
                                             {"x-a", "1"},
                                             {"cookie", "c=d"},
                                             {"x-a", "2"},
                                             {"cookie", "e=f"},
                                             {"expect", "100-Continue"}})),
            Verdict::ok);
  EXPECT_EQ(text(),
            "POST http://example.test /\nte trailers\nexpect continue\nlength 12\n"
            "cookie: a=b; c=d; e=f\nx-a: 1\nx-a: 2\nexpect: 100-Continue\n");
  EXPECT_EQ(head.fields.find(Known::cookie)->known, Known::cookie);
}

TEST_F(H2Head, ExtendedConnect) {
  EXPECT_EQ(read({{":method", "CONNECT"},
                  {":protocol", "WebSocket"},
                  {":scheme", "https"},
                  {":path", "/"},
                  {":authority", "a"}}),
            Verdict::ok);
  EXPECT_EQ(text(), "GET https://a /\nprotocol websocket\n");
  EXPECT_EQ(head.method, Method::get);
}

TEST_F(H2Head, TheFirstFaultCountsAndTheRestIsNotKept) {
  h2::FieldList fields = h2::request_fields("GET", {{"Bad", "1"}});
  for (int i = 0; i < 1000; ++i) fields.emplace_back("x", "1");
  EXPECT_EQ(read(fields), Verdict::malformed);
  EXPECT_EQ(head.fields.size(), 0U);
}

TEST_F(H2Head, PseudoHeaderFieldsAreNotAmongTheHundred) {
  h2::FieldList many(limits.head_fields, {"x", "1"});
  EXPECT_EQ(read_more(many), Verdict::ok);
  many.emplace_back("x", "1");
  EXPECT_EQ(read_more(many), Verdict::too_large);
}

TEST_F(H2Head, FarBeyondTheLimitsIsAFlood) {
  const std::string big(8000, 'x');
  h2::FieldList fields = h2::request_fields();
  for (int i = 0; i < 8; ++i) fields.emplace_back("x", big);
  EXPECT_EQ(read(fields), Verdict::too_large);
  for (int i = 0; i < 24; ++i) fields.emplace_back("x", big);
  EXPECT_EQ(read(fields), Verdict::flood);
  reader.begin_discarding();
  for (int i = 0; i < 24; ++i) reader.field("x", big);
  EXPECT_EQ(reader.verdict() == Verdict::flood, false);
  for (int i = 0; i < 8; ++i) reader.field("x", big);
  EXPECT_EQ(reader.verdict(), Verdict::flood);
}

TEST_F(H2Head, Responses) {
  EXPECT_EQ(read_response({{":status", "200"},
                           {"content-length", "3"},
                           {"host", "a"},
                           {"te", "trailers"},
                           {"x", "y"}}),
            Verdict::ok);
  EXPECT_EQ(text(), "status 200\nlength 3\nx: y\n");
  EXPECT_EQ(read_response({{":status", "999"}}), Verdict::ok);
  for (const char* bad : {"", "1", "20", "0200", "2 0", "1e2", "099", "-20"}) {
    EXPECT_EQ(read_response({{":status", bad}}), Verdict::malformed) << bad;
  }
}

TEST_F(H2Head, NamesThatCgiReadsAsOneOfOursAreDropped) {
  EXPECT_EQ(read(h2::request_fields("GET", {{"transfer_encoding", "chunked"},
                                            {"x_forwarded_client_cert", "URI=x"},
                                            {"x-outrigger_any", "1"},
                                            {"x_y", "2"}})),
            Verdict::ok);
  EXPECT_EQ(fakes::render(head.fields), "x_y: 2\n");
  EXPECT_EQ(reader.twins(), 3U);
  Fields trailers(arena);
  reader.begin_trailers(trailers, arena);
  for (const char* name : {"x_forwarded_for", "x_y", "grpc_status"}) reader.field(name, "1");
  EXPECT_EQ(reader.finish(), Verdict::ok);
  EXPECT_EQ(fakes::render(trailers), "x_y: 1\n");
  EXPECT_EQ(reader.twins(), 2U);
  EXPECT_EQ(read_response({{":status", "200"}, {"content_type", "x"}}), Verdict::ok);
  EXPECT_EQ(fakes::render(head.fields), "content_type: x\n")
      << "an answer's reader takes no two names as one";
}

TEST_F(H2Head, Trailers) {
  Fields trailers(arena);
  const auto read_trailers = [&](const h2::FieldList& fields) {
    trailers.release();
    reader.begin_trailers(trailers, arena);
    for (const auto& [name, value] : fields) reader.field(name, value);
    return reader.finish();
  };
  EXPECT_EQ(read_trailers({{"grpc-status", "0"},
                           {"content-length", "5"},
                           {"host", "a"},
                           {"x-forwarded-for", "b"},
                           {"authorization", "c"},
                           {"x", "y"}}),
            Verdict::ok);
  EXPECT_EQ(fakes::render(trailers), "grpc-status: 0\nx: y\n");
  EXPECT_EQ(read_trailers({{":path", "/"}}), Verdict::malformed);
  EXPECT_EQ(read_trailers({{"te", "trailers"}}), Verdict::malformed);
  EXPECT_EQ(read_trailers({{"connection", "close"}}), Verdict::malformed);
  EXPECT_EQ(read_trailers({{"x", std::string(8200, 'x')}}), Verdict::too_large);
  h2::FieldList many(limits.trailer_fields, {"x", "1"});
  EXPECT_EQ(read_trailers(many), Verdict::ok);
  many.emplace_back("x", "1");
  EXPECT_EQ(read_trailers(many), Verdict::too_large);
}

}  // namespace
}  // namespace outrigger::http
