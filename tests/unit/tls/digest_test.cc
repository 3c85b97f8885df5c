#include "tls/digest.h"

#include <gtest/gtest.h>

namespace outrigger::tls {
namespace {

using namespace std::string_literals;

TEST(DigestTest, KnownAnswers) {
  // FIPS 180-4's examples.
  EXPECT_EQ(hex(bytes_of(sha1("abc"))), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(hex(bytes_of(sha1(""))), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  // RFC 6455, section 1.3.
  EXPECT_EQ(
      base64_encode(bytes_of(sha1("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))),
      "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST(DigestTest, Base64KnownAnswers) {
  // RFC 4648, section 10.
  const std::pair<const char*, const char*> cases[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : cases) {
    EXPECT_EQ(base64_encode(plain), encoded);
    EXPECT_EQ(base64_decode(encoded), plain);
  }
}

TEST(DigestTest, Base64GoesThereAndBack) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  for (std::size_t n = 0; n <= all.size(); ++n) {
    const std::string plain = all.substr(all.size() - n);
    std::string text = base64_encode(plain);
    EXPECT_EQ(base64_decode(text), plain);
    while (text.ends_with('=')) text.pop_back();
    EXPECT_EQ(base64_decode(text, true), plain);
  }
}

TEST(DigestTest, Base64RefusesOtherSpellings) {
  for (const std::string& text :
       {"Z"s, "Zg"s, "Zg="s, "Zg==="s, "Zg==Zg=="s, "Zm9v="s, "Zm9v===="s, "="s, "===="s, "Zh=="s,
        "Zm9="s, "Zm 9v"s, "Zm9v\n"s, "Zm-_"s, "Zm9\0"s, "Z==="s, "\xffm9v"s}) {
    EXPECT_FALSE(base64_decode(text)) << text;
  }
  for (const std::string& text : {"Z"s, "Zg="s, "Zh"s, "Zm9v="s, "Zg==="s}) {
    EXPECT_FALSE(base64_decode(text, true)) << text;
  }
  EXPECT_TRUE(base64_decode("Zg==", true));
}

}  // namespace
}  // namespace outrigger::tls
