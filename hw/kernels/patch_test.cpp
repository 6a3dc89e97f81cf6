// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/patch.h"

#include <gtest/gtest.h>

#include "hw/kernels/test_tree.h"

namespace lockstep::hw::kernels {
namespace {

constexpr const char* mmu = "arch/x86/kvm/mmu/mmu.c";

/// Changes line 20 of tiny_mmu(), which is line 21 of the file.
std::string change(int line = 18, const std::string& old = "/* line 20 */") {
  return "--- a/arch/x86/kvm/mmu/mmu.c\n+++ b/arch/x86/kvm/mmu/mmu.c\n@@ -" + std::to_string(line) +
         ",7 +" + std::to_string(line) +
         ",7 @@\n /* line 17 */\n /* line 18 */\n /* line 19 */\n-" + old +
         "\n+/* changed */\n /* line 21 */\n /* line 22 */\n /* line 23 */\n";
}

class Patch : public testing::Test {
 protected:
  Result<AppliedPatch> apply(const std::string& text) {
    tiny_tree(folder_, "tree");
    const auto tree = open_tree(folder_.path() / "tree");
    std::filesystem::remove_all(folder_.path() / "scratch");
    return apply_patch(*tree, text, folder_.path() / "scratch");
  }
  std::string error_of(const std::string& text) {
    const auto applied = apply(text);
    return applied ? "" : applied.error().message;
  }
  TestFolder folder_;
};

TEST_F(Patch, IsAppliedToCopies) {
  const auto applied = apply(change());
  ASSERT_TRUE(applied) << applied.error().message;
  EXPECT_EQ(applied->written, std::vector<std::string>{mmu});
  EXPECT_TRUE(applied->removed.empty());
  EXPECT_TRUE(applied->notes.empty());
  EXPECT_NE(folder_.text(std::string("scratch/") + mmu).find("changed"), std::string::npos);
  EXPECT_EQ(folder_.text(std::string("tree/") + mmu).find("changed"), std::string::npos);
  EXPECT_FALSE(folder_.has(std::string("scratch/") + mmu + ".orig"));
}

TEST_F(Patch, ReportsOffsetAndFuzz) {
  const auto offset = apply(change(13));
  ASSERT_TRUE(offset);
  ASSERT_EQ(offset->notes.size(), 1U);
  EXPECT_EQ(offset->notes[0], std::string(mmu) + ":18: hunk 1 applied (offset 5 lines)");
  auto text = change();
  text.replace(text.find("line 17"), 7, "line 99");
  const auto fuzz = apply(text);
  ASSERT_TRUE(fuzz);
  ASSERT_EQ(fuzz->notes.size(), 1U);
  EXPECT_NE(fuzz->notes[0].find("with fuzz 1"), std::string::npos) << fuzz->notes[0];
}

TEST_F(Patch, NamesTheHunkAndTheTreesOwnLine) {
  const auto text = error_of(change() +
                             "@@ -31,3 +31,3 @@\n /* line 30 */\n-/* other */\n+x\n"
                             " /* line 32 */\n");
  EXPECT_NE(text.find("does not apply to linux 6.1.7"), std::string::npos) << text;
  EXPECT_NE(text.find("hunk 2 of arch/x86/kvm/mmu/mmu.c"), std::string::npos) << text;
  EXPECT_NE(text.find("mmu.c:31: nearest context, 2 of 3 lines match"), std::string::npos) << text;
  EXPECT_NE(text.find("mmu.c:32: the patch wants '/* other */'"), std::string::npos) << text;
  EXPECT_NE(text.find("the tree has    '/* line 31 */'"), std::string::npos) << text;
}

TEST_F(Patch, KnowsWhatIsAppliedAlready) {
  folder_.file("x", "");
  auto reversed = change();
  reversed = change(18, "/* before */");
  reversed.replace(reversed.find("/* changed */"), 13, "/* line 20 */");
  EXPECT_NE(error_of(reversed).find("already as the patch wants it"), std::string::npos)
      << error_of(reversed);
}

TEST_F(Patch, FilesThatAreNotThere) {
  EXPECT_NE(error_of("--- a/no/such.c\n+++ b/no/such.c\n@@ -1 +1 @@\n-a\n+b\n")
                .find("no/such.c is not in the tree"),
            std::string::npos);
}

TEST_F(Patch, MakesRemovesAndRenamesFiles) {
  const auto applied = apply(
      "--- /dev/null\n+++ b/arch/x86/kvm/new.c\n@@ -0,0 +1 @@\n+int made;\n"
      "--- a/virt/kvm/kvm_main.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-int kvm_main(void) { return 0; }\n"
      "diff --git a/arch/x86/kvm/x86.c b/arch/x86/kvm/y86.c\nsimilarity index 100%\n"
      "rename from arch/x86/kvm/x86.c\nrename to arch/x86/kvm/y86.c\n");
  ASSERT_TRUE(applied) << applied.error().message;
  EXPECT_EQ(applied->written,
            (std::vector<std::string>{"arch/x86/kvm/new.c", "arch/x86/kvm/y86.c"}));
  EXPECT_EQ(applied->removed,
            (std::vector<std::string>{"arch/x86/kvm/x86.c", "virt/kvm/kvm_main.c"}));
}

TEST_F(Patch, OfASeriesTheSecondSeesTheFirst) {
  const auto applied = apply(
      "--- /dev/null\n+++ b/arch/x86/kvm/new.c\n@@ -0,0 +1 @@\n+int made;\n"
      "--- a/arch/x86/kvm/new.c\n+++ b/arch/x86/kvm/new.c\n@@ -1 +1 @@\n-int made;\n+int more;\n");
  ASSERT_TRUE(applied) << applied.error().message;
  EXPECT_EQ(folder_.text("scratch/arch/x86/kvm/new.c"), "int more;\n");
}

}  // namespace
}  // namespace lockstep::hw::kernels
