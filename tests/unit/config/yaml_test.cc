#include "config/yaml.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace outrigger::config {
namespace {

struct Parsed {
  explicit Parsed(std::string text, const YamlLimits& limits = {})
      : source("t.yaml", std::move(text)) {
    complete = parse_yaml(source, limits, report, root);
    errors = report.take();
  }
  Source source;
  Report report;
  YamlNode root;
  std::vector<Diagnostic> errors;
  bool complete = false;
};

std::string where(const YamlNode& node) {
  return std::to_string(node.place.line) + ":" + std::to_string(node.place.column) + "+" +
         std::to_string(node.place.length);
}

TEST(Yaml, EveryKeyAndValueHasItsPlace) {
  const Parsed parsed(
      "# first\n"
      "node: {service: web, id: 'a b'}\n"
      "empty:\n"
      "list:\n"
      "  - one\n"
      "  - {x: \"two\"}\n"
      "block: |\n"
      "  text\n");
  ASSERT_TRUE(parsed.errors.empty()) << parsed.errors[0].message;
  const YamlNode& root = parsed.root;
  EXPECT_EQ(where(root.entries[0].key), "2:1+4");
  EXPECT_EQ(where(*root.find("node")->find("service")), "2:17+3");
  EXPECT_EQ(where(*root.find("node")->find("id")), "2:26+5");
  EXPECT_TRUE(root.find("node")->find("id")->quoted);
  EXPECT_FALSE(root.find("node")->find("service")->quoted);
  EXPECT_TRUE(root.find("empty")->is_null());
  EXPECT_EQ(where(*root.find("empty")), "3:1+5") << "an empty value stands where its key does";
  EXPECT_EQ(where(root.find("list")->items[0]), "5:5+3");
  EXPECT_EQ(where(*root.find("list")->items[1].find("x")), "6:9+5");
  EXPECT_EQ(root.find("block")->text, "text\n");
}

TEST(Yaml, ScalarsStayText) {
  const Parsed parsed("a: 010\nb: yes\nc: 1e3\nd: 0x10\ne: 2026-11-22\nf: .inf\n");
  ASSERT_TRUE(parsed.errors.empty());
  const std::vector<std::string> expected{"010", "yes", "1e3", "0x10", "2026-11-22", ".inf"};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(parsed.root.entries[i].value.text, expected[i]);
  }
}

TEST(Yaml, LineEndsAndByteOrderMarkDoNotMoveAnything) {
  const Parsed parsed(
      "\xEF\xBB\xBF"
      "a:\r\n  b: x\r\n");
  ASSERT_TRUE(parsed.errors.empty());
  EXPECT_EQ(where(*parsed.root.find("a")->find("b")), "2:6+1");
}

TEST(Yaml, AliasesStandForTheirAnchors) {
  const Parsed parsed("a: &x {b: 1}\nc: *x\n");
  ASSERT_TRUE(parsed.errors.empty());
  EXPECT_EQ(parsed.root.find("c")->find("b")->text, "1");
}

TEST(Yaml, EmptyDocumentsAreNull) {
  for (const char* text : {"", "\n", "# comment\n", "---\n", "~\n"}) {
    const Parsed parsed(text);
    EXPECT_TRUE(parsed.errors.empty()) << text;
    EXPECT_TRUE(parsed.root.is_null()) << text;
  }
}

struct Bad {
  std::string text;
  int line;
  int column;
  std::string part;  // of the message
};

void expect_bad(const std::vector<Bad>& cases) {
  for (const Bad& bad : cases) {
    const Parsed parsed(bad.text);
    ASSERT_FALSE(parsed.errors.empty()) << bad.text;
    const Diagnostic& d = parsed.errors[0];
    EXPECT_EQ(d.line, bad.line) << bad.text << d.message;
    EXPECT_EQ(d.column, bad.column) << bad.text << d.message;
    EXPECT_NE(d.message.find(bad.part), std::string::npos) << bad.text << d.message;
  }
}

