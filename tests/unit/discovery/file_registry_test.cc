#include "discovery/file_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "support/manual_loop.h"
#include "support/temp_directory.h"

namespace outrigger::discovery {
namespace {

using namespace std::chrono_literals;
using test::ManualLoop;
using test::TempDirectory;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Records what it is told, as "address address".
struct Heard final : EndpointObserver {
  void on_endpoints(std::span<const RegisteredEndpoint> endpoints) override {
    std::string text;
    for (const auto& e : endpoints) text += (text.empty() ? "" : " ") + e.address;
    lists.push_back(text);
    last.assign(endpoints.begin(), endpoints.end());
    if (then) then();
  }
  std::vector<std::string> take() { return std::exchange(lists, {}); }
  std::vector<std::string> lists;
  EndpointList last;
  std::function<void()> then;
};

struct Events final : RegistryEvents {
  void on_registry_error(const RegistryError& error) override { told.push_back(error.message); }
  void on_registry_current() override { told.emplace_back("current"); }
  std::vector<std::string> take() { return std::exchange(told, {}); }
  std::vector<std::string> told;
};

class FileRegistryTest : public testing::Test {
 protected:
  void start(std::string_view text) {
    directory.write("e.yaml", text);
    start();
  }
  void start() {
    registry.emplace(loop, path(), [this](FileRegistry::Task task) {
      if (held) {
        tasks.push_back(std::move(task));
      } else {
        task(abandoned);
      }
    });
    orders = registry->subscribe("orders", heard);
    registry->start(events);
    EXPECT_THAT(heard.take(), IsEmpty()) << "from inside a call";
    EXPECT_THAT(events.take(), IsEmpty()) << "from inside a call";
    loop.settle();
  }
  void change(std::string_view text) {
    directory.write("e.yaml", text);
    settle();
  }
  void settle() { loop.advance(100ms); }
  void run_tasks() {
    for (auto& task : std::exchange(tasks, {})) task(abandoned);
    loop.settle();
  }
  std::string path() const { return directory.path("e.yaml"); }

