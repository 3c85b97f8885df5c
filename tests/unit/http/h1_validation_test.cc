#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "http/bytes.h"
#include "http/validation.h"

namespace outrigger::http {
namespace {

using std::string_literals::operator""s;

// The text in memory of exactly its size, so that a sanitizer detects a read beyond it.
template <typename Check>
auto exactly(const std::string& text, Check check) {
  const std::unique_ptr<char[]> exact(new char[text.size()]);
  text.copy(exact.get(), text.size());
  return check(std::string_view(exact.get(), text.size()));
}

// The sixteen-byte scans agree with the tables: every byte, every length, every position.
TEST(BytesTest, ScansAgreeWithTheTables) {
  for (int byte = 0; byte < 256; ++byte) {
    for (std::size_t size = 1; size <= 40; size += size < 20 ? 1 : 7) {
      for (std::size_t at = 0; at < size; ++at) {
        std::string text(size, 'a');
        text[at] = static_cast<char>(byte);
        const auto expect = [&](const bytes::Class& c) {
          return bytes::has(c, static_cast<char>(byte)) ? size : at;
        };
        exactly(text, [&](std::string_view t) {
          const char* const end = t.data() + t.size();
          const auto found = [&](const char* p) { return static_cast<std::size_t>(p - t.data()); };
          EXPECT_EQ(found(bytes::scan<bytes::token>(t.data(), end)), expect(bytes::token));
          EXPECT_EQ(found(bytes::scan<bytes::value>(t.data(), end)), expect(bytes::value));
          EXPECT_EQ(found(bytes::scan<bytes::target>(t.data(), end)), expect(bytes::target));
          EXPECT_EQ(bytes::all<bytes::token>(t.data(), size), expect(bytes::token) == size);
          EXPECT_EQ(bytes::all<bytes::value>(t.data(), size), expect(bytes::value) == size);
          EXPECT_EQ(bytes::all<bytes::target>(t.data(), size), expect(bytes::target) == size);
          return 0;
        });
      }
    }
  }
}

TEST(ValidationTest, TokensAndValues) {
  EXPECT_TRUE(is_token("GET"));
  EXPECT_TRUE(is_token("!#$%&'*+-.^_`|~09azAZ"));
  for (const auto& bad : {""s, " "s, "a b"s, "a:"s, "a\0"s, "a\x80"s, "(a)"s, "a/b"s, "a,"s}) {
    EXPECT_FALSE(is_token(bad)) << bad;
  }
  for (const auto& good : {""s, "a"s, "a b"s, "a\tb"s, "\x80\xff"s, "\"q\""s}) {
    EXPECT_TRUE(is_field_value(good)) << good;
  }
  for (const auto& bad : {" a"s, "a "s, "\ta"s, "a\t"s, " "s, "a\rb"s, "a\nb"s, "a\0b"s, "a\x7f"s,
                          "a\x01"s, "a\x1f"s}) {
    EXPECT_FALSE(is_field_value(bad)) << bad;
  }
  EXPECT_EQ(trim(" \t a b\t "), "a b");
  EXPECT_EQ(trim(" \t "), "");
}

TEST(ValidationTest, Lists) {
  std::string_view list = ", a ,,\tb c , ";
  std::string_view member;
  ASSERT_TRUE(next_member(list, member));
  EXPECT_EQ(member, "a");
  ASSERT_TRUE(next_member(list, member));
  EXPECT_EQ(member, "b c");
  EXPECT_FALSE(next_member(list, member));
}

TEST(ValidationTest, Authorities) {
  for (const char* good :
       {"a", "a.test", "A.Test:80", "127.0.0.1:8080", "[::1]", "[::1]:443", "[2001:db8::1.2.3.4]",
        "a_b", "a-b.", "a:", "xn--a", "%41.test", "a;b", "orders:0", "orders:65535"}) {
    EXPECT_TRUE(is_authority(good)) << good;
  }
  for (const auto& bad :
       {""s,        ":80"s,   "a:80:90"s, "a:x"s,  "a:65536"s, "a:123456"s, "u@a"s,  "a,b"s,
        "a b"s,     "a/"s,    "a?"s,      "a#"s,   "[::1"s,    "::1"s,      "[]"s,   "[:]"s,
        "[::1]x"s,  "[::g]"s, "a[::1]"s,  "a\\b"s, "a%"s,      "a%4"s,      "%zz"s,  "a%00"s,
        "a\x80"s,   "a\0b"s,  "a\"b"s,    "<a>"s,  "a\tb"s,    "[::1]:x"s,  "a:+1"s, "a%20b"s,
        "[::1]80"s, "a|b"s,   "{a}"s,     "a:-1"s, "a: 80"s}) {
    EXPECT_FALSE(is_authority(bad)) << bad;
  }
  EXPECT_EQ(host_of("a.test:80"), "a.test");
  EXPECT_EQ(host_of("[::1]:80"), "[::1]");
  EXPECT_EQ(host_of("[::1]"), "[::1]");
  EXPECT_EQ(port_of("[::1]:80"), 80);
  EXPECT_EQ(port_of("a:65535"), 65535);
  EXPECT_EQ(port_of("a"), std::nullopt);
  EXPECT_EQ(port_of("a:"), std::nullopt);
  EXPECT_TRUE(same_authority("A.test", "a.Test:80", "http"));
  EXPECT_TRUE(same_authority("a:443", "a", "https"));
  EXPECT_FALSE(same_authority("a:443", "a", "http"));
  EXPECT_FALSE(same_authority("a", "b", "http"));

  BlockPool pool;
  Arena arena(pool);
  EXPECT_EQ(normalise_host("Orders.Mesh.:80", arena), "orders.mesh");
  EXPECT_EQ(normalise_host("[::AB]:1", arena), "[::ab]");
  const std::string_view same = "orders";
  EXPECT_EQ(normalise_host(same, arena).data(), same.data());
}

std::string normal(const std::string& path) {
  return exactly(path, [](std::string_view text) {
    BlockPool pool;
    Arena arena(pool);
    const auto result = normalise_path(text, arena);
    return result ? std::string(*result) : std::string("refused");
  });
}

TEST(NormalisePathTest, LeavesAloneWhatIsNormal) {
  BlockPool pool;
  Arena arena(pool);
  for (const std::string_view path :
       {"/", "/a", "/a/", "/a/b?c=/../d//%2f%00", "/a.b/..c/.d", "/a;x=1/b", "/%20%C3%A9", "/a?",
        "/.well-known/x", "/...", "/a/..b;c", "/?a=\\", "/a:b@c!$&'()*+,;=-._~"}) {
    const auto result = normalise_path(path, arena);
    ASSERT_TRUE(result) << path;
    EXPECT_EQ(*result, path);
    EXPECT_EQ(result->data(), path.data()) << path;
  }
}

TEST(NormalisePathTest, DecodesMergesAndResolves) {
  const std::pair<const char*, const char*> cases[] = {
      {"//", "/"},
      {"///a//b///", "/a/b/"},
      {"/./a", "/a"},
      {"/a/.", "/a/"},
      {"/a/./", "/a/"},
      {"/a/..", "/"},
      {"/a/../", "/"},
      {"/a/b/..", "/a/"},
      {"/a/b/../c", "/a/c"},
      {"/..", "/"},
      {"/../../a", "/a"},
      {"/a/../../admin", "/admin"},
      {"/a//../b", "/b"},
      {"/x/..;/admin", "/admin"},
      {"/x/..;a=b/admin", "/admin"},
      {"/.;/admin", "/admin"},
      {"/.;x/admin", "/admin"},
      {"/a/..;", "/"},
      {"/%2e%2e/admin", "/admin"},
      {"/x/%2E%2e/admin", "/admin"},
      {"/x/.%2e/admin", "/admin"},
      {"/x/%2e/admin", "/x/admin"},
      {"/x/%2e%2e;y/admin", "/admin"},
      {"/%61dmin", "/admin"},
      {"/%41%5a%5F%2d%7e%30", "/AZ_-~0"},
      {"/%252e%252e/admin", "/%252e%252e/admin"},
      {"/%3b/%3F/%23", "/%3B/%3F/%23"},
      {"/%c3%a9", "/%C3%A9"},
      // Bytes that must not appear raw in a path have a single spelling too.
      {"/caf\xc3\xa9", "/caf%C3%A9"},
      {"/\x80\xff", "/%80%FF"},
      {"/a|b^c`d\"e<f>{g}[h]", "/a%7Cb%5Ec%60d%22e%3Cf%3E%7Bg%7D%5Bh%5D"},
      {"/a:b@c!d$e&f'(g)*h+i,j;k=l", "/a:b@c!d$e&f'(g)*h+i,j;k=l"},
      {"/%2b%2c%3a%40", "/%2B%2C%3A%40"},
      {"/a//\xc3\xa9?\xc3\xa9|%zz\\", "/a/%C3%A9?\xc3\xa9|%zz\\"},
      // An escaped slash stays escaped and separates nothing.
      {"/%2f", "/%2F"},
      {"/admin%2fx", "/admin%2Fx"},
      {"/@scope%2fname/../a%2Fb", "/a%2Fb"},
      {"/a%2F%2fb/./c", "/a%2F%2Fb/c"},
      {"/a/.%2e.%2Fb/...%2F..b", "/a/...%2Fb/...%2F..b"},
      // A program that decodes first would find a dot segment's parameters behind an escape.
      {"/x/..%3b/admin", "/admin"},
      {"/x/%2e%2e%3Ba=b/admin", "/admin"},
      {"/.%3b/admin", "/admin"},
      {"/a//b?x=//&y=/../%41", "/a/b?x=//&y=/../%41"},
      {"/a/..?..", "/?.."},
      {"/a/...//..", "/a/"},
  };
  for (const auto& [from, to] : cases) {
    EXPECT_EQ(normal(from), to) << from;
    // Normalising again changes nothing.
    EXPECT_EQ(normal(to), to) << to;
  }
}

TEST(NormalisePathTest, Refuses) {
  for (const auto& bad : {""s,
                          "a"s,
                          "*"s,
                          "?a"s,
                          "/%00"s,
                          "/a%00b"s,
                          "/%5c"s,
                          "/%5C"s,
                          "/a\\b"s,
                          "/\\..\\a"s,
                          "/%"s,
                          "/%4"s,
                          "/%zz"s,
                          "/%4g"s,
                          "/a#b"s,
                          "/a b"s,
                          "/a\tb"s,
                          "/a\0b"s,
                          "/a\x7f"s,
                          "/a?b c"s,
                          "/a?b#c"s,
                          "/a?\x01"s,
                          "/%u0041"s,
                          "/%-1"s,
                          "/..%2Fa"s,
                          "/a%2f.."s,
                          "/a%2F%2e"s,
                          "/.%2Fa/../b"s,
                          "/x/%2e.%2fadmin"s,
                          "/a%2F..;b"s,
                          "/..;a%2fb/c"s,
                          "/%2f../a"s}) {
    EXPECT_EQ(normal(bad), "refused") << bad;
  }
}

// Every byte at every position of a path: the result is normalised, and no byte that was escaped in
// the input becomes a separator.
TEST(NormalisePathTest, ByteSweep) {
  const std::string base = "/ab/../c?d";
  for (std::size_t at = 0; at < base.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string path = base;
      path[at] = static_cast<char>(byte);
      const std::string result = normal(path);
      const bool visible = byte > ' ' && byte != 0x7f && byte != '#';
      const bool in_query = path.find('?') < at;
      const bool good =
          visible && (at != 0 || byte == '/') && ((byte != '\\' && byte != '%') || in_query);
      EXPECT_EQ(result != "refused", good) << path << " at " << at << " byte " << byte;
      if (!good) continue;
      EXPECT_EQ(normal(result), result);
      const std::string bare = result.substr(0, result.find('?'));
      EXPECT_EQ(bare.find("//"), bare.npos);
      EXPECT_EQ(bare.find("/../"), bare.npos);
    }
  }
}

TEST(ValidationTest, ContentLength) {
  EXPECT_EQ(parse_content_length("0"), 0U);
  EXPECT_EQ(parse_content_length("007"), 7U);
  EXPECT_EQ(parse_content_length("999999999999999999"), 999999999999999999U);
  for (const char* bad : {"", "+5", "-5", "0x5", "5 ", " 5", "5,5", "5, 5", "1e3", "5.", "5;",
                          "0000000000000000001", "9223372036854775808", "18446744073709551616"}) {
    EXPECT_FALSE(parse_content_length(bad)) << bad;
  }
}

TEST(ValidationTest, NamesThatCgiReadsAsOneOfOurs) {
  for (const char* twin :
       {"x_forwarded_client_cert", "X_Forwarded_Client_Cert", "x-forwarded_client-cert",
        "X_FORWARDED_FOR", "x_forwarded_prefix", "transfer_encoding", "Content_Length", "x_real_ip",
        "x_outrigger_anything", "x_envoy_internal", "x-original_url", "proxy_authorization",
        "grpc_status", "http2_settings", "x_request_id", "x_outrigger_deadline_ms", "content_type"})
    EXPECT_TRUE(is_twin(twin)) << twin;
  const std::string stretched = "x_forwarded_" + std::string(200, 'a');
  EXPECT_TRUE(is_twin(stretched));
  for (const char* other :
       {"x-forwarded-client-cert", "transfer-encoding", "x-real-ip", "x_y", "user_id", "_", "__",
        "_content_length", "content__length", "content_length_", "x_forwarded", "x_outrigger_",
        "trace_id", "xforwarded_for"})
    EXPECT_FALSE(is_twin(other)) << other;
  EXPECT_FALSE(is_twin(std::string(200, '_')));
  EXPECT_FALSE(is_twin("x" + std::string(200, '_')));
}

TEST(ValidationTest, Trailers) {
  for (const char* good :
       {"x-checksum", "grpc-status", "Grpc-Message", "server-timing", "digest"}) {
    EXPECT_TRUE(may_trail({good, "v", recognise(good)})) << good;
  }
  for (const char* bad : {"Content-Length",
                          "transfer-encoding",
                          "host",
                          "connection",
                          "te",
                          "trailer",
                          "upgrade",
                          "content-type",
                          "content-encoding",
                          "Content-Range",
                          "authorization",
                          "cookie",
                          "set-cookie",
                          "x-forwarded-for",
                          "X-Forwarded-Client-Cert",
                          "x-forwarded-prefix",
                          "x-outrigger-flag",
                          "x-outrigger-anything",
                          "X-Envoy-Internal",
                          "expect",
                          "x-request-id",
                          "forwarded",
                          "Cache-Control",
                          "x-original-url",
                          "x_original_url",
                          "X_Forwarded_Client_Cert",
                          "grpc_status"}) {
    EXPECT_FALSE(may_trail({bad, "v", recognise(bad)})) << bad;
  }
}

}  // namespace
}  // namespace outrigger::http
