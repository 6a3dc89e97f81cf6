// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/tree.h"

#include <gtest/gtest.h>

#include "hw/kernels/test_tree.h"

namespace lockstep::hw::kernels {
namespace {

TEST(Tree, ReadsItsVersion) {
  const TestFolder folder;
  const auto tree = open_tree(tiny_tree(folder, "mine"));
  ASSERT_TRUE(tree) << tree.error().message;
  EXPECT_EQ(tree->name, "6.1");
  EXPECT_EQ(tree->release, "6.1.7");
  EXPECT_FALSE(tree->pristine);
  EXPECT_FALSE(tree->built);
  folder.file("mine/include/config/auto.conf", "");
  EXPECT_TRUE(open_tree(folder.path() / "mine")->built);
}

TEST(Tree, SaysWhatLacks) {
  const TestFolder folder;
  EXPECT_NE(open_tree(folder.path() / "absent").error().message.find("no such folder"),
            std::string::npos);
  folder.file("other/Makefile", "all:\n");
  EXPECT_NE(open_tree(folder.path() / "other").error().message.find("VERSION"), std::string::npos);
  folder.file("old/Makefile", "VERSION = 4\nPATCHLEVEL = 9\n");
  const auto old = open_tree(folder.path() / "old");
  ASSERT_FALSE(old);
  EXPECT_NE(old.error().message.find("mmu.c"), std::string::npos);
  EXPECT_EQ(old.error().cause, KernelError::Cause::input);
}

TEST(Tree, IsFoundByVersionOrPath) {
  const TestFolder folder;
  const Cache cache(folder.path() / "cache");
  const auto missing = find_tree(cache, "6.1");
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("lockstep kernels fetch 6.1"), std::string::npos);
  tiny_pristine(folder);
  const auto found = find_tree(cache, "6.1");
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->pristine);
  EXPECT_EQ(found->identity(), "linux-6.1");
  // The same folder by its path is somebody's own.
  const auto by_path = find_tree(cache, found->path.string());
  ASSERT_TRUE(by_path);
  EXPECT_FALSE(by_path->pristine);
  EXPECT_NE(by_path->identity(), found->identity());
}

TEST(Tree, VersionsSortAsNumbers) {
  const TestFolder folder;
  const Cache cache(folder.path());
  for (const auto* name : {"linux-6.12", "linux-6.1", "linux-7.2", "linux-6.1.new", "other"}) {
    std::filesystem::create_directories(folder.path() / "source" / name);
  }
  EXPECT_EQ(cached_versions(cache), (std::vector<std::string>{"6.1", "6.12", "7.2"}));
  EXPECT_TRUE(older("6.9", "6.12"));
  EXPECT_FALSE(older("6.12", "6.9"));
  EXPECT_FALSE(older("6.1", "6.1"));
  EXPECT_TRUE(older("6.1", "6.1.1"));
}

TEST(Tree, OnlyDigitsNameAFolderOfTheCache) {
  for (const auto* wrong : {"", "..", "6..1", ".6", "6.", "../6.1", "6.1/..", "6.1-rc1"}) {
    EXPECT_FALSE(is_version(wrong)) << wrong;
  }
  EXPECT_TRUE(is_version("6.12"));
}

}  // namespace
}  // namespace lockstep::hw::kernels