TEST(Yaml, TrapsAreMetWithAdvice) {
  expect_bad({
      {"listen: [::]:15006\n", 1, 9, "quote it: \"[::]:15006\""},
      {"a: {listen: [::1]:80, b: c}\n", 1, 13, "quote it: \"[::1]:80\""},
      {"services: [*]\n", 1, 12, "quote it: \"*\""},
      {"a: *\n", 1, 4, "quote it: \"*\""},
      {"a: *:80\n", 1, 4, "quote it: \"*:80\""},
      {"a: {b: *x, c: d}\n", 1, 8, "quote it: \"*x\""},
      {"a: {status:200}\n", 1, 5, "space after the colon: 'status: 200'"},
      {"a: {status:200, b: c}\n", 1, 5, "space after the colon"},
      {"a:\n  status:200\n  body: x\n", 2, 3, "space after the colon"},
      {"a:\n  status:200\n  body:300\n", 2, 3, "space after the colon"},
      {"a: {zone: ${ZONE:-a}, b: c}\n", 1, 11, "quote it: \"${ZONE:-a}\""},
      {"a: [${A}]\n", 1, 5, "quote it: \"${A}\""},
      {"a: b: c\n", 1, 5, "quote the whole value"},
      {"a: @x\n", 1, 4, "cannot begin with '@'; quote it: \"@x\""},
      {"a: `x`\n", 1, 4, "quote it"},
      {"a: %5\n", 1, 4, "quote it: \"%5\""},
      {"a:\n\tb: c\n", 2, 1, "indent with spaces"},
      {"a:\n  b: c\n\td: e\n", 3, 1, "indent with spaces"},
      {"a: - b\n", 1, 4, "a list item must begin on its own line"},
      {"a: \"\\q\"\n", 1, 7, "no such escape"},
  });
}

TEST(Yaml, BrokenStructureIsLocated) {
  expect_bad({
      {"a: \"x\n", 1, 4, "quote is never closed"},
      {"a: 'x''\n", 1, 4, "quote is never closed"},
      {"a: 1\nb: \"x\n\n", 2, 4, "quote is never closed"},
      {"a: {b: c\n", 1, 4, "'{' is never closed"},
      {"a: [b, c\n", 1, 4, "'[' is never closed"},
      {"a: [1, 2\nb: 3\n", 1, 8, "continues on the next line"},
      {"a: [1, \"2\"\nb: 3\n", 2, 1, "the '[' of line 1 is still open"},
      {"a: 1\n b: 2\n", 1, 4, "continues on the next line"},
      {"a:\n  b: 1\n c: 2\n", 3, 2, "indentation"},
      {"a: ]\n", 1, 4, "closes nothing"},
      {"a: {}\n}\n", 2, 1, "closes nothing"},
      {"a: 'x' y\n", 1, 8, "unexpected text"},
      {"a: {b c: d: e}\n", 1, 11, "missing here"},
      {"a: [[b\n", 1, 5, "never closed"},
      {"? [a]\n: b\n", 1, 3, "a key must be a scalar"},
      {"a: {{b}}\n", 1, 5, "a key must be a scalar"},
      {": a\n", 1, 1, "a key is missing"},
      {"~: a\n", 1, 1, "a key is missing"},
  });
}

TEST(Yaml, WhatTheLanguageDoesNotHave) {
  expect_bad({
      {"a: 1\nb: 2\na: 3\n", 3, 1, "key 'a' is given twice; it is already in line 1"},
      {"x: {a: 1, \"a\": 2}\n", 1, 11, "given twice"},
      {"<<: {a: 1}\n", 1, 1, "merge keys"},
      {"a: 1\n---\nb: 2\n", 2, 1, "second document"},
      {"- a\n-b\n", 2, 1, "check the indentation"},
      {"a: 1\n...\nb: 2\n", 3, 1, "check the indentation"},
      {"a: !foo 1\n", 1, 4, "tags such as '!foo'"},
      {"a: !!str 1\n", 1, 4, "tags such as"},
      {"a: !x {}\n", 1, 4, "tags such as '!x'"},
      {"a: &x [*x]\n", 1, 8, "inside the node that it refers to"},
  });
}

TEST(Yaml, BytesThatAreNoText) {
  expect_bad({
      {std::string("a: b\nc: x\0y\n", 12), 2, 5, "a NUL byte"},
      {"a: \xFF\n", 1, 4, "not valid UTF-8 (byte 0xFF)"},
      {"a: \xC0\xAF\n", 1, 4, "not valid UTF-8"},
      {"a: \xED\xA0\x80\n", 1, 4, "not valid UTF-8"},
      {"a: \xF4\x90\x80\x80\n", 1, 4, "not valid UTF-8"},
      {"a: \xE2\x82", 1, 4, "not valid UTF-8"},
      {"a: \x04\n", 1, 4, "control character (0x04)"},
      {"a: \x7F\n", 1, 4, "control character (0x7F)"},
      {"a: \xC2\x85\n", 1, 4, "control character (0x85)"},
      {"a: \x1B[31m\n", 1, 4, "control character (0x1B)"},
      {"a: 1\rb: 2\n", 1, 5, "carriage return"},
      {"a:\n\xC2\xA0 b: c\n", 2, 1, "no-break space"},
      {std::string("\xFF\xFE"
                   "a\0:\0",
                   6),
       1, 1, "not valid UTF-8"},
  });
}

TEST(Yaml, ColumnsCountCharactersAndPointAtThem) {
  const Parsed parsed("é: 1\né: 2\nx: {ä: [ö, *x]}\n");
  ASSERT_FALSE(parsed.errors.empty());
  EXPECT_EQ(parsed.errors[0].column, 1);
  EXPECT_EQ(parsed.errors[0].length, 1) << "one character of two bytes";
}

