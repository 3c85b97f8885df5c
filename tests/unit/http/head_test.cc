#include "http/head.h"

#include <gtest/gtest.h>

#include <cctype>
#include <string>

namespace outrigger::http {
namespace {

class HeadTest : public testing::Test {
 protected:
  BlockPool pool_;
  Arena arena_{pool_};
};

constexpr int first_known = static_cast<int>(Known::other) + 1;
constexpr int last_known = static_cast<int>(Known::count_);

TEST_F(HeadTest, RecognisesEveryKnownNameInAnyCase) {
  for (int i = first_known; i < last_known; ++i) {
    const auto known = static_cast<Known>(i);
    const std::string name(name_of(known));
    EXPECT_EQ(recognise(name), known) << name;
    std::string upper = name;
    for (char& c : upper) c = static_cast<char>(std::toupper(c));
    EXPECT_EQ(recognise(upper), known) << upper;
  }
}

TEST_F(HeadTest, RecognisesNothingThatDiffersInOneByte) {
  for (int i = first_known; i < last_known; ++i) {
    const std::string name(name_of(static_cast<Known>(i)));
    for (std::size_t at = 0; at < name.size(); ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string other = name;
        other[at] = static_cast<char>(byte);
        const bool same = equal_ignoring_case(other, name);
        const Known got = recognise(other);
        EXPECT_EQ(got == static_cast<Known>(i), same) << name << " at " << at << " byte " << byte;
        if (got != Known::other) {
          EXPECT_TRUE(equal_ignoring_case(name_of(got), other));
        }
      }
    }
    EXPECT_EQ(recognise(name + "x"), Known::other);
    EXPECT_NE(recognise(name.substr(1)), static_cast<Known>(i));
  }
  EXPECT_EQ(recognise(""), Known::other);
  EXPECT_EQ(recognise("x"), Known::other);
  EXPECT_EQ(recognise(std::string(300, 'a')), Known::other);
}

TEST_F(HeadTest, Methods) {
  EXPECT_EQ(parse_method("GET"), Method::get);
  EXPECT_EQ(parse_method("HEAD"), Method::head);
  EXPECT_EQ(parse_method("POST"), Method::post);
  EXPECT_EQ(parse_method("PUT"), Method::put);
  EXPECT_EQ(parse_method("DELETE"), Method::delete_);
  EXPECT_EQ(parse_method("OPTIONS"), Method::options);
  EXPECT_EQ(parse_method("PATCH"), Method::patch);
  EXPECT_EQ(parse_method("TRACE"), Method::trace);
  EXPECT_EQ(parse_method("CONNECT"), Method::connect);
  for (const char* other : {"", "get", "Get", "GETS", "PROPFIND", "XXXX", "XXXXX", "XXXXXX"}) {
    EXPECT_EQ(parse_method(other), Method::other) << other;
  }
  for (const Method m :
       {Method::get, Method::head, Method::options, Method::trace, Method::put, Method::delete_}) {
    EXPECT_TRUE(is_idempotent(m));
  }
  for (const Method m : {Method::post, Method::patch, Method::connect, Method::other}) {
    EXPECT_FALSE(is_idempotent(m));
  }
}

TEST_F(HeadTest, FieldsFindRemoveAndSet) {
  Fields fields(arena_);
  fields.add("Cookie", "a=1");
  fields.add("X-One", "1");
  fields.add("cookie", "b=2");
  fields.add("x-one", "2");
  EXPECT_EQ(fields.size(), 4U);
  EXPECT_EQ(fields.value(Known::cookie), "a=1");
  EXPECT_EQ(fields.find("COOKIE")->value, "a=1");
  EXPECT_EQ(fields.find("X-ONE")->value, "1");
  EXPECT_EQ(fields.find("x-two"), nullptr);
  EXPECT_FALSE(fields.has(Known::date));
  EXPECT_EQ(fields.value(Known::date), "");

  EXPECT_EQ(fields.remove("x-ONE"), 2U);
  EXPECT_EQ(fields.remove(Known::date), 0U);
  EXPECT_EQ(fields.size(), 2U);
  fields.set(Known::cookie, "c=3");
  ASSERT_EQ(fields.size(), 1U);
  EXPECT_EQ(fields.begin()->name, "cookie");
  EXPECT_EQ(fields.begin()->value, "c=3");
  fields.set("Date", "now");
  EXPECT_EQ(fields.value(Known::date), "now");
  EXPECT_EQ(fields.remove("COOKIE"), 1U);
}

TEST_F(HeadTest, FieldsGrowAndKeepTheirOrder) {
  Fields fields(arena_);
  for (int i = 0; i < 100; ++i) {
    fields.add(arena_.copy("x-" + std::to_string(i)), arena_.copy(std::to_string(i)));
  }
  int i = 0;
  for (const Field& field : fields) EXPECT_EQ(field.value, std::to_string(i++));
  EXPECT_EQ(i, 100);
  fields.release();
  EXPECT_TRUE(fields.empty());
  fields.add("a", "b");
  EXPECT_EQ(fields.size(), 1U);
}

TEST_F(HeadTest, CopiesEverythingIntoTheOtherArena) {
  BlockPool other_pool;
  Arena other_arena(other_pool);
  Head copy(other_arena);
  copy.fields.add("left", "over");
  {
    Arena arena(pool_);
    Head head(arena);
    head.method = Method::other;
    head.method_text = arena.copy("BREW");
    head.scheme = "https";
    head.authority = arena.copy("pot.test");
    head.path = arena.copy("/coffee?milk");
    head.protocol = arena.copy("websocket");
    head.te_trailers = head.expect_continue = true;
    head.content_length = 7;
    head.version = Version::http2;
    head.fields.add(arena.copy("X-Sugar"), arena.copy("two"));
    head.fields.add(Known::cookie, "");
    copy_head(head, copy);
  }
  EXPECT_EQ(copy.method, Method::other);
  EXPECT_EQ(copy.method_text, "BREW");
  EXPECT_EQ(copy.scheme, "https");
  EXPECT_EQ(copy.authority, "pot.test");
  EXPECT_EQ(copy.path, "/coffee?milk");
  EXPECT_EQ(copy.protocol, "websocket");
  EXPECT_TRUE(copy.te_trailers);
  EXPECT_TRUE(copy.expect_continue);
  EXPECT_EQ(copy.content_length, 7U);
  EXPECT_EQ(copy.version, Version::http2);
  ASSERT_EQ(copy.fields.size(), 2U);
  EXPECT_EQ(copy.fields.find("x-sugar")->value, "two");
  EXPECT_TRUE(copy.fields.has(Known::cookie));

  copy.clear();
  EXPECT_TRUE(copy.is_request());
  EXPECT_TRUE(copy.fields.empty());
  EXPECT_FALSE(copy.content_length);
}

TEST_F(HeadTest, Grpc) {
  const auto is_grpc = [this](const char* type) {
    Head head(arena_);
    head.fields.add(Known::content_type, type);
    return head.is_grpc();
  };
  EXPECT_TRUE(is_grpc("application/grpc"));
  EXPECT_TRUE(is_grpc("Application/GRPC+proto"));
  EXPECT_TRUE(is_grpc("application/grpc;charset=x"));
  EXPECT_FALSE(is_grpc("application/grpc-web"));
  EXPECT_FALSE(is_grpc("application/json"));
  EXPECT_FALSE(Head(arena_).is_grpc());
}

TEST_F(HeadTest, Names) {
  EXPECT_EQ(to_string(Version::http10), "HTTP/1.0");
  EXPECT_EQ(to_string(Version::http11), "HTTP/1.1");
  EXPECT_EQ(to_string(Version::http2), "HTTP/2");
  EXPECT_TRUE(equal_ignoring_case("AbZ-", "aBz-"));
  EXPECT_FALSE(equal_ignoring_case("@", "`"));
  EXPECT_FALSE(equal_ignoring_case("a", "ab"));
}

}  // namespace
}  // namespace outrigger::http
