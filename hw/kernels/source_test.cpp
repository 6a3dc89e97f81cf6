// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/source.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "hw/kernels/overlay.h"
#include "hw/kernels/test_tree.h"

namespace lockstep::hw::kernels {
namespace {

namespace fs = std::filesystem;

constexpr const char* header = "include/level.h";
constexpr const char* patch =
    "--- a/include/level.h\n+++ b/include/level.h\n@@ -1 +1 @@\n-#define LEVEL 4\n"
    "+#define LEVEL 5\n";

class SourceTest : public testing::Test {
 protected:
  Tree pristine() {
    tiny_pristine(folder_);
    return *find_tree(cache_, "6.1");
  }
  Tree mine() {
    tiny_tree(folder_, "mine");
    return *open_tree(folder_.path() / "mine");
  }
  static ino_t inode(const fs::path& path) {
    struct stat status = {};
    stat(path.c_str(), &status);
    return status.st_ino;
  }
  static std::string text(const fs::path& path) { return read_file(path).value_or(""); }

  TestFolder folder_;
  Cache cache_{folder_.path() / "cache"};
};

TEST_F(SourceTest, WithoutAPatchItIsTheTreeItself) {
  const auto tree = mine();
  const auto source = plain_source(cache_, tree, {});
  ASSERT_TRUE(source);
  EXPECT_EQ(source->path, tree.path);
  EXPECT_FALSE(folder_.has("cache"));
}

TEST_F(SourceTest, APatchLeavesThePristineTreeAlone) {
  const auto tree = pristine();
  const auto before = inode(tree.path / header);
  const auto source = patched_source(cache_, tree, patch, {});
  ASSERT_TRUE(source) << source.error().message;
  EXPECT_EQ(source->changed, std::vector<std::string>{header});
  EXPECT_EQ(text(source->path / header), "#define LEVEL 5\n");
  EXPECT_EQ(text(tree.path / header), "#define LEVEL 4\n");
  EXPECT_EQ(inode(tree.path / header), before);
  EXPECT_NE(inode(source->path / header), before);
  // Everything else is linked, and what no build of KVM reads is left out.
  EXPECT_EQ(inode(source->path / "virt/kvm/kvm_main.c"), inode(tree.path / "virt/kvm/kvm_main.c"));
  EXPECT_TRUE(fs::exists(source->path / "drivers/gpu/Kconfig"));
  EXPECT_FALSE(fs::exists(source->path / "drivers/gpu/big.c"));
  EXPECT_NE(source->key, source->base_key);
}

TEST_F(SourceTest, APatchMayTouchWhatNoBuildReads) {
  const auto source = patched_source(
      cache_, pristine(),
      "--- a/Documentation/kvm.rst\n+++ b/Documentation/kvm.rst\n@@ -1 +1 @@\n-text\n+more\n", {});
  ASSERT_TRUE(source) << source.error().message;
  EXPECT_EQ(text(source->path / "Documentation/kvm.rst"), "more\n");
}

TEST_F(SourceTest, AFailedPatchLeavesNothing) {
  const auto source =
      patched_source(cache_, pristine(),
                     std::string(patch) +
                         "--- a/arch/x86/kvm/x86.c\n+++ b/arch/x86/kvm/x86.c\n@@ -1 +1 @@\n"
                         "-not there\n+x\n",
                     {});
  ASSERT_FALSE(source);
  for (const auto& entry : fs::directory_iterator(folder_.path() / "cache/overlay")) {
    EXPECT_EQ(entry.path().extension(), ".lock") << entry.path();
  }
}

TEST_F(SourceTest, AnOverlayIsMadeOnce) {
  const auto tree = pristine();
  const auto first = patched_source(cache_, tree, patch, {});
  bool worked = false;
  const auto second =
      patched_source(cache_, tree, patch, [&worked](std::string_view) { worked = true; });
  ASSERT_TRUE(second);
  EXPECT_EQ(second->path, first->path);
  EXPECT_EQ(second->changed, first->changed);
  EXPECT_FALSE(worked);
}

TEST_F(SourceTest, AUsersTreeIsCopiedAndFollowed) {
  const auto tree = mine();
  const auto first = patched_source(cache_, tree, patch, {});
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_NE(inode(first->path / "Makefile"), inode(tree.path / "Makefile"));
  const auto patched_time = fs::last_write_time(first->path / header);
  EXPECT_EQ(fs::last_write_time(first->path / "Makefile"),
            fs::last_write_time(tree.path / "Makefile"));
  // An edit in place must not show through, and must be followed by the next call.
  folder_.file("mine/arch/x86/kvm/x86.c", "int edited;\n");
  EXPECT_EQ(text(first->path / "arch/x86/kvm/x86.c"), "int x86(void) { return 1; }\n");
  fs::remove(tree.path / "virt/kvm/kvm_main.c");
  const auto second = patched_source(cache_, tree, patch, {});
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(second->path, first->path);
  EXPECT_EQ(text(second->path / "arch/x86/kvm/x86.c"), "int edited;\n");
  EXPECT_FALSE(fs::exists(second->path / "virt/kvm/kvm_main.c"));
  // What the patch made is as it was: nothing is to be compiled again for it.
  EXPECT_EQ(fs::last_write_time(second->path / header), patched_time);
}

TEST_F(SourceTest, ATreeThatWasBuiltInPlaceIsCopiedWithoutWhatKbuildMade) {
  tiny_tree(folder_, "mine");
  folder_.file("mine/.config", "");
  folder_.file("mine/include/config/auto.conf", "");
  folder_.file("mine/scripts/lexer.lex.c", "");
  folder_.file("mine/scripts/.lexer.lex.c.cmd", "");
  folder_.file("mine/scripts/lexer.l", "");
  folder_.file("mine/arch/x86/kvm/x86.o", "");
  const auto source = plain_source(cache_, *open_tree(folder_.path() / "mine"), {});
  ASSERT_TRUE(source) << source.error().message;
  const auto copy = open_tree(source->path);
  ASSERT_TRUE(copy) << copy.error().message;
  EXPECT_FALSE(copy->built);
  EXPECT_TRUE(fs::exists(source->path / "scripts/lexer.l"));
  for (const auto* made : {"scripts/lexer.lex.c", "arch/x86/kvm/x86.o", "include/config"}) {
    EXPECT_FALSE(fs::exists(source->path / made)) << made;
  }
}

TEST(Overlay, KnowsWhatABuildReads) {
  for (const auto* name : {"Makefile", "arch/x86/kvm/x86.c", "drivers/gpu/drm/Kconfig.debug",
                           "arch/arm/Kconfig", "fs/internal.h", "tools/objtool/check.c"}) {
    EXPECT_TRUE(build_reads(name)) << name;
  }
  for (const auto* name : {"drivers/gpu/drm/x.c", "arch/arm/mm/x.c", "fs/open.c", "sound/x.h"}) {
    EXPECT_FALSE(build_reads(name)) << name;
  }
}

}  // namespace
}  // namespace lockstep::hw::kernels
