#include "config/diagnostic.h"

#include <gtest/gtest.h>

#include <string>

namespace outrigger::config {
namespace {

TEST(Diagnostic, ShowsTheLineAndMarksThePlace) {
  const Source source("web.yaml", "services:\n  orders:\n    retires: 2\n");
  const Diagnostic d = make_diagnostic({&source, 3, 5, 7}, "unknown key 'retires'");
  EXPECT_EQ(render({d}, false),
            "web.yaml:3:5: error: unknown key 'retires'\n"
            "    3 |     retires: 2\n"
            "      |     ^^^^^^^\n");
}

TEST(Diagnostic, ColourOnlyWhenAsked) {
  const Source source("web.yaml", "a: 1\n");
  const Diagnostic d = make_diagnostic({&source, 1, 1, 1}, "no");
  EXPECT_EQ(render({d}, false).find('\x1b'), std::string::npos);
  EXPECT_NE(render({d}, true).find("\x1b[1;31merror: \x1b[0m"), std::string::npos);
}

TEST(Diagnostic, CaretsLineUpBelowTabsAndWideCharacters) {
  const Source source("f", "\té: x\n");
  const Diagnostic d = make_diagnostic({&source, 1, 6, 1}, "here");
  EXPECT_EQ(d.column, 5);
  EXPECT_EQ(render({d}, false), "f:1:5: error: here\n    1 | \té: x\n      | \t   ^\n");
}

TEST(Diagnostic, LongLinesAreCutAroundThePlace) {
  const Source source("f", std::string(5000, 'a') + "HERE" + std::string(5000, 'b'));
  const Diagnostic d = make_diagnostic({&source, 1, 5001, 4}, "x");
  EXPECT_EQ(d.column, 5001);
  EXPECT_LT(d.excerpt.size(), 200U);
  const std::string text = render({d}, false);
  const std::size_t excerpt = text.find("HERE");
  const std::size_t carets = text.rfind("^^^^");
  ASSERT_NE(excerpt, std::string::npos);
  // The ellipsis in front is one character of three bytes.
  EXPECT_EQ(excerpt - text.find("    1 | ") - 2, carets - text.rfind("      | "));
}

TEST(Diagnostic, AWholeFileHasNoLine) {
  const Source source("f", "");
  EXPECT_EQ(render({make_diagnostic({&source, 0, 0, 0}, "cannot read f")}, false),
            "f: error: cannot read f\n");
}

TEST(Diagnostic, TerminalEscapesDoNotGetThrough) {
  EXPECT_EQ(quoted("a\x1b[31m\nb"), "'a?[31m?b'");
  EXPECT_EQ(quoted("\xFFx"), "'?x'");
  EXPECT_EQ(quoted("a\xC2\x9B"
                   "b"),
            "'a?b'");
  EXPECT_LT(config::quoted(std::string(1000, 'x')).size(), 80U);
}

TEST(Diagnostic, Json) {
  const Source source("web.yaml", "a: \"q\"\n");
  EXPECT_EQ(render_json({make_diagnostic({&source, 1, 4, 3}, "say \"hi\"")}),
            "[\n  {\n    \"file\": \"web.yaml\",\n    \"line\": 1,\n    \"column\": 4,\n"
            "    \"length\": 3,\n    \"message\": \"say \\\"hi\\\"\"\n  }\n]");
  EXPECT_EQ(render_json({}), "[]");
}

TEST(Diagnostic, ErrorsAreSortedAndSaidOnce) {
  const Source first("a", "1\n2\n3\n");
  const Source second("b", "1\n");
  Report report;
  report.error({&first, 3, 1, 1}, "late");
  report.error({&second, 1, 1, 1}, "other file");
  report.error({&first, 1, 1, 1}, "early");
  report.error({&first, 1, 1, 1}, "early");
  const auto errors = report.take();
  ASSERT_EQ(errors.size(), 3U);
  EXPECT_EQ(errors[0].message, "early");
  EXPECT_EQ(errors[1].message, "late");
  EXPECT_EQ(errors[2].message, "other file");
}

TEST(Diagnostic, SuggestionsAreCloseOrAbsent) {
  const std::vector<std::string> keys{"retry", "timeout", "mtls", "to", "load_balancer"};
  EXPECT_EQ(did_you_mean("retires", keys), "; did you mean 'retry'?");
  EXPECT_EQ(did_you_mean("timeuot", keys), "; did you mean 'timeout'?");
  EXPECT_EQ(did_you_mean("mtl", keys), "; did you mean 'mtls'?");
  EXPECT_EQ(did_you_mean("loadbalancer", keys), "; did you mean 'load_balancer'?");
  EXPECT_EQ(did_you_mean("banana", keys), "");
  EXPECT_EQ(did_you_mean("xy", keys), "");
  EXPECT_EQ(did_you_mean("", keys), "");
  EXPECT_EQ(did_you_mean(std::string(1000, 'r'), keys), "");
}

}  // namespace
}  // namespace outrigger::config
