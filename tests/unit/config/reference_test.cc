// What is generated from the tables must agree with what is maintained by hand: the committed
// schema, the reference page, the sample files and every example in the documentation.

#include "config/reference.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "config/describe.h"
#include "config/load.h"
#include "config/schema.h"
#include "support/config_world.h"
#include "support/source_dir.h"

namespace outrigger::config {
namespace {

namespace fs = std::filesystem;

const fs::path source_dir = test::source_dir();

std::string content_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

// With OUTRIGGER_UPDATE_GOLDEN=1 in the environment the file is written instead.
void expect_file(const fs::path& path, const std::string& made) {
  if (std::getenv("OUTRIGGER_UPDATE_GOLDEN") != nullptr)
    std::ofstream(path, std::ios::binary) << made;
  EXPECT_EQ(content_of(path), made)
      << path << " is stale; run test_config with OUTRIGGER_UPDATE_GOLDEN=1";
}

// Certificates and other files are assumed to exist.
LoadResult load_here(const std::string& text, const std::string& name) {
  static const World world;
  return load_text(text, name, world.environment());
}

TEST(Reference, TheCommittedSchemaIsCurrent) {
  expect_file(source_dir / "config/schema/v1.json", json_schema());
}

TEST(Reference, TheReferencePageIsCurrent) {
  expect_file(source_dir / "docs/configuration-reference.md", reference_page());
}

TEST(Reference, TheSchemaHasEveryFieldThatIsRead) {
  const auto schema = nlohmann::json::parse(json_schema());
  EXPECT_EQ(schema["$schema"], "http://json-schema.org/draft-07/schema#");
  std::size_t seen = 0;
  for (const RecordUse& use : all_records()) {
    for (const FieldInfo& field : use.record->fields) {
      const bool named = json_schema().find("\"" + field.key + "\"") != std::string::npos;
      if (field.flag != Flag::later) {
        EXPECT_TRUE(named) << use.record->title << "." << field.key;
        ++seen;
      }
    }
  }
  EXPECT_GT(seen, 100U);
  EXPECT_FALSE(schema["properties"].contains("jwt")) << "what is not read is not offered";
  EXPECT_FALSE(schema["additionalProperties"].get<bool>());
}

TEST(Reference, EveryReferenceOfTheSchemaIsDefined) {
  const std::string text = json_schema();
  const auto schema = nlohmann::json::parse(text);
  const std::string key = "\"$ref\": \"#/definitions/";
  std::size_t found = 0;
  for (std::size_t at = text.find(key); at != std::string::npos; at = text.find(key, at + 1)) {
    const std::size_t start = at + key.size();
    const std::string name = text.substr(start, text.find('"', start) - start);
    EXPECT_TRUE(schema["definitions"].contains(name)) << name;
    ++found;
  }
  EXPECT_GT(found, 20U);
}

TEST(Reference, TitlesAreUniqueAndEveryFieldIsExplained) {
  std::map<std::string, const RecordInfo*> titles;
  for (const RecordUse& use : all_records()) {
    EXPECT_TRUE(titles.emplace(use.record->title, use.record).second) << use.record->title;
    EXPECT_FALSE(use.record->help.empty());
    EXPECT_TRUE(use.record->main.empty() || use.record->find(use.record->main) != nullptr);
    std::map<std::string, int> keys;
    for (const FieldInfo& field : use.record->fields) {
      EXPECT_EQ(++keys[field.key], 1) << use.record->title << "." << field.key;
      EXPECT_FALSE(field.help.empty()) << use.record->title << "." << field.key;
      EXPECT_EQ(field.help.back(), '.') << use.record->title << "." << field.key;
      for (const char* word : {"on", "off", "yes", "no"}) EXPECT_NE(field.key, word);
      for (const Choice& choice : field.shape.choices) {
        for (const char* word : {"on", "yes", "no"}) EXPECT_NE(choice.name, word);
      }
    }
  }
}

TEST(Reference, SampleFilesLoad) {
  for (const char* name : {"minimal.yaml", "example.yaml"}) {
    const LoadResult result = load_here(content_of(source_dir / "config" / name), name);
    EXPECT_TRUE(result.ok()) << render(result.errors, false);
  }
}

std::vector<fs::path> pages() {
  std::vector<fs::path> out;
  if (fs::exists(source_dir / "README.md")) out.push_back(source_dir / "README.md");
  for (const auto& entry : fs::directory_iterator(source_dir / "docs")) {
    if (entry.path().extension() == ".md") out.push_back(entry.path());
  }
  return out;
}

// The blocks that are complete configurations.
std::vector<std::string> examples_of(const std::string& page) {
  const std::string fence = "```yaml\n";
  std::vector<std::string> out;
  for (std::size_t at = page.find(fence); at != std::string::npos; at = page.find(fence, at)) {
    at += fence.size();
    const std::size_t end = page.find("```", at);
    if (page.compare(at, 8, "version:") == 0) out.push_back(page.substr(at, end - at));
  }
  return out;
}

TEST(Reference, EveryExampleOfTheDocumentationLoads) {
  std::size_t examples = 0;
  for (const fs::path& page : pages()) {
    for (const std::string& example : examples_of(content_of(page))) {
      const LoadResult result = load_here(example, page.filename().string());
      EXPECT_TRUE(result.ok()) << page << "\n" << example << render(result.errors, false);
      ++examples;
    }
  }
  EXPECT_GE(examples, 8U);
}

TEST(Reference, TheMinimalSampleIsTheOneOfThePage) {
  const auto examples = examples_of(content_of(source_dir / "docs/configuration.md"));
  ASSERT_FALSE(examples.empty());
  EXPECT_EQ(examples[0], content_of(source_dir / "config/minimal.yaml"));
}

TEST(Reference, ExplainFindsItsWay) {
  EXPECT_NE(explain("")->find("services"), std::string::npos);
  for (const char* path : {"services.orders.retry", "services.retry", "defaults.retry",
                           "routes[0].retry", "routes.retry", "services.NAME.retry"}) {
    const auto text = explain(path);
    // Without a name, the next word is taken as the name.
    if (std::string(path) == "services.retry") {
      EXPECT_NE(text->find("services.NAME\n"), std::string::npos);
      continue;
    }
    ASSERT_TRUE(text.ok()) << path;
    EXPECT_NE(text->find("default 25ms..250ms"), std::string::npos) << path;
    EXPECT_NE(text->find("A scalar stands for max."), std::string::npos) << path;
  }
  EXPECT_EQ(*explain("admin.listen"),
            "admin.listen\n  Where the admin port listens. Anything but a loopback address or a "
            "Unix socket needs token_file.\n  Value: address\n  Default: 127.0.0.1:15000\n");
  EXPECT_NE(explain("jwt.corp.issuer")->find("Not in this version yet"), std::string::npos);
}

TEST(Reference, ExplainNamesTheNearestField) {
  EXPECT_EQ(explain("service").error().message,
            "there is no field 'service'; did you mean 'services'?");
  EXPECT_EQ(explain("services.a.retires").error().message,
            "there is no field 'retires' in services.NAME; did you mean 'retry'?");
  EXPECT_EQ(explain("admin.listen.port").error().message,
            "admin.listen has no fields, so there is no 'port'");
}

}  // namespace
}  // namespace outrigger::config
