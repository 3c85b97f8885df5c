// Heads as HTTP/2 frames: how a peer's decoder reads them, for any table size, and in how many
// frames.

#include "http/h2_head_writer.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "support/h2_frames.h"
#include "support/h2_world.h"

namespace outrigger::http {
namespace {

using Indexing = HpackEncoder::Indexing;

class HpackTest : public testing::Test {
 protected:
  // One block of fields, encoded and decoded.
  h2::FieldList round_trip(const h2::FieldList& fields, Indexing indexing = Indexing::add) {
    return inflater.decode(encode(fields, indexing));
  }
  std::string encode(const h2::FieldList& fields, Indexing indexing = Indexing::add) {
    std::size_t most = HpackEncoder::begin_max;
    for (const auto& [name, value] : fields)
      most += HpackEncoder::field_max + name.size() + value.size();
    std::string block(most, '\0');
    char* to = encoder.begin(block.data());
    for (const auto& [name, value] : fields) to = encoder.field(to, name, value, indexing);
    block.resize(static_cast<std::size_t>(to - block.data()));
    return block;
  }

  H2Memory memory;
  HpackEncoder encoder{memory};
  h2::Inflater inflater;
};

TEST_F(HpackTest, WhatRepeatsIsOneByteAField) {
  const h2::FieldList fields = {
      {"server", "nginx"}, {"x-a", ""}, {"content-type", "text/plain"}, {"x-b", "1"}};
  EXPECT_EQ(round_trip(fields), fields);
  EXPECT_EQ(encoder.entries(), 4U);
  const std::string again = encode(fields);
  EXPECT_EQ(again.size(), 4U);
  EXPECT_EQ(inflater.decode(again), fields);
  // In reverse order too.
  const h2::FieldList turned(fields.rbegin(), fields.rend());
  const std::string other = encode(turned);
  EXPECT_EQ(other.size(), 4U);
  EXPECT_EQ(inflater.decode(other), turned);
}

TEST_F(HpackTest, WhatDiffersLeavesItsNameOnly) {
  EXPECT_EQ(round_trip({{"x-request-id", "first"}}, Indexing::none),
            (h2::FieldList{{"x-request-id", "first"}}));
  EXPECT_EQ(encoder.entries(), 1U);
  for (int i = 0; i < 100; ++i) {
    const h2::FieldList fields = {{"x-request-id", std::to_string(i)}};
    const std::string block = encode(fields, Indexing::none);
    EXPECT_LE(block.size(), 6U);
    EXPECT_EQ(inflater.decode(block), fields);
  }
  EXPECT_EQ(encoder.entries(), 1U);
}

TEST_F(HpackTest, SecretsAreMarkedAndNeverKept) {
  const std::string block = encode({{"authorization", "Basic YTpi"}}, Indexing::never);
  EXPECT_EQ(static_cast<unsigned char>(block[0]) & 0xf0, 0x10);
  EXPECT_EQ(encoder.entries(), 0U);
  EXPECT_EQ(inflater.decode(block), (h2::FieldList{{"authorization", "Basic YTpi"}}));
}

TEST_F(HpackTest, AnEntryTooLargeForItsTableIsNotAdded) {
  const h2::FieldList fields = {{"x-big", std::string(4000, 'x')}};
  EXPECT_EQ(round_trip(fields), fields);
  EXPECT_EQ(encoder.entries(), 0U);
  EXPECT_EQ(round_trip(fields, Indexing::none), fields);
}

TEST_F(HpackTest, ATableThatShrankAndGrewIsSaidToHave) {
  const h2::FieldList fields = {{"x-a", "1"}, {"x-b", "2"}};
  round_trip(fields);
  encoder.peer_allows(0);
  encoder.peer_allows(1u << 20);
  inflater.allow(0);
  inflater.allow(1u << 20);
  const std::string block = encode(fields);
  EXPECT_EQ(block.substr(0, 4), h2::table_size(0) + h2::table_size(4096));
  EXPECT_EQ(inflater.decode(block), fields);
  EXPECT_EQ(encoder.entries(), 2U);
  encoder.peer_allows(0);
  inflater.allow(0);
  EXPECT_EQ(round_trip(fields), fields);
  EXPECT_EQ(encoder.entries(), 0U);
  EXPECT_EQ(encoder.table_size(), 0U);
}

TEST_F(HpackTest, AnythingIsDecodedAsItWas) {
  Random random(7);
  const std::array<std::string, 12> names = {":path",
                                             "age",
                                             "server",
                                             "x-one",
                                             "x-two",
                                             "x-three",
                                             "cookie",
                                             "etag",
                                             "x-request-id",
                                             "strict-transport-security",
                                             "access-control-allow-origin",
                                             "x-a-name-that-is-longer-than-others"};
  for (int block = 0; block < 20'000; ++block) {
    if (random.below(50) == 0) {
      for (std::uint32_t changes = 1 + random.below(3); changes > 0; --changes) {
        const std::uint32_t size = random.below(4) == 0 ? 0 : random.below(6000);
        encoder.peer_allows(size);
        inflater.allow(size);
      }
    }
    h2::FieldList fields;
    for (std::uint32_t i = random.below(12); i > 0; --i) {
      std::string value(random.below(8) == 0 ? random.below(300) : random.below(12), 'v');
      for (char& c : value) c = static_cast<char>('a' + random.below(3));
      fields.emplace_back(names[random.below(names.size())], value);
    }
    const auto indexing = static_cast<Indexing>(random.below(8) == 0 ? 1 + random.below(2) : 0);
    ASSERT_EQ(round_trip(fields, indexing), fields) << block;
    ASSERT_FALSE(inflater.failed());
    ASSERT_LE(encoder.table_size(), 4096U);
  }
}

class H2Writer : public testing::Test {
 protected:
  h2::FieldList decode() {
    std::string bytes(out.view());
    out.clear();
    frames = h2::take_frames(bytes);
    EXPECT_TRUE(bytes.empty());
    std::string block;
    for (const h2::Frame& frame : frames) block += frame.payload;
    return inflater.decode(block);
  }

