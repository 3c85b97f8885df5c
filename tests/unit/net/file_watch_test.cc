// Real files and a real inotify, with a clock advanced by hand: events are there as soon as the
// write has returned, so nothing waits.

#include "net/file_watch.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "support/manual_loop.h"
#include "support/temp_directory.h"

namespace outrigger::net {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using test::ManualLoop;
using test::TempDirectory;

struct Changes final : FileWatchHandler {
  void on_files_changed() override { ++count; }
  int count = 0;
};

struct Fixture {
  explicit Fixture(const std::string& name = "a.yaml") : Fixture(std::vector{name}) {}
  explicit Fixture(const std::vector<std::string>& names) {
    directory.write("a.yaml", "one");
    for (const auto& n : names) paths.push_back(directory.path(n));
  }
  void start() { watch.emplace(loop, paths, changes); }
  // Changes reported after a quiet period as long as the pause.
  int after_pause() {
    loop.advance(FileWatch::pause + 10ms);
    return std::exchange(changes.count, 0);
  }
  TempDirectory directory;
  std::vector<std::string> paths;
  ManualLoop loop;
  Changes changes;
  std::optional<FileWatch> watch;
};

TEST(FileWatch, TellsOfEachKindOfChange) {
  Fixture f;
  f.start();
  EXPECT_TRUE(f.watch->watching());
  EXPECT_EQ(f.after_pause(), 0);
  f.directory.write("a.yaml", "two, longer");
  EXPECT_EQ(f.after_pause(), 1) << "in place";
  f.directory.append("a.yaml", "!");
  EXPECT_EQ(f.after_pause(), 1) << "appended";
  f.directory.replace("a.yaml", "three");
  EXPECT_EQ(f.after_pause(), 1) << "renamed over";
  f.directory.remove("a.yaml");
  EXPECT_EQ(f.after_pause(), 1) << "removed";
  f.directory.write("a.yaml", "three");
  EXPECT_EQ(f.after_pause(), 1) << "back";
  fs::permissions(f.paths[0], fs::perms::none);
  EXPECT_EQ(f.after_pause(), 1) << "permissions";
  EXPECT_EQ(f.after_pause(), 0);
}

TEST(FileWatch, WaitsForQuietBeforeItTells) {
  Fixture f;
  f.start();
  for (int i = 0; i < 10; ++i) {
    f.directory.append("a.yaml", "x");
    f.loop.advance(40ms);
    EXPECT_EQ(f.changes.count, 0) << i;
  }
  EXPECT_EQ(f.after_pause(), 1);
}

TEST(FileWatch, ButNotForEver) {
  Fixture f;
  f.start();
  for (int i = 0; i < 100; ++i) {
    f.directory.append("a.yaml", "x");
    f.loop.advance(40ms);
  }
  EXPECT_GE(f.changes.count, 3);
  EXPECT_LE(f.changes.count, 4);
}

// A writer at work: what it has written so far is there, and it has not closed the file.
struct Writer {
  explicit Writer(const std::string& path) : out(path, std::ios::binary) {}
  void write(std::string_view text) { out << text << std::flush; }
  void close() { out.close(); }
  std::ofstream out;
};

TEST(FileWatch, WaitsForTheEndOfAnEditInPlace) {
  for (const bool link : {false, true}) {
    Fixture f(link ? "link.yaml" : "a.yaml");
    if (link) {
      fs::create_directories(f.directory.path("elsewhere"));
      fs::rename(f.directory.path("a.yaml"), f.directory.path("elsewhere/a.yaml"));
      fs::create_symlink("elsewhere/a.yaml", f.directory.path("link.yaml"));
    }
    f.start();
    Writer writer(f.paths[0]);  // truncates
    f.loop.advance(300ms);
    EXPECT_EQ(f.changes.count, 0);
    writer.write("half");
    f.loop.advance(2s);
    EXPECT_EQ(f.changes.count, 0);
    writer.write("the other half");
    writer.close();
    EXPECT_EQ(f.after_pause(), 1);
    EXPECT_EQ(f.after_pause(), 0);
  }
}

TEST(FileWatch, ButNotForAFileThatStaysOpen) {
  Fixture f;
  f.start();
  Writer writer(f.paths[0]);
  writer.write("half");
  f.loop.advance(FileWatch::writer_max - 100ms);
  writer.write("more");
  f.loop.advance(50ms);
  EXPECT_EQ(f.changes.count, 0);
  f.loop.advance(100ms);
  EXPECT_EQ(std::exchange(f.changes.count, 0), 1);
  writer.close();
  EXPECT_EQ(f.after_pause(), 0);
  // Only the file itself is waited for, and only while it is that file.
  Writer neighbour(f.directory.path("b.yaml"));
  neighbour.write("x");
  Writer again(f.paths[0]);
  again.write("y");
  f.loop.advance(300ms);
  EXPECT_EQ(f.changes.count, 0);
  f.directory.replace("a.yaml", "renamed over");
  EXPECT_EQ(f.after_pause(), 1);
  again.write("of a file without a name");
  EXPECT_EQ(f.after_pause(), 0);
  Writer removed(f.paths[0]);
  removed.write("z");
  f.directory.remove("a.yaml");
  EXPECT_EQ(f.after_pause(), 1);
}

TEST(FileWatch, IgnoresTheNeighbours) {
  Fixture f;
  f.start();
  f.directory.write("b.yaml", "x");
  f.directory.replace("c.yaml", "x");
  f.directory.remove("b.yaml");
  EXPECT_EQ(f.after_pause(), 0);
}

TEST(FileWatch, TellsOnceOfSeveralFiles) {
  Fixture f(std::vector<std::string>{"a.yaml", "b.yaml"});
  f.start();
  f.directory.write("a.yaml", "x1");
  f.directory.write("b.yaml", "x2");
  EXPECT_EQ(f.after_pause(), 1);
  f.directory.write("b.yaml", "x34");
  EXPECT_EQ(f.after_pause(), 1);
}

TEST(FileWatch, FollowsSwappedLinksAsKubernetesMakesThem) {
  Fixture f("mount/tls.crt");
  f.directory.write("ignored", "");
  fs::create_directories(f.directory.path("mount/..1"));
  fs::create_directories(f.directory.path("mount/..2"));
  f.directory.write("mount/..1/tls.crt", "first");
  f.directory.write("mount/..2/tls.crt", "second");
  fs::create_symlink("..1", f.directory.path("mount/..data"));
  fs::create_symlink("..data/tls.crt", f.directory.path("mount/tls.crt"));
  f.start();
  EXPECT_TRUE(f.watch->watching());
  fs::create_symlink("..2", f.directory.path("mount/..data_tmp"));
  fs::rename(f.directory.path("mount/..data_tmp"), f.directory.path("mount/..data"));
  EXPECT_EQ(f.after_pause(), 1);
  fs::remove_all(f.directory.path("mount/..1"));
  EXPECT_EQ(f.after_pause(), 0);
  // The links' current target is watched too.
  f.directory.write("mount/..2/tls.crt", "second, edited");
  EXPECT_EQ(f.after_pause(), 1);
}

TEST(FileWatch, SeesEditsBehindALinkIntoAnotherDirectory) {
  Fixture f("link.yaml");
  fs::create_directories(f.directory.path("elsewhere"));
  f.directory.write("elsewhere/real.yaml", "1");
  fs::create_symlink(f.directory.path("elsewhere/real.yaml"), f.directory.path("link.yaml"));
  f.start();
  f.directory.write("elsewhere/real.yaml", "22");
  EXPECT_EQ(f.after_pause(), 1);
}

TEST(FileWatch, AwaitsADirectoryThatIsNotThereYet) {
  Fixture f("later/a.yaml");
  f.start();
  EXPECT_FALSE(f.watch->watching());
  fs::create_directories(f.directory.path("later"));
  f.directory.write("later/a.yaml", "x");
  f.loop.advance(FileWatch::look_interval_unwatched + FileWatch::pause + 20ms);
  EXPECT_EQ(std::exchange(f.changes.count, 0), 1);
  EXPECT_TRUE(f.watch->watching());
  f.directory.write("later/a.yaml", "xy");
  EXPECT_EQ(f.after_pause(), 1);

  fs::rename(f.directory.path("later"), f.directory.path("gone"));
  EXPECT_EQ(f.after_pause(), 1);
  EXPECT_FALSE(f.watch->watching());
  f.directory.write("gone/a.yaml", "xyz");  // no longer watched
  EXPECT_EQ(f.after_pause(), 0);
  fs::rename(f.directory.path("gone"), f.directory.path("later"));
  f.loop.advance(FileWatch::look_interval + FileWatch::pause + 20ms);
  EXPECT_EQ(f.changes.count, 1);
  EXPECT_TRUE(f.watch->watching());
}

TEST(FileWatch, NothingComesAfterItsEnd) {
  Fixture f;
  f.start();
  f.directory.write("a.yaml", "changed");
  f.loop.turn();
  f.watch.reset();
  f.loop.advance(20s);
  EXPECT_EQ(f.changes.count, 0);
}

}  // namespace
}  // namespace outrigger::net