  TempDirectory directory;
  ManualLoop loop;
  Heard heard;
  Events events;
  bool held = false;
  std::atomic<bool> abandoned{false};
  std::vector<FileRegistry::Task> tasks;
  std::optional<FileRegistry> registry;
  std::unique_ptr<Subscription> orders;
};

constexpr std::string_view two = "services:\n  orders: [\"10.0.0.1:80\", \"10.0.0.2:80\"]\n";
constexpr std::string_view one = "services:\n  orders: [\"10.0.0.1:80\"]\n";

TEST_F(FileRegistryTest, ReadsAllThatAnEndpointMaySay) {
  start(
      "services:\n"
      "  orders:\n"
      "    - {address: \"10.0.0.7:15006\", cloud: aws, region: eu, zone: eu-1a, weight: 2,\n"
      "       labels: {version: v42}, id: i-1}\n"
      "    - \"[::1]:80\"\n"
      "    - orders.internal:80\n"
      "  users: []\n");
  EXPECT_THAT(heard.take(), ElementsAre("10.0.0.7:15006 [::1]:80 orders.internal:80"));
  EXPECT_THAT(events.take(), ElementsAre("current"));
  const RegisteredEndpoint expected{.address = "10.0.0.7:15006",
                                    .locality = {"aws", "eu", "eu-1a"},
                                    .weight = 2,
                                    .labels = {{"version", "v42"}},
                                    .id = "i-1"};
  EXPECT_EQ(heard.last[0], expected);
  const RegistryStatus status = registry->status();
  EXPECT_TRUE(status.answered);
  EXPECT_FALSE(status.stale);
  EXPECT_EQ(status.services, 1U);
  EXPECT_EQ(status.last_good, loop.now().time_since_epoch());
}

TEST_F(FileRegistryTest, ReadsJson) {
  start(R"({"services": {"orders": [{"address": "10.0.0.1:80", "weight": 3}, "10.0.0.2:80"]}})");
  EXPECT_THAT(heard.take(), ElementsAre("10.0.0.1:80 10.0.0.2:80"));
  EXPECT_EQ(heard.last[0].weight, 3U);
}

TEST_F(FileRegistryTest, TheOuterKeyMayBeLeftOut) {
  start("orders: [\"10.0.0.1:80\"]\n");
  EXPECT_THAT(heard.take(), ElementsAre("10.0.0.1:80"));
}

TEST_F(FileRegistryTest, TellsOfEditsAndRenamesAndOnlyOfChanges) {
  start(two);
  EXPECT_THAT(heard.take(), ElementsAre("10.0.0.1:80 10.0.0.2:80"));
  change(one);
  EXPECT_THAT(heard.take(), ElementsAre("10.0.0.1:80"));
  directory.replace("e.yaml", two);
  settle();
  EXPECT_THAT(heard.take(), ElementsAre("10.0.0.1:80 10.0.0.2:80"));
  change(std::string(two) + "  users: [\"10.0.0.9:80\"]  # somebody else\n");
  EXPECT_THAT(heard.take(), IsEmpty());
  EXPECT_EQ(registry->status().services, 2U);
  EXPECT_THAT(events.take(), ElementsAre("current"));
}

TEST_F(FileRegistryTest, AnEditInPlaceIsReadWhenItsWriterHasDone) {
  start(two);
  heard.take();
  std::ofstream writer(path());
  writer << one.substr(0, one.size() - 1) << std::flush;
  loop.advance(300ms);
  EXPECT_THAT(heard.take(), IsEmpty()) << "half a file that reads like a whole one";
  writer << "\n  users: [\"10.0.0.9:80\"]\n";
  writer.close();
  settle();
  EXPECT_THAT(heard.take(), ElementsAre("10.0.0.1:80"));
  EXPECT_EQ(registry->status().services, 2U);
  EXPECT_THAT(events.take(), ElementsAre("current"));
}

TEST_F(FileRegistryTest, AServiceThatIsNotNamedHasNoEndpoints) {
  start("services: {users: [\"10.0.0.9:80\"]}");
  EXPECT_THAT(heard.take(), ElementsAre(""));
  change(two);
  EXPECT_THAT(heard.take(), ElementsAre("10.0.0.1:80 10.0.0.2:80"));
  change("services: {}");
  EXPECT_THAT(heard.take(), ElementsAre(""));
  EXPECT_THAT(events.take(), ElementsAre("current"));
}

TEST_F(FileRegistryTest, WhatIsBrokenKeepsTheLastGoodListAndSaysWhere) {
  struct Case {
    const char* name;
    const char* text;
    const char* says;
  };
  const Case cases[] = {
      {"half written", "services:\n  orders: [\"10.0.0.1:80\"", "e.yaml:"},
      {"bad address", "services:\n  orders: [\"10.0.0.1:99999\"]", "e.yaml:2:12: error: "},
      {"no port", "services:\n  orders: [\"10.0.0.1\"]", "e.yaml:2:12: error: "},
      {"unknown key", "services:\n  orders: [{address: \"a:1\", wieght: 1}]",
       "did you mean 'weight'"},
      {"one bad of many", "services:\n  orders: [\"a:1\", \"b:2\", \"\"]", "e.yaml:2:"},
      {"a list", "- a:1\n", "e.yaml:1:"},
      {"a scalar", "soon\n", "e.yaml:1:"},
      {"no services", "services:\n", "e.yaml:1:1: error: 'services' is empty"},
      {"no endpoints", "services:\n  orders:\n", "e.yaml:2:3: error: 'orders' is empty"},
      {"no endpoints, short", "users: []\norders:\n", "e.yaml:2:1: error: 'orders' is empty"},
      {"empty", "", "is empty; write 'services: {}'"},
      {"blank", "\n  \n", "is empty"},
      {"binary", "\x01\x02\xff\xfe", "e.yaml"},
      {"duplicate", "services:\n  orders: []\n  orders: []\n", "e.yaml:3:"},
      {"an alias bomb", "services:\n  orders: &a [*a]\n", "e.yaml:2:"},
  };
  start(two);
  heard.take();
  events.take();
  for (const Case& c : cases) {
    change(c.text);
    EXPECT_THAT(heard.take(), IsEmpty()) << c.name;
    ASSERT_EQ(events.told.size(), 1U) << c.name;
    EXPECT_THAT(events.told[0], HasSubstr(c.says)) << c.name;
    EXPECT_THAT(events.told[0], HasSubstr(path())) << c.name;
    EXPECT_TRUE(registry->status().stale) << c.name;
    EXPECT_EQ(registry->status().error, events.told[0]) << c.name;
    EXPECT_EQ(registry->status().services, 1U) << c.name;
    events.take();
    change(two);
    EXPECT_THAT(heard.take(), IsEmpty()) << c.name;
    EXPECT_THAT(events.take(), ElementsAre("current")) << c.name;
    EXPECT_FALSE(registry->status().stale) << c.name;
  }
}

TEST_F(FileRegistryTest, AFileThatVanishesKeepsTheList) {
  start(two);
  heard.take();
  events.take();
  directory.remove("e.yaml");
  settle();
  EXPECT_THAT(heard.take(), IsEmpty());
  EXPECT_THAT(events.take(), ElementsAre(path() + ": error: No such file or directory"));
  EXPECT_TRUE(registry->status().stale);
  change(one);
  EXPECT_THAT(heard.take(), ElementsAre("10.0.0.1:80"));
  EXPECT_THAT(events.take(), ElementsAre("current"));
}

TEST_F(FileRegistryTest, AFileThatWasNeverThereIsAnErrorAndNoAnswer) {
  start();
  EXPECT_THAT(heard.take(), IsEmpty());
  EXPECT_THAT(events.take(), ElementsAre(path() + ": error: No such file or directory"));
  EXPECT_FALSE(registry->status().answered);
  EXPECT_FALSE(registry->status().stale);
  change(one);
  EXPECT_THAT(heard.take(), ElementsAre("10.0.0.1:80"));
  EXPECT_THAT(events.take(), ElementsAre("current"));
}

TEST_F(FileRegistryTest, ADirectoryOrAPipeIsNotAFile) {
  std::filesystem::create_directory(path());
  start();
  EXPECT_THAT(events.take(), ElementsAre(HasSubstr("Is a directory")));
  directory.remove("e.yaml");
  ASSERT_EQ(::mkfifo(path().c_str(), 0600), 0);
  settle();
  EXPECT_THAT(events.take(), ElementsAre(HasSubstr("it is not a regular file")));
}

TEST_F(FileRegistryTest, TheSameTroubleIsToldOnce) {
  start("services: [");
  EXPECT_EQ(events.take().size(), 1U);
  registry->reload();
  loop.settle();
  EXPECT_THAT(events.take(), IsEmpty());
  change("services: [[");
  EXPECT_LE(events.take().size(), 1U);
}

TEST_F(FileRegistryTest, LateSubscribersHearTheListInALaterTurn) {
  start(two);
  Heard late;
  const auto subscription = registry->subscribe("orders", late);
  EXPECT_THAT(late.take(), IsEmpty());
  Heard nobody;
  const auto other = registry->subscribe("nobody", nobody);
  loop.settle();
  EXPECT_THAT(late.take(), ElementsAre("10.0.0.1:80 10.0.0.2:80"));
  EXPECT_THAT(nobody.take(), ElementsAre(""));
  EXPECT_EQ(heard.take().size(), 1U);
}

TEST_F(FileRegistryTest, ADroppedSubscriptionHearsNothing) {
  start(two);
  heard.take();
  directory.write("e.yaml", one);
  loop.turn();
  orders.reset();
  settle();
  EXPECT_THAT(heard.take(), IsEmpty());
}

TEST_F(FileRegistryTest, CallbacksMayDropAndAddSubscriptions) {
  start("services: {}");
  heard.take();
  Heard second, third;
  auto dropped = registry->subscribe("orders", second);
  loop.settle();
  second.take();
  std::unique_ptr<Subscription> added;
  heard.then = [&] {
    orders.reset();
    dropped.reset();
    added = registry->subscribe("orders", third);
  };
  change(one);
  EXPECT_THAT(heard.take(), ElementsAre("10.0.0.1:80"));
  EXPECT_THAT(second.take(), IsEmpty());
  EXPECT_THAT(third.take(), ElementsAre("10.0.0.1:80"));
}

TEST_F(FileRegistryTest, AChangeWhileReadingIsReadAfterwards) {
  held = true;
  start(two);
  EXPECT_THAT(heard.take(), IsEmpty());
  ASSERT_EQ(tasks.size(), 1U);
  directory.write("e.yaml", one);
  settle();
  registry->reload();
  EXPECT_EQ(tasks.size(), 1U) << "one at a time";
  auto first = std::exchange(tasks, {});
  directory.write("e.yaml", two);  // what the first read finds
  first[0](abandoned);
  directory.write("e.yaml", one);
  loop.settle();
  EXPECT_THAT(heard.take(), ElementsAre("10.0.0.1:80 10.0.0.2:80"));
  run_tasks();
  EXPECT_THAT(heard.take(), ElementsAre("10.0.0.1:80"));
}

TEST_F(FileRegistryTest, MayEndWhileReading) {
  held = true;
  start(two);
  orders.reset();
  registry.reset();
  run_tasks();
  EXPECT_THAT(heard.take(), IsEmpty());
  EXPECT_THAT(events.take(), IsEmpty());
}

// --- shared by all registries ---

TEST(Watches, TellsEachListOnceToEverySubscriber) {
  ManualLoop loop;
  Watches watches(loop);
  Heard a, b;
  const auto first = watches.subscribe("orders", a), second = watches.subscribe("orders", b);
  loop.settle();
  EXPECT_THAT(a.take(), IsEmpty()) << "nothing is known yet";
  watches.tell("orders", {{.address = "x:1"}});
  watches.tell("orders", {{.address = "y:1"}});
  loop.settle();
  EXPECT_THAT(a.take(), ElementsAre("y:1")) << "the newest only";
  EXPECT_THAT(b.take(), ElementsAre("y:1"));
  watches.tell("orders", {{.address = "y:1"}});
  loop.settle();
  EXPECT_THAT(a.take(), IsEmpty());
  watches.tell("users", {{.address = "z:1"}});
  EXPECT_EQ(watches.services(), 2U);
}

TEST(Watches, ForgetsNamesNobodyAsksForAnyMore) {
  ManualLoop loop;
  Watches watches(loop);
  Heard heard;
  const auto kept = watches.subscribe("kept", heard);
  watches.tell("known", {{.address = "x:1"}});
  for (int i = 0; i < 10'000; ++i) watches.subscribe("no-" + std::to_string(i), heard);
  watches.tell("kept", {{.address = "y:1"}});
  loop.settle();
  EXPECT_THAT(heard.take(), ElementsAre("y:1"));
  EXPECT_EQ(watches.services(), 2U);
}

TEST(Watches, SubscriptionsMayOutliveThem) {
  ManualLoop loop;
  Heard heard;
  std::unique_ptr<Subscription> subscription;
  {
    Watches watches(loop);
    subscription = watches.subscribe("orders", heard);
    watches.tell("orders", {{.address = "x:1"}});
  }
  loop.settle();
  subscription.reset();
  EXPECT_THAT(heard.take(), IsEmpty());
}

TEST_F(FileRegistryTest, AnAbandonedReadingTellsNothing) {
  held = true;
  start(two);
  abandoned = true;
  run_tasks();
  EXPECT_THAT(heard.take(), IsEmpty());
  EXPECT_THAT(events.take(), IsEmpty());
  EXPECT_FALSE(registry->status().answered);
}

}  // namespace
}  // namespace outrigger::discovery