  BlockPool blocks;
  net::BufferPool buffers;
  net::Buffer out{buffers};
  H2Memory memory;
  HpackEncoder encoder{memory};
  h2::Inflater inflater;
  std::vector<h2::Frame> frames;
};

TEST_F(H2Writer, Request) {
  fakes::TestHead head(blocks);
  head.request()
      .add("X-Request-Id", "1")
      .add("X-Other", "2")
      .add("traceparent", "3")
      .add("Keep-Alive", "5");
  for (int i = 0; i < 2; ++i) {
    H2HeadWriter(encoder, out, 7, true).request(head);
    h2::FieldList fields = decode();
    EXPECT_EQ(std::vector(fields.end() - 3, fields.end()),
              (h2::FieldList{{"x-request-id", "1"}, {"x-other", "2"}, {"traceparent", "3"}}));
    ASSERT_EQ(frames.size(), 1U);
    EXPECT_EQ(frames[0].stream, 7U);
    EXPECT_EQ(frames[0].flags, h2::whole);
  }
  // The authority and x-other, and the names of the fields that differ each time.
  EXPECT_EQ(encoder.entries(), 4U);
}

// HTTP/1's "Content-Length: 0" with an upgrade is not allowed in extended CONNECT.
TEST_F(H2Writer, AnExtendedConnectHasNoLengthAndItsProtocolInLowerCase) {
  fakes::TestHead head(blocks);
  head.request("GET", "/chat").length(0);
  head.head.protocol = "WebSocket";
  H2HeadWriter(encoder, out, 1, false).request(head);
  EXPECT_EQ(decode(), (h2::FieldList{{":method", "CONNECT"},
                                     {":scheme", "http"},
                                     {":authority", "example.test"},
                                     {":path", "/chat"},
                                     {":protocol", "websocket"}}));
}

// What HTTP/2 cannot express: a 2xx that does not switch, and a 426's Upgrade.
TEST_F(H2Writer, AnswersToUpgrades) {
  using Request = H2HeadWriter::Request;
  struct Row {
    int status;
    std::string protocol;
    Request request;
    h2::FieldList fields;
  };
  for (const Row& row : {
           Row{101, "websocket", Request::upgrade, {{":status", "200"}}},
           Row{200, "", Request::upgrade, {{":status", "502"}, {"x-outrigger-declined", "200"}}},
           Row{204, "", Request::upgrade, {{":status", "502"}, {"x-outrigger-declined", "204"}}},
           Row{403, "", Request::upgrade, {{":status", "403"}}},
           Row{502, "", Request::upgrade, {{":status", "502"}}},
           Row{200, "", Request::plain, {{":status", "200"}}},
           Row{200, "", Request::connect, {{":status", "200"}}},
           Row{426,
               "TLS/1.0, foo",
               Request::plain,
               {{":status", "426"}, {"x-outrigger-upgrade", "TLS/1.0, foo"}}},
           Row{426, "", Request::upgrade, {{":status", "426"}}},
       }) {
    fakes::TestHead head(blocks);
    head.response(row.status);
    head.head.protocol = row.protocol;
    H2HeadWriter(encoder, out, 1, false).response(head, row.request);
    EXPECT_EQ(decode(), row.fields) << row.status << row.protocol;
  }
}

TEST_F(H2Writer, FieldsThatNobodyMayWriteAreLeftOut) {
  fakes::TestHead head(blocks);
  head.request();
  head.head.fields.add("bad name", "1");
  head.head.fields.add("", "1");
  head.head.fields.add("x-cr", "a\rb");
  head.head.fields.add("x-blank", " a");
  head.head.fields.add("x-good", "a");
  H2HeadWriter(encoder, out, 1, true).request(head);
  const h2::FieldList fields = decode();
  EXPECT_EQ(fields.back(), (std::pair<std::string, std::string>("x-good", "a")));
  EXPECT_EQ(fields.size(), 5U);
}

TEST_F(H2Writer, ALargeBlockGoesInPieces) {
  for (const std::size_t size : {16'000U, 16'384U - 80U, 20'000U, 33'000U, 60'000U}) {
    fakes::TestHead head(blocks);
    head.request();
    std::string values;
    for (std::size_t i = 0; i < size; ++i) values += static_cast<char>('a' + i % 26);
    for (std::size_t at = 0; at < size; at += 4000) {
      head.add("x-large", head.arena.copy(std::string_view(values).substr(at, 4000)));
    }
    H2HeadWriter(encoder, out, 3, false).request(head);
    std::string joined;
    for (const auto& [name, value] : decode()) joined += name == "x-large" ? value : "";
    EXPECT_EQ(joined, values);
    ASSERT_FALSE(inflater.failed());
    for (std::size_t i = 0; i < frames.size(); ++i) {
      EXPECT_EQ(frames[i].type, i == 0 ? h2::type_headers : h2::type_continuation);
      EXPECT_EQ(frames[i].flags, i + 1 == frames.size() ? h2::end_headers : h2::none);
      EXPECT_LE(frames[i].payload.size(), 16'384U);
    }
    // Names, lengths and pseudo-header fields are added to that.
    EXPECT_EQ(frames.size(), (size + 60 + 16'383) / 16'384);
  }
}

TEST_F(H2Writer, Trailers) {
  Arena arena(blocks);
  Fields trailers(arena);
  trailers.add("content-length", "5");
  EXPECT_FALSE(H2HeadWriter::any_trail(trailers));
  trailers.add("Grpc-Status", "0");
  EXPECT_TRUE(H2HeadWriter::any_trail(trailers));
  H2HeadWriter(encoder, out, 1, true).trailers(trailers);
  EXPECT_EQ(decode(), (h2::FieldList{{"grpc-status", "0"}}));
}

}  // namespace
}  // namespace outrigger::http
