// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/submission.h"

#include <gtest/gtest.h>

#include "hw/kernels/patch_text.h"
#include "hw/kernels/test_tree.h"
#include "jobs/review/diff_text.h"
#include "jobs/review/input.h"
#include "jobs/review/repair.h"

namespace lockstep::jobs::review {
namespace {

using hw::kernels::TestFolder;

const std::string diff =
    "--- a/arch/x86/kvm/mmu/mmu.c\n+++ b/arch/x86/kvm/mmu/mmu.c\n@@ -2,3 +2,4 @@ int f(void)\n"
    " {\n-\treturn 1;\n+\tint x = 2;\n+\treturn x;\n }\n";

std::string mail(const std::string& subject, const std::string& body) {
  return "From 0123456789abcdef Mon Sep 17 00:00:00 2001\nFrom: Sender <s@x>\nSubject: " + subject +
         "\n\n" + body + "\n";
}

std::string quoted(const std::string& text) {
  std::string made;
  std::string line;
  for (const char c : text) {
    if (c == '\n') {
      made += line.empty() ? ">\n" : "> " + line + "\n";
      line.clear();
    } else {
      line += c;
    }
  }
  return made;
}

Submission only(const std::string& text) {
  auto made = arrange(patches_in(text, "x.mbox"));
  EXPECT_TRUE(made) << made.error();
  return made ? *made : Submission{};
}

TEST(Subject, IsTakenApart) {
  const auto parts = parse_subject("Re: [RFC PATCH v3 01/9] KVM: x86: Zap [all] roots");
  EXPECT_TRUE(parts.reply);
  EXPECT_EQ(parts.version, 3u);
  EXPECT_EQ(parts.number, 1u);
  EXPECT_EQ(parts.total, 9u);
  EXPECT_EQ(parts.title, "KVM: x86: Zap [all] roots");
  EXPECT_EQ(parse_subject("").title, "");
  EXPECT_EQ(parse_subject("[PATCH v99999999999999999999 1/0] x").number, 0u);
}

TEST(Submission, APlainDiffIsOnePatch) {
  const auto made = only(diff);
  ASSERT_EQ(made.patches.size(), 1u);
  EXPECT_EQ(made.patches[0].diff, diff);
  EXPECT_EQ(made.patches[0].subject, "x.mbox");
}

TEST(Submission, MessageStatisticsAndSignatureAreLeftOut) {
  const auto made =
      only(mail("[PATCH] KVM: x", "From: Author <a@x>\n\nWhy.\n---\n mmu.c | 3 +-\n\n" + diff +
                                      "-- \n2.39.0\n\nbase-commit: 0123456789\n"));
  ASSERT_EQ(made.patches.size(), 1u);
  EXPECT_EQ(made.patches[0].diff, diff);
  EXPECT_EQ(made.patches[0].author, "Author <a@x>");
  EXPECT_EQ(made.base_commit, "0123456789");
}

TEST(Submission, ASeriesIsSortedAndItsNewestVersionTaken) {
  const auto made =
      only(mail("[PATCH v3 2/3] b", diff) + "\n" + mail("[PATCH v3 0/3] cover", "hi") + "\n" +
           mail("[PATCH v3 1/3] a", diff) + "\n" + mail("[PATCH v2 1/3] old", diff) + "\n" +
           mail("Re: [PATCH v3 1/3] a", quoted(diff)));
  ASSERT_EQ(made.patches.size(), 2u);
  EXPECT_EQ(made.patches[0].subject, "a");
  EXPECT_EQ(made.patches[1].subject, "b");
  std::string notes;
  for (const auto& note : made.notes) notes += note + "\n";
  EXPECT_NE(notes.find("of 3 patches not here: 3"), std::string::npos) << notes;
  EXPECT_NE(notes.find("versions before v3"), std::string::npos) << notes;
}

TEST(Submission, WhatHasNoDiffIsAnError) {
  EXPECT_FALSE(arrange(patches_in("", "e")));
  EXPECT_FALSE(arrange(patches_in("Subject: hello\n\nno patch here\n", "e")));
  EXPECT_FALSE(arrange({}));
}

TEST(Diff, QuotesOfAnAnswerAreTakenOff) {
  auto text = quoted("Message\n---\n" + diff + "--\n2.39\n");
  const auto at = text.find("> +\tint");
  text.insert(at, "Why 2?\n\n");
  const auto extracted = extract_diff(text, false, false);
  EXPECT_EQ(extracted.diff, diff) << extracted.damage;
  ASSERT_EQ(extracted.notes.size(), 1u);
}

TEST(Diff, FlowedLinesAreUndone) {
  // Space-stuffed as RFC 3676 asks: lines that begin with a space got another one.
  std::string stuffed;
  std::size_t begin = 0;
  while (begin < diff.size()) {
    const auto end = diff.find('\n', begin);
    const auto line = diff.substr(begin, end - begin);
    stuffed += (line.starts_with(' ') ? " " : "") + line + "\n";
    begin = end + 1;
  }
  // "+\treturn x;" was broken where a space ended the line.
  const auto at = stuffed.find("int x");
  stuffed.replace(at, 5, "int \nx");
  const auto extracted = extract_diff(stuffed, true, false);
  EXPECT_EQ(extracted.diff, diff) << extracted.damage;
}

TEST(Diff, ADamagedHunkIsNamed) {
  auto text = diff;
  text.replace(text.find(" {\n"), 3, "{\n");
  const auto extracted = extract_diff(text, false, false);
  EXPECT_TRUE(extracted.diff.empty());
  EXPECT_NE(extracted.damage.find("line 4 of the text"), std::string::npos) << extracted.damage;
  EXPECT_FALSE(extracted.damaged.empty());
}

class Repairs : public testing::Test {
 protected:
  Repair of(const std::string& text) {
    folder_.file("arch/x86/kvm/mmu/mmu.c",
                 "/* one */\nint g;\n\nint f(void)\n{\n\treturn 1;\n}\n\n/* end */\n");
    auto extracted = extract_diff(text, false, false);
    return repair(extracted.damaged, folder_.path());
  }
  TestFolder folder_;
};

TEST_F(Repairs, BlanksComeBackFromTheTree) {
  // Indentation and markers of context are gone.
  const auto made =
      of("> --- a/arch/x86/kvm/mmu/mmu.c\n> +++ b/arch/x86/kvm/mmu/mmu.c\n> @@ -2,3 +2,4 @@\n> {\n"
         "> - return 1;\n> + int x = 2;\n> + return x;\n> }\n> --\n> 2.39\n");
  EXPECT_EQ(made.placed, 1u);
  EXPECT_EQ(made.hunks, 1u);
  EXPECT_TRUE(made.failures.empty());
  EXPECT_NE(made.diff.find("@@ -5,3 +5,4 @@\n {\n-\treturn 1;\n+\tint x = 2;\n+\treturn x;\n }\n"),
            std::string::npos)
      << made.diff;
  EXPECT_TRUE(hw::kernels::parse_patch(made.diff)) << made.diff;
  ASSERT_EQ(made.notes.size(), 1u);
  EXPECT_NE(made.notes[0].find("offset 3"), std::string::npos) << made.notes[0];
}

TEST_F(Repairs, LongLinesThatWereBrokenAreJoined) {
  const auto made =
      of("> --- a/arch/x86/kvm/mmu/mmu.c\n> +++ b/arch/x86/kvm/mmu/mmu.c\n> @@ -5,3 +5,3 @@\n> {\n"
         "> - return 1;\n> + return 1 +\n> 2;\n> }\n");
  EXPECT_NE(made.diff.find("+\treturn 1 + 2;\n }\n"), std::string::npos) << made.diff;
}

TEST_F(Repairs, ALineThatTheTreeLacksIsNamed) {
  const auto made =
      of("> --- a/arch/x86/kvm/mmu/mmu.c\n> +++ b/arch/x86/kvm/mmu/mmu.c\n> @@ -2,3 +2,4 @@\n> {\n"
         "> - return 17;\n> + int x = 2;\n> + return x;\n> }\n");
  EXPECT_EQ(made.placed, 0u);
  ASSERT_EQ(made.failures.size(), 1u);
  EXPECT_NE(made.failures[0].find("has no line 'return 17;'"), std::string::npos)
      << made.failures[0];
}

TEST_F(Repairs, FilesOutsideOfTheTreeAreNotRead) {
  const auto made =
      of("> --- a/../../etc/passwd\n> +++ b/../../etc/passwd\n> @@ -1,2 +1,2 @@\n> root\n> -x\n> "
         "+y\n");
  EXPECT_EQ(made.placed, 0u);
  EXPECT_EQ(made.failures.size(), 1u);
}

TEST(Input, SaysWhatIsThereInstead) {
  const TestFolder folder;
  const auto absent = read_submission({"no-such-file"}, folder.path());
  ASSERT_FALSE(absent);
  EXPECT_NE(absent.error().message.find("git checkout"), std::string::npos);
  const auto empty = folder.file("empty.mbox", "");
  const auto nothing = read_submission({empty.string()}, folder.path());
  ASSERT_FALSE(nothing);
  EXPECT_NE(nothing.error().message.find("no diff"), std::string::npos) << nothing.error().message;
}

TEST(Input, AFolderIsReadByName) {
  const TestFolder folder;
  folder.file("p/0002-b.patch", mail("[PATCH 2/2] b", diff));
  folder.file("p/0001-a.patch", mail("[PATCH 1/2] a", diff));
  const auto read = read_submission({(folder.path() / "p").string()}, folder.path());
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read->patches.size(), 2u);
  EXPECT_EQ(read->patches[0].subject, "a");
  EXPECT_EQ(read->patches[0].origin, "0001-a.patch");
}

}  // namespace
}  // namespace lockstep::jobs::review
