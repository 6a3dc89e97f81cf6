// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/facts.h"

#include <gtest/gtest.h>

#include "jobs/review/lines.h"

namespace lockstep::jobs::review {
namespace {

/// A diff that adds the whole text as one function body to x.c.
std::string added(const std::string& text) {
  const auto lines = lines_of(text);
  std::string diff = "--- a/x.c\n+++ b/x.c\n@@ -0,0 +1," + std::to_string(lines.size()) + " @@\n";
  for (const auto line : lines) diff += "+" + std::string(line) + "\n";
  return diff;
}

std::string suspects(const std::string& text) {
  std::string all;
  for (const auto& fact : facts_of(added(text), [&](const std::string&) { return text; })) {
    if (fact.suspect) all += std::to_string(fact.place.line) + ": " + fact.text + "\n";
  }
  return all;
}

TEST(Facts, ASleepingAllocationUnderASpinlock) {
  const auto found = suspects(
      "int f(void)\n{\n\tspin_lock(l);\n\tr = kvm_mmu_topup_memory_cache(c, 4);\n"
      "\tspin_unlock(l);\n\treturn r;\n}\n");
  EXPECT_EQ(found, "4: kvm_mmu_topup_memory_cache() may sleep, under the lock taken in line 3\n");
  EXPECT_EQ(suspects("int f(void)\n{\n\tspin_lock(l);\n\tspin_unlock(l);\n\tp = kmalloc(1, "
                     "GFP_KERNEL);\n}\n"),
            "");
  EXPECT_EQ(suspects("int f(void)\n{\n\tmutex_lock(l);\n\tp = kmalloc(1, GFP_KERNEL);\n}\n"), "");
}

TEST(Facts, APointerUsedWhereItIsNull) {
  const auto found =
      suspects("int f(void)\n{\n\tif (!lock) {\n\t\tspin_lock(lock);\n\t}\n\treturn 0;\n}\n");
  EXPECT_EQ(found, "4: lock is used where it is NULL: line 3 tests for !lock\n");
  EXPECT_EQ(suspects("int f(void)\n{\n\tif (!p)\n\t\treturn 1;\n\tp->x = 1;\n}\n"), "");
  EXPECT_EQ(suspects("int f(void)\n{\n\tif (!p) {\n\t\tp = g();\n\t\tp->x = 1;\n\t}\n}\n"), "");
}

TEST(Facts, TheLoopsOwnEntryMoved) {
  const std::string loop = "int f(void)\n{\n\tlist_for_each_entry(kvm, &vm_list, vm_list) {\n";
  EXPECT_NE(suspects(loop + "\t\tlist_move_tail(&kvm->vm_list, &vm_list);\n\t\tg();\n\t\th();\n"
                            "\t\ti();\n\t}\n}\n"),
            "");
  // It leaves the loop at once, as 6.1 does.
  EXPECT_EQ(suspects(loop + "\t\tlist_move_tail(&kvm->vm_list, &vm_list);\n\t\tbreak;\n\t}\n}\n"),
            "");
}

TEST(Facts, ConstantsLocksAndFlushes) {
  const std::string diff =
      "--- a/x.c\n+++ b/x.c\n@@ -1,4 +1,4 @@ int f(void)\n {\n-\tint capacity = 40;\n"
      "-\tkvm_flush_remote_tlbs(kvm);\n+\tint capacity = 512;\n+\twrite_lock(&kvm->mmu_lock);\n "
      "}\n";
  std::string all;
  for (const auto& fact : facts_of(diff, [](const std::string&) { return std::string(); })) {
    EXPECT_FALSE(fact.suspect);
    all += std::to_string(fact.place.line) + ": " + fact.text + "\n";
  }
  EXPECT_NE(all.find("2: 40 becomes 512"), std::string::npos) << all;
  EXPECT_NE(all.find("3: kvm_flush_remote_tlbs(kvm) removed"), std::string::npos) << all;
  EXPECT_NE(all.find("3: write_lock(&kvm->mmu_lock) added"), std::string::npos) << all;
}

TEST(Facts, CommandsThatABuildRuns) {
  const std::string diff =
      "--- a/arch/x86/kvm/Makefile\n+++ b/arch/x86/kvm/Makefile\n@@ -1,1 +1,2 @@\n"
      "+$(shell rm -rf /)\n obj-y += x.o\n";
  const auto facts = facts_of(diff, [](const std::string&) { return std::string(); });
  ASSERT_EQ(facts.size(), 1u);
  EXPECT_TRUE(facts[0].suspect);
  EXPECT_EQ(facts[0].text, "the build runs a command: $(shell rm -rf /)");
}

TEST(Facts, MovedCallsAreNoNews) {
  const std::string diff =
      "--- a/x.c\n+++ b/x.c\n@@ -1,3 +1,3 @@\n-\tkvm_flush_remote_tlbs(kvm);\n \tg();\n"
      "+\tkvm_flush_remote_tlbs(kvm);\n";
  EXPECT_TRUE(facts_of(diff, [](const std::string&) { return std::string(); }).empty());
}

TEST(Functions, AreNamedByHeadingsAndDefinitions) {
  const auto names = functions_of(
      "--- a/x.c\n+++ b/x.c\n@@ -1,3 +1,3 @@ static void old_one(struct kvm *kvm)\n {\n-\tg();\n "
      "}\n"
      "+static int new_one(void)\n");
  EXPECT_EQ(names, (std::vector<std::string>{"old_one", "new_one"}));
}

}  // namespace
}  // namespace lockstep::jobs::review
