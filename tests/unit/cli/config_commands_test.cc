#include "cli/config_commands.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace outrigger::cli {
namespace {

namespace fs = std::filesystem;

struct Output {
  int code;
  std::string out;
  std::string err;
};

template <typename Run>
Output capture(Run run) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Output output;
  output.code = run();
  output.out = testing::internal::GetCapturedStdout();
  output.err = testing::internal::GetCapturedStderr();
  return output;
}

class ConfigCommands : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "outrigger-config-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string file(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }

  fs::path folder_;
};

TEST_F(ConfigCommands, AValidFileIsSaidToBeSoOnStderr) {
  const std::string path = file("good.yaml", "version: 1\nnode: web\n");
  const Output result = capture([&] { return validate_command({path}, false); });
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, path + ": valid\n");
}

TEST_F(ConfigCommands, ErrorsGoToStderrWithoutColourWhenItIsNoTerminal) {
  const std::string good = file("good.yaml", "version: 1\n");
  const std::string path = file("bad.yaml", "version: 1\nnode: {servce: web}\n");
  const Output result = capture([&] { return validate_command({good, path}, false); });
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, good + ": valid\n" + path +
                            ":2:8: error: unknown key 'servce' in node; did you mean 'service'?\n"
                            "    2 | node: {servce: web}\n      |        ^^^^^^\n");
}

TEST_F(ConfigCommands, JsonForTools) {
  const std::string path = file("bad.yaml", "version: 2\n");
  const Output result = capture([&] { return validate_command({path}, true); });
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err, "");
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_FALSE(json["valid"].get<bool>());
  ASSERT_EQ(json["errors"].size(), 1U);
  EXPECT_EQ(json["errors"][0]["file"], path);
  EXPECT_EQ(json["errors"][0]["line"], 1);
  EXPECT_EQ(json["errors"][0]["column"], 10);
}

TEST_F(ConfigCommands, AWarningIsShownAndTheFileIsValid) {
  const std::string path =
      file("both.yaml",
           "version: 1\ninbound:\n  - {listen: 127.0.0.1:1, app: 127.0.0.1:2, mtls: disabled,\n"
           "     protocol: [http, tcp]}\n");
  const Output result = capture([&] { return validate_command({path}, false); });
  EXPECT_EQ(result.code, 0);
  EXPECT_NE(result.err.find(path + ":4:6: warning: inbound"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find(path + ": valid\n"), std::string::npos) << result.err;
  const Output tools = capture([&] { return validate_command({path}, true); });
  const auto json = nlohmann::json::parse(tools.out);
  EXPECT_TRUE(json["valid"].get<bool>());
  EXPECT_EQ(json["errors"].size(), 0U);
  ASSERT_EQ(json["warnings"].size(), 1U);
  EXPECT_EQ(json["warnings"][0]["line"], 4);
}

TEST_F(ConfigCommands, TheRealWorldHasVariablesFilesAndPatterns) {
  file("name", "web\n");
  fs::create_directory(folder_ / "conf.d");
  file("conf.d/b.yaml", "services: {b: {endpoints: [\"10.0.0.2:1\"]}}\n");
  file("conf.d/a.yaml", "services: {a: {endpoints: [\"10.0.0.1:1\"]}}\n");
  setenv("OUTRIGGER_TEST_ID", "i-1", 1);
  const std::string path = file("main.yaml",
                                "version: 1\ninclude: conf.d/*.yaml\ndefaults: {mtls: disabled}\n"
                                "node: {service: \"${file:name}\", id: \"${OUTRIGGER_TEST_ID}\"}\n"
                                "routes: [{match: a, to: b}]\n");
  const Output result = capture([&] { return validate_command({path}, false); });
  unsetenv("OUTRIGGER_TEST_ID");
  EXPECT_EQ(result.code, 0) << result.err;
}

TEST_F(ConfigCommands, FilesThatCannotBeRead) {
  const std::string missing = (folder_ / "nope.yaml").string();
  const Output first = capture([&] { return validate_command({missing}, false); });
  EXPECT_EQ(first.code, 1);
  EXPECT_EQ(first.err,
            missing + ": error: cannot read " + missing + ": No such file or directory\n");
  const Output second = capture([&] { return validate_command({folder_.string()}, false); });
  EXPECT_EQ(second.code, 1);
  EXPECT_NE(second.err.find("it is a directory"), std::string::npos);
  const Output third = capture([&] {
    return validate_command(
        {file("id.yaml", "version: 1\nidentity: {cert: no.crt, key: no.key, ca: no.ca}\n")}, false);
  });
  EXPECT_EQ(third.code, 1);
  EXPECT_NE(third.err.find(":2:18: error: cannot read " + (folder_ / "no.crt").string()),
            std::string::npos)
      << third.err;
}

TEST(ConfigCommandsUsage, WrongUsageIs64) {
  EXPECT_EQ(capture([] { return validate_command({}, false); }).code, 64);
  const Output result = capture([] { return explain_command("servces"); });
  EXPECT_EQ(result.code, 64);
  EXPECT_EQ(result.out, "");
  EXPECT_NE(result.err.find("did you mean 'services'?"), std::string::npos);
}

TEST(ConfigCommandsUsage, ExplainAndSchemaPrintData) {
  const Output explained = capture([] { return explain_command("inbound"); });
  EXPECT_EQ(explained.code, 0);
  EXPECT_NE(explained.out.find("trusted_proxies"), std::string::npos);
  const Output schema = capture([] { return schema_command(); });
  EXPECT_EQ(schema.code, 0);
  EXPECT_EQ(nlohmann::json::parse(schema.out)["title"], "Outrigger configuration, version 1");
}

}  // namespace
}  // namespace outrigger::cli
