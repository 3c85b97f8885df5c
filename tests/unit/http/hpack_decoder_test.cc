// HPACK's decoding half: RFC 7541's examples, its errors, what happens at each split, and a
// comparison with nghttp2's decoder on valid and invalid blocks.

#include "http/hpack_decoder.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"
#include "http/hpack_huffman.h"
#include "support/h2_cases.h"
#include "support/h2_frames.h"

namespace outrigger::http {
namespace {

using h2::FieldList;

std::string from_hex(std::string_view digits) {
  const auto value = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes.push_back(static_cast<char>(value(digits[i]) << 4 | value(digits[i + 1])));
  }
  return bytes;
}

// RFC 7541 appendices C.3 to C.6: three blocks of one connection each, plain and Huffman-coded.
const std::vector<std::string> requests_plain = {
    from_hex("828684410f7777772e6578616d706c652e636f6d"),
    from_hex("828684be58086e6f2d6361636865"),
    from_hex("828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565"),
};
const std::vector<std::string> requests_coded = {
    from_hex("828684418cf1e3c2e5f23a6ba0ab90f4ff"),
    from_hex("828684be5886a8eb10649cbf"),
    from_hex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"),
};
const std::vector<std::string> responses_plain = {
    from_hex("4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a3231204"
             "74d546e1768747470733a2f2f7777772e6578616d706c652e636f6d"),
    from_hex("4803333037c1c0bf"),
    from_hex("88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a697077386"
             "66f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d3336"
             "30303b2076657273696f6e3d31"),
};
const std::vector<std::string> responses_coded = {
    from_hex("488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad17186"
             "3c78f0b97c8e9ae82ae43d3"),
    from_hex("4883640effc1c0bf"),
    from_hex("88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b"
             "335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007"),
};

const std::vector<FieldList> requests = {
    {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "www.example.com"}},
    {{":method", "GET"},
     {":scheme", "http"},
     {":path", "/"},
     {":authority", "www.example.com"},
     {"cache-control", "no-cache"}},
    {{":method", "GET"},
     {":scheme", "https"},
     {":path", "/index.html"},
     {":authority", "www.example.com"},
     {"custom-key", "custom-value"}},
};
const std::vector<FieldList> responses = {
    {{":status", "302"},
     {"cache-control", "private"},
     {"date", "Mon, 21 Oct 2013 20:13:21 GMT"},
     {"location", "https://www.example.com"}},
    {{":status", "307"},
     {"cache-control", "private"},
     {"date", "Mon, 21 Oct 2013 20:13:21 GMT"},
     {"location", "https://www.example.com"}},
    {{":status", "200"},
     {"cache-control", "private"},
     {"date", "Mon, 21 Oct 2013 20:13:22 GMT"},
     {"location", "https://www.example.com"},
     {"content-encoding", "gzip"},
     {"set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"}},
};

class HpackDecoderTest : public testing::Test {
 protected:
  // Every block in memory of exactly its size, so that a sanitizer detects the first byte beyond.
  FieldList decode(std::string_view block) {
    const std::vector<char> exact(block.begin(), block.end());
    FieldList fields;
    decoder.begin({exact.data(), exact.size()});
    HpackField field;
    HpackDecoder::Step step{};
    while ((step = decoder.next(field)) == HpackDecoder::Step::field) {
      fields.emplace_back(std::string(field.name), std::string(field.value));
    }
    failed = step == HpackDecoder::Step::malformed;
    return fields;
  }

  H2Memory memory;
  HpackDecoder decoder{memory};
  bool failed = false;
};

TEST_F(HpackDecoderTest, RequestsOfTheRfc) {
  for (const auto* blocks : {&requests_plain, &requests_coded}) {
    HpackDecoderTest::decode(h2::table_size(0) + h2::table_size(4096));
    for (std::size_t i = 0; i < requests.size(); ++i) EXPECT_EQ(decode((*blocks)[i]), requests[i]);
    EXPECT_FALSE(failed);
    EXPECT_EQ(decoder.entries(), 3U);
    EXPECT_EQ(decoder.table_size(), 164U);
  }
}

// A table of 256 bytes, from which entries are evicted.
TEST_F(HpackDecoderTest, ResponsesOfTheRfc) {
  for (const auto* blocks : {&responses_plain, &responses_coded}) {
    decode(h2::table_size(0) + h2::table_size(256));
    for (std::size_t i = 0; i < responses.size(); ++i) {
      EXPECT_EQ(decode((*blocks)[i]), responses[i]);
    }
    EXPECT_FALSE(failed);
    EXPECT_EQ(decoder.entries(), 3U);
    EXPECT_EQ(decoder.table_size(), 215U);
  }
}

