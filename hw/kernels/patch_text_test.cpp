// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/patch_text.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace lockstep::hw::kernels {
namespace {

TEST(PatchText, FilesAndHunksOfAMail) {
  const auto files = parse_patch(
      "From: A <a@b>\nSubject: [PATCH] KVM: x\n\nText.\n---\n mmu.c | 2 +-\n\n"
      "diff --git a/mm/mmu.c b/mm/mmu.c\nindex 1..2 100644\n--- a/mm/mmu.c\n+++ b/mm/mmu.c\n"
      "@@ -10,3 +10,3 @@ int f(void)\n one\n-two\n+2\n three\n"
      "@@ -20 +20,2 @@\n-x\n+y\n+z\n"
      "--- /dev/null\n+++ b/mm/new.c\n@@ -0,0 +1 @@\n+new\n"
      "--- a/mm/old.c\t2026-01-01\n+++ /dev/null\n@@ -1 +0,0 @@\n--- old\n"
      "-- \n2.39\n");
  ASSERT_TRUE(files) << files.error().message;
  ASSERT_EQ(files->size(), 3U);
  const auto& [mmu, made, removed] = std::tie((*files)[0], (*files)[1], (*files)[2]);
  EXPECT_EQ(mmu.from, "mm/mmu.c");
  ASSERT_EQ(mmu.hunks.size(), 2U);
  EXPECT_EQ(mmu.hunks[0].old_line, 10U);
  EXPECT_EQ(mmu.hunks[0].patch_line, 12U);
  EXPECT_EQ(mmu.hunks[0].context, (std::vector<std::string>{"one", "two", "three"}));
  EXPECT_EQ(made.from, "");
  EXPECT_EQ(made.name(), "mm/new.c");
  EXPECT_EQ(removed.name(), "mm/old.c");
  EXPECT_EQ(removed.hunks[0].context, std::vector<std::string>{"-- old"});
}

TEST(PatchText, RenamesWithoutHunks) {
  const auto files = parse_patch(
      "diff --git a/mm/a.c b/mm/b.c\nsimilarity index 100%\nrename from mm/a.c\nrename to "
      "mm/b.c\n");
  ASSERT_TRUE(files);
  ASSERT_EQ(files->size(), 1U);
  EXPECT_EQ((*files)[0].from, "mm/a.c");
  EXPECT_EQ((*files)[0].to, "mm/b.c");
}

std::string error_of(std::string_view text) {
  const auto files = parse_patch(text);
  return files ? "" : files.error().message;
}

TEST(PatchText, RefusesWhatLeavesTheTree) {
  for (const auto* name : {"a/../../etc/passwd", "a//etc/passwd", "/etc/passwd", "plain.c",
                           "\"a/odd\\n.c\"", "a/.git/hooks/x"}) {
    EXPECT_NE(error_of(std::string("--- ") + name + "\n+++ " + name + "\n@@ -1 +1 @@\n-a\n+b\n"),
              "")
        << name;
  }
  EXPECT_NE(error_of("rename from ../x\nrename to y\n"), "");
  EXPECT_NE(error_of("diff --git a/x b/x\nnew file mode 120000\n--- /dev/null\n+++ b/x\n"
                     "@@ -0,0 +1 @@\n+/etc/passwd\n")
                .find("symbolic link"),
            std::string::npos);
}

TEST(PatchText, NamesTheLineThatIsWrong) {
  EXPECT_NE(error_of("").find("no diff"), std::string::npos);
  EXPECT_NE(error_of("just text\n").find("no diff"), std::string::npos);
  EXPECT_NE(error_of("--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n").find("ends within a hunk"),
            std::string::npos);
  EXPECT_NE(error_of("--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n?\n").find("line 5"),
            std::string::npos);
  EXPECT_NE(error_of("--- a/x\n+++ b/x\nGIT binary patch\n").find("binary"), std::string::npos);
}

RC_GTEST_PROP(PatchTextParser, SurvivesAnyText, ()) {
  const auto line = rc::gen::element<std::string>(
      "--- a/x", "+++ b/x", "@@ -1,2 +1,2 @@", "@@ -99999999999999999999 +1 @@", "@@ -1,", " a",
      "-a", "+a", "\\ No newline", "rename from x", "rename to y", "--- ", "+++ /dev/null",
      "diff --git ", "", "\r", "@@ -0,0 +0,0 @@");
  std::string text;
  for (const auto& one : *rc::gen::container<std::vector<std::string>>(line)) text += one + "\n";
  const auto files = parse_patch(text);
  if (files) RC_ASSERT(!files->empty());
}

}  // namespace
}  // namespace lockstep::hw::kernels
