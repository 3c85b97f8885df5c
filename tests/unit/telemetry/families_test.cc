#include "telemetry/families.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <regex>
#include <set>
#include <string>

#include "base/flags.h"
#include "support/golden_file.h"
#include "support/source_dir.h"

namespace outrigger::telemetry {
namespace {

// The rules for names that scrapers and their linters enforce.
TEST(Families, names_follow_the_conventions) {
  std::set<std::string_view> names;
  for (const FamilyInfo& family : all_families()) {
    const std::string_view name = family.name;
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_TRUE(name.starts_with("outrigger_") || name.starts_with("process_")) << name;
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string_view::npos)
        << name;
    EXPECT_EQ(name.ends_with("_total"), family.type == MetricType::counter) << name;
    for (const std::string_view reserved : {"_count", "_sum", "_bucket", "_created"}) {
      EXPECT_FALSE(name.ends_with(reserved)) << name;
    }
    std::string_view base = name;
    if (family.type == MetricType::counter) base.remove_suffix(6);
    if (!family.unit.empty()) {
      EXPECT_TRUE(base.ends_with("_" + std::string(family.unit))) << name;
    }
    EXPECT_EQ(base.ends_with("_seconds"), family.unit == "seconds") << name;
    EXPECT_EQ(base.ends_with("_bytes"), family.unit == "bytes") << name;
  }
}

TEST(Families, help_and_labels_are_there) {
  for (const FamilyInfo& family : all_families()) {
    EXPECT_FALSE(family.help.empty()) << family.name;
    EXPECT_EQ(family.help.find_first_of("\n\\|"), std::string_view::npos) << family.name;
    EXPECT_TRUE(family.help.ends_with('.')) << family.name;
    std::set<std::string_view> labels;
    for (const std::string_view label : family.labels()) {
      EXPECT_TRUE(labels.insert(label).second) << family.name << " " << label;
      EXPECT_NE(label, "le");
    }
  }
}

TEST(Families, bounds_rise) {
  std::uint64_t before = 0;
  for (const std::uint64_t bound : exported_bounds()) {
    EXPECT_GT(bound, before);
    before = bound;
  }
  EXPECT_EQ(exported_bounds().front(), 500U);
  EXPECT_EQ(exported_bounds().back(), 60'000'000U);
}

// A family that nothing counts promises something that no code does. Its producer is in another
// file than the table; tests/e2e/test_docs.py shows that it is reached.
TEST(Families, each_has_a_producer) {
  namespace fs = std::filesystem;
  const fs::path source = test::source_dir();
  std::string text;
  for (const auto& entry : fs::recursive_directory_iterator(source / "src")) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_regular_file() || name.starts_with("families.")) continue;
    text += test::read_source_file(fs::relative(entry.path(), source).string());
  }
  // The table contains each one as "Family::NAME,", in order.
  const std::string table = test::read_source_file("src/telemetry/families.cc");
  const std::regex entry("\\{Family::([a-z_0-9]+),");
  std::size_t seen = 0;
  for (auto at = std::sregex_iterator(table.begin(), table.end(), entry);
       at != std::sregex_iterator(); ++at, ++seen) {
    const std::regex use("Family::" + (*at)[1].str() + "\\b");
    EXPECT_TRUE(std::regex_search(text, use)) << (*at)[1].str() << " is produced nowhere";
  }
  EXPECT_EQ(seen, all_families().size());
}

// The page's table matches the code's.
TEST(Families, docs_list_them_all) {
  std::string table = "| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n";
  for (const FamilyInfo& family : all_families()) {
    std::string labels;
    for (const std::string_view label : family.labels()) {
      if (!labels.empty()) labels += ", ";
      labels.append("`").append(label).append("`");
    }
    table.append("| `").append(family.name).append("` | ").append(to_string(family.type));
    table.append(" | ").append(labels).append(" | ").append(family.help).append(" |\n");
  }
  const std::string page = test::read_source_file("docs/metrics.md");
  EXPECT_NE(page.find(table), std::string::npos) << "docs/metrics.md should hold this table:\n"
                                                 << table;
}

TEST(Families, docs_list_the_reason_flags) {
  std::string table = "| Flag | Meaning |\n|---|---|\n";
  for (int i = 1; i < flag_count; ++i) {
    const auto flag = static_cast<Flag>(i);
    table.append("| `").append(letters(flag)).append("` | ").append(describe(flag)).append(" |\n");
  }
  EXPECT_NE(test::read_source_file("docs/metrics.md").find(table), std::string::npos) << table;
}

TEST(Flags, letters_and_back) {
  for (int i = 0; i < flag_count; ++i) {
    const auto flag = static_cast<Flag>(i);
    EXPECT_EQ(parse_flag(letters(flag)), flag);
    EXPECT_FALSE(describe(flag).empty());
  }
  EXPECT_EQ(letters(Flag::UAEX), "UAEX");
  EXPECT_EQ(letters(Flag::OM), "OM");
  EXPECT_EQ(parse_flag("uh"), Flag::none);
  EXPECT_EQ(parse_flag("XX"), Flag::none);
}

}  // namespace
}  // namespace outrigger::telemetry