TEST_F(HpackDecoderTest, TheWholeStaticTable) {
  for (std::uint32_t index = 1; index <= HpackTable::static_count; ++index) {
    h2::Inflater reference;
    EXPECT_EQ(decode(h2::indexed(index)), reference.decode(h2::indexed(index)));
    const std::string_view name = HpackTable::fixed(index).name;
    const std::uint32_t first = HpackTable::fixed_name(name);
    EXPECT_LE(first, index);
    EXPECT_EQ(HpackTable::fixed(first).name, name);
  }
  EXPECT_EQ(HpackTable::fixed_name("x-none"), 0U);
  EXPECT_EQ(HpackTable::fixed_name(""), 0U);
  EXPECT_EQ(HpackTable::fixed_name(std::string(40, 'a')), 0U);
}

TEST_F(HpackDecoderTest, GoodRepresentations) {
  for (const h2::HpackPiece& piece : h2::hpack_fields()) {
    SCOPED_TRACE(piece.id);
    h2::Inflater reference;
    EXPECT_EQ(decode(piece.bytes), reference.decode(piece.bytes));
    EXPECT_FALSE(failed);
  }
}

TEST_F(HpackDecoderTest, ErrorsOfTheRfc) {
  for (const h2::HpackPiece& piece : h2::hpack_errors()) {
    SCOPED_TRACE(piece.id);
    HpackDecoder fresh(memory);
    const std::string block = h2::indexed(2) + piece.bytes;
    fresh.begin(block);
    HpackField field;
    HpackDecoder::Step step{};
    while ((step = fresh.next(field)) == HpackDecoder::Step::field) {
    }
    EXPECT_EQ(step, HpackDecoder::Step::malformed);
  }
}

TEST_F(HpackDecoderTest, ATableIsNeverLargerThanAllowed) {
  decode(h2::table_size(4096));
  EXPECT_FALSE(failed);
  decode(h2::table_size(4097));
  EXPECT_TRUE(failed);
}

TEST_F(HpackDecoderTest, IntegersUpTo32Bits) {
  using std::string_literals::operator""s;
  const std::string name = "\x00\x01x"s;
  const std::string value(127, 'v');
  decode(name + "\x7f\x80\x80\x80\x80\x00"s + value);  // redundant bytes, but 127
  EXPECT_FALSE(failed);
  decode(name + "\x7f\x80\x80\x80\x80\x80\x00"s + value);
  EXPECT_TRUE(failed);
  decode(name + "\x7f\xff\xff\xff\xff\x0f"s);  // does not fit 32 bits
  EXPECT_TRUE(failed);
}

// An entry larger than the table empties it and is still a field, even if its name is in the table
// that it empties.
TEST_F(HpackDecoderTest, AnEntryLargerThanTheTableEmptiesIt) {
  decode(h2::table_size(100) + h2::literal_added("x-a", "1"));
  EXPECT_EQ(decoder.entries(), 1U);
  const std::string large(100, 'v');
  const std::string by_name = h2::integer(62, 6, 0x40) + h2::text(large);
  EXPECT_EQ(decode(by_name), (FieldList{{"x-a", large}}));
  EXPECT_EQ(decoder.entries(), 0U);
  EXPECT_EQ(decoder.table_size(), 0U);
}

// The entry whose name is used is evicted by the one that uses it.
TEST_F(HpackDecoderTest, ANameOutlivesItsEntry) {
  decode(h2::table_size(80) + h2::literal_added("x-first", "1"));
  const std::string value(30, 'v');
  EXPECT_EQ(decode(h2::integer(62, 6, 0x40) + h2::text(value)), (FieldList{{"x-first", value}}));
  EXPECT_EQ(decoder.entries(), 1U);
  EXPECT_EQ(decode(h2::indexed(62)), (FieldList{{"x-first", value}}));
}

// A truncated block is malformed or has fewer fields, never anything else.
TEST_F(HpackDecoderTest, EveryCut) {
  for (const std::string& block : {requests_plain[2], requests_coded[2], responses_coded[2]}) {
    for (std::size_t size = 0; size < block.size(); ++size) {
      h2::Inflater reference;
      // What the blocks before it have put into the table.
      const std::string before =
          h2::literal_added("cache-control", "private") + h2::literal_added("date", "today") +
          h2::literal_added("location", "here") + h2::literal_added("x", "y");
      decode(h2::table_size(0) + h2::table_size(4096) + before);
      reference.decode(before);
      const FieldList expected = reference.decode(block.substr(0, size));
      const FieldList got = decode(block.substr(0, size));
      EXPECT_EQ(failed, reference.failed()) << size;
      if (!failed) {
        EXPECT_EQ(got, expected) << size;
      }
    }
  }
}

