// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/cache.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include "hw/kernels/test_tree.h"

namespace lockstep::hw::kernels {
namespace {

namespace fs = std::filesystem;

TEST(Cache, StandsWhereTheEnvironmentSays) {
  const Variable home("HOME", "/home/me");
  const Variable xdg("XDG_CACHE_HOME", nullptr);
  const Variable own("LOCKSTEP_CACHE", nullptr);
  EXPECT_EQ(Cache::standard()->root(), "/home/me/.cache/lockstep/kernels");
  const Variable xdg_set("XDG_CACHE_HOME", "/xdg");
  EXPECT_EQ(Cache::standard()->root(), "/xdg/lockstep/kernels");
  const Variable own_set("LOCKSTEP_CACHE", "/own");
  EXPECT_EQ(Cache::standard()->source("6.1"), "/own/kernels/source/linux-6.1");
}

TEST(Cache, NeedsOneOfThem) {
  const Variable home("HOME", nullptr);
  const Variable xdg("XDG_CACHE_HOME", "");
  const Variable own("LOCKSTEP_CACHE", nullptr);
  ASSERT_FALSE(Cache::standard());
}

TEST(DiskBytes, CountsALinkedFileOnceAndNotWhereItIsShared) {
  const TestFolder folder;
  folder.file("a/file", std::string(100'000, 'x'));
  fs::create_directories(folder.path() / "b");
  const auto before = disk_bytes(folder.path() / "a");
  EXPECT_GE(before, 100'000U);
  fs::create_hard_link(folder.path() / "a/file", folder.path() / "b/file");
  fs::create_hard_link(folder.path() / "a/file", folder.path() / "a/again");
  EXPECT_EQ(disk_bytes(folder.path() / "a"), before);
  EXPECT_LT(disk_bytes(folder.path() / "b", /*alone=*/true), 50'000U);
  EXPECT_EQ(disk_bytes(folder.path() / "absent"), 0U);
}

TEST(RequireSpace, SaysWhatIsNeededAndWhatIsLeft) {
  const TestFolder folder;
  EXPECT_TRUE(require_space(folder.path() / "not/yet/there", 1, "nothing"));
  const auto none = require_space(folder.path(), 1ULL << 60, "linux 6.1");
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("linux 6.1 needs"), std::string::npos);
  EXPECT_NE(none.error().message.find("LOCKSTEP_CACHE"), std::string::npos);
}

TEST(HumanBytes, KeepsTwoDigits) {
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1'640'000'000), "1.6 GB");
  EXPECT_EQ(human_bytes(153'476'148), "153 MB");
}

TEST(Files, AreWrittenWhole) {
  const TestFolder folder;
  ASSERT_TRUE(write_file(folder.path() / "new/file", "text"));
  EXPECT_EQ(folder.text("new/file"), "text");
  ASSERT_TRUE(write_file(folder.path() / "new/empty", ""));
  EXPECT_EQ(read_file(folder.path() / "new/empty"), std::string());
  ASSERT_FALSE(write_file(folder.path() / "new/file/below", "text"));
  ASSERT_FALSE(read_file(folder.path() / "absent"));
  ASSERT_FALSE(read_file(folder.path()));
}

TEST(Lock, KeepsOtherProcessesOut) {
  const TestFolder folder;
  const auto file = folder.path() / "build.lock";
  const auto tries = [&file] {
    const pid_t child = fork();
    if (child == 0) {
      alarm(1);  // The default action ends a process that waits.
      bool waited = false;
      const auto lock = Lock::take(file, [&waited](std::string_view) { waited = true; });
      _exit(lock && !waited ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  };
  {
    const auto lock = Lock::take(file, {});
    ASSERT_TRUE(lock);
    EXPECT_FALSE(tries());
  }
  EXPECT_TRUE(tries());
}

}  // namespace
}  // namespace lockstep::hw::kernels