TEST(Yaml, Limits) {
  const std::string deep = std::string(40, '[') + std::string(40, ']');
  EXPECT_NE(Parsed("a: " + deep + "\n").errors.at(0).message.find("nested too deeply"),
            std::string::npos);
  const Parsed large(std::string(100, 'a'), YamlLimits{.bytes_max = 99});
  EXPECT_NE(large.errors.at(0).message.find("larger than 99 bytes"), std::string::npos);
  EXPECT_EQ(large.errors.at(0).line, 0);
  EXPECT_TRUE(Parsed("a: [1, 2, 3]\n", YamlLimits{.nodes_max = 6}).errors.empty());
  EXPECT_NE(
      Parsed("a: [1, 2, 3]\n", YamlLimits{.nodes_max = 5}).errors.at(0).message.find("too many"),
      std::string::npos);
}

TEST(Yaml, AnAliasBombIsRefusedBeforeItIsBuilt) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) bomb += before + (j < 9 ? ", " : "]\n");
  }
  const Parsed parsed(bomb);
  ASSERT_EQ(parsed.errors.size(), 1U);
  EXPECT_NE(parsed.errors[0].message.find("counting the contents of anchors and aliases"),
            std::string::npos);
}

// What an anchor names is kept a second time, for aliases; nested ones each keep it.
TEST(Yaml, AnAnchorCountsWhatItKeeps) {
  const auto nested = [](int anchors) {
    std::string text = "a: ";
    for (int i = 0; i < anchors; ++i) text += "&a" + std::to_string(i) + " [";
    return text + "x, x, x, x, x, x, x" + std::string(static_cast<std::size_t>(anchors), ']') +
           "\n";
  };
  // The map, its key, two lists, the seven; and again one with seven, and two with seven.
  EXPECT_TRUE(Parsed(nested(2), YamlLimits{.nodes_max = 11 + 8 + 9}).errors.empty());
  const Parsed refused(nested(2), YamlLimits{.nodes_max = 11 + 8 + 9 - 1});
  ASSERT_EQ(refused.errors.size(), 1U);
  EXPECT_NE(refused.errors[0].message.find("too many values"), std::string::npos);
  // An alias counts what it stands for, not what anchors in there keep.
  EXPECT_TRUE(
      Parsed("a: &a {b: &b {c: d}}\ne: *a\n", YamlLimits{.nodes_max = 8 + 8 + 5}).errors.empty());
}

TEST(Yaml, AnAliasCountsTheTextThatItCopies) {
  const std::string text = "a: &a \"" + std::string(2560, 'x') + "\"\nb: [*a, *a]\n";
  // The map, two keys, the list; 11 each for the text, what its anchor keeps, and two aliases.
  EXPECT_TRUE(Parsed(text, YamlLimits{.nodes_max = 4 + 4 * 11 + 2 * 11}).errors.empty());
  EXPECT_EQ(Parsed(text, YamlLimits{.nodes_max = 4 + 4 * 11 - 1}).errors.size(), 1U);
}

// Bytes of a tree, without the node itself.
std::size_t bytes_below(const YamlNode& node) {
  std::size_t bytes = node.text.capacity() > std::string().capacity() ? node.text.capacity() : 0;
  if (node.items.capacity() > 0)
    bytes += sizeof(std::vector<YamlNode>) + node.items.capacity() * sizeof(YamlNode);
  if (node.entries.capacity() > 0)
    bytes += sizeof(std::vector<YamlEntry>) + node.entries.capacity() * sizeof(YamlEntry);
  for (const YamlNode& item : node.items) bytes += bytes_below(item);
  for (const YamlEntry& entry : node.entries)
    bytes += bytes_below(entry.key) + bytes_below(entry.value);
  return bytes;
}

// docs/limits.md says what the largest list of endpoints takes.
TEST(Yaml, ANodeIsSmall) {
  EXPECT_LE(sizeof(YamlNode), 96U);
  std::string text = "orders:\n";
  constexpr std::size_t count = 1024;
  for (std::size_t i = 0; i < count; ++i)
    text += "  - {address: \"10.0.0.1:80\", zone: eu-west-1a, weight: 2}\n";
  const Parsed parsed(text);
  ASSERT_TRUE(parsed.errors.empty());
  EXPECT_EQ(parsed.root.find("orders")->items.size(), count);
  EXPECT_LE(bytes_below(parsed.root), count * 7 * 100);
}

TEST(Yaml, AReportIsBounded) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "a: 1\n";
  const Parsed parsed(text);
  ASSERT_EQ(parsed.errors.size(), Report::errors_max + 1);
  EXPECT_EQ(parsed.errors.back().message, "further errors are not shown");
}

}  // namespace
}  // namespace outrigger::config