TEST(HuffmanTest, EveryByteAndEveryPair) {
  h2::Deflater deflater(0);
  H2Memory memory;
  HpackDecoder decoder(memory);
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; second += first % 7 == 0 ? 1 : 5) {
      // Digits before and after, so that Huffman coding pays off.
      std::string value = "0123456789012345678901234567890";
      value.push_back(static_cast<char>(first));
      value.push_back(static_cast<char>(second));
      value += "aeiostaeiostaeiostaeiost";
      const std::string block = deflater.encode({{"a", value}});
      decoder.begin(block);
      HpackField field;
      ASSERT_EQ(decoder.next(field), HpackDecoder::Step::field);
      ASSERT_EQ(field.value, value);
      ASSERT_EQ(decoder.next(field), HpackDecoder::Step::end);
    }
  }
}

TEST(HuffmanTest, Padding) {
  char to[16];
  EXPECT_EQ(huffman_decode("", to), 0U);
  EXPECT_EQ(huffman_decode("\x07", to), 1U);                // "0" and three ones
  EXPECT_EQ(huffman_decode("\x06", to), std::nullopt);      // not all ones
  EXPECT_EQ(huffman_decode("\x07\xff", to), std::nullopt);  // eleven ones
  EXPECT_EQ(huffman_decode("\xff", to), std::nullopt);
  EXPECT_EQ(huffman_decode("\xff\xff\xff\xff", to), std::nullopt);  // EOS and two ones
}

// Whole connections of random fields, encoded by nghttp2; then blocks with a byte changed.
TEST(HpackDifferential, AgreesWithNghttp2) {
  Random random(20261126);
  const auto below = [&random](std::size_t bound) -> std::size_t {
    return random.below(static_cast<std::uint32_t>(bound));
  };
  const auto word = [&below](std::size_t most) {
    std::string text(below(most + 1), ' ');
    const bool any = below(4) == 0;
    for (char& c : text) {
      c = static_cast<char>(any ? below(256) : 'a' + below(26));
    }
    return text;
  };
  std::size_t broken = 0;
  for (int connection = 0; connection < 300; ++connection) {
    H2Memory memory;
    HpackDecoder decoder(memory);
    h2::Inflater reference;
    h2::Deflater deflater;
    std::vector<std::string> names = {":path", "cookie", "x-a", "x-b", "content-type"};
    for (int i = 0; i < 5; ++i) names.push_back("n" + word(20));
    bool changed = false;
    for (int block_number = 0; block_number < 20; ++block_number) {
      if (below(8) == 0) deflater.resize(below(4097));
      FieldList fields;
      for (std::size_t n = below(12); n > 0; --n) {
        fields.emplace_back(names[below(names.size())], word(60));
      }
      std::string block = deflater.encode(fields);
      const bool mutate = block_number > 10 && below(3) == 0 && !block.empty();
      if (mutate) block[below(block.size())] = static_cast<char>(below(256));
      const FieldList expected = reference.decode(block);
      FieldList got;
      decoder.begin(block);
      HpackField field;
      HpackDecoder::Step step{};
      while ((step = decoder.next(field)) == HpackDecoder::Step::field) {
        got.emplace_back(std::string(field.name), std::string(field.value));
      }
      ASSERT_EQ(step == HpackDecoder::Step::malformed, reference.failed());
      if (reference.failed()) {
        ++broken;
        break;
      }
      ASSERT_EQ(got, expected);
      changed |= mutate;  // and with it the tables
      if (!changed) {
        ASSERT_EQ(got, fields);
      }
    }
  }
  EXPECT_GT(broken, 50U);  // otherwise nothing was tested
}

TEST(HpackDecoderMemory, GivesEverythingBack) {
  H2Memory memory;
  {
    HpackDecoder decoder(memory);
    decoder.begin(responses_coded[0]);
    HpackField field;
    while (decoder.next(field) == HpackDecoder::Step::field) {
    }
    EXPECT_GT(memory.bytes_in_use(), 0U);
  }
  EXPECT_EQ(memory.bytes_in_use(), 0U);
}

}  // namespace
}  // namespace outrigger::http
