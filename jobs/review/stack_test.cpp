// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/stack.h"

#include <gtest/gtest.h>

#include "hw/kernels/test_tree.h"

namespace lockstep::jobs::review {
namespace {

using namespace hw::kernels;

constexpr const char* mmu = "arch/x86/kvm/mmu/mmu.c";

/// Changes a line of tiny_mmu().
std::string change(const std::string& from = "/* line 20 */", const std::string& to = "/* new */") {
  return std::string("--- a/") + mmu + "\n+++ b/" + mmu + "\n@@ -18,7 +18,7 @@\n /* line 17 */\n" +
         " /* line 18 */\n /* line 19 */\n-" + from + "\n+" + to +
         "\n /* line 21 */\n /* line 22 */\n /* line 23 */\n";
}

class Stack : public testing::Test {
 protected:
  Stack() : cache_(folder_.path() / "cache") {
    tiny_tree(folder_, "tree");
    tree_ = *open_tree(folder_.path() / "tree");
  }
  PatchStack open() { return *PatchStack::open(cache_, tree_, false, {}); }
  static AppliedStep push(PatchStack& stack, const std::string& diff) {
    SubmittedPatch patch;
    patch.diff = diff;
    auto step = stack.push(patch);
    EXPECT_TRUE(step) << step.error().message;
    return step ? *step : AppliedStep{};
  }
  TestFolder folder_;
  Cache cache_;
  Tree tree_;
};

TEST_F(Stack, OnePatchOnTopOfTheOther) {
  auto stack = open();
  const auto empty = stack.state_key();
  EXPECT_TRUE(push(stack, change()).applies);
  const auto second = push(stack, change("/* new */", "/* newer */"));
  ASSERT_TRUE(second.applies) << second.why;
  ASSERT_EQ(second.lines.size(), 1u);
  EXPECT_EQ(second.lines[0].added, std::vector<unsigned>{21});
  EXPECT_NE(read_file(stack.source().path / mmu)->find("newer"), std::string::npos);
  EXPECT_NE(stack.state_key(), empty);
  // The tree itself is as it was.
  EXPECT_NE(read_file(tree_.path / mmu)->find("/* line 20 */"), std::string::npos);
}

TEST_F(Stack, APatchThatDoesNotApplyChangesNothing) {
  auto stack = open();
  const auto step = push(stack, change("/* other */"));
  EXPECT_FALSE(step.applies);
  EXPECT_NE(step.why.find("nearest context"), std::string::npos) << step.why;
  EXPECT_NE(read_file(stack.source().path / mmu)->find("/* line 20 */"), std::string::npos);
}

TEST_F(Stack, WhatIsAppliedAlreadyIsSaid) {
  auto stack = open();
  ASSERT_TRUE(push(stack, change()).applies);
  const auto again = push(stack, change());
  EXPECT_FALSE(again.applies);
  EXPECT_NE(again.why.find("already"), std::string::npos) << again.why;
}

TEST_F(Stack, ANewStackForgetsTheLast) {
  {
    auto stack = open();
    ASSERT_TRUE(push(stack, change()).applies);
  }
  auto stack = open();
  EXPECT_NE(read_file(stack.source().path / mmu)->find("/* line 20 */"), std::string::npos);
}

TEST_F(Stack, FilesThatNoBuildReadsAreTakenFromTheTree) {
  folder_.file("tree/Documentation/virt/kvm/api.rst", "one\ntwo\n");
  auto stack = open();
  const auto step = push(stack,
                         "--- a/Documentation/virt/kvm/api.rst\n"
                         "+++ b/Documentation/virt/kvm/api.rst\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n");
  EXPECT_TRUE(step.applies) << step.why;
}

TEST_F(Stack, ADamagedPatchThatEditsAMakefileIsRefused) {
  folder_.file("tree/arch/x86/kvm/Makefile", "all:\n\techo\n");
  auto stack = open();
  SubmittedPatch patch;
  patch.damaged = {"--- a/arch/x86/kvm/Makefile",
                   "+++ b/arch/x86/kvm/Makefile",
                   "@@ -1,2 +1,2 @@",
                   "all:",
                   "- echo",
                   "+ rm -rf /"};
  const auto step = stack.push(patch);
  ASSERT_TRUE(step);
  EXPECT_FALSE(step->applies);
  EXPECT_NE(step->why.find("decides what a build runs"), std::string::npos) << step->why;
}

TEST(Files, WhatDecidesABuild) {
  for (const char* file :
       {"Makefile", "arch/x86/kvm/Makefile", "arch/x86/kvm/Kconfig", "Kbuild",
        "scripts/mod/modpost.c", "tools/objtool/check.c", "x.sh", "arch/x86/tools/relocs.c",
        "include/linux/export.h", "arch/x86/kvm/mmu/gen.awk", "virt/kvm/Makefile.kvm"}) {
    EXPECT_TRUE(decides_build(file)) << file;
  }
  for (const char* file :
       {mmu, "include/linux/kvm_host.h", "virt/kvm/kvm_main.c", "Documentation/virt/kvm/api.rst",
        "arch/x86/include/asm/kvm_host.h", "tools/testing/selftests/kvm/x.c", "drivers/net/x.c"}) {
    EXPECT_FALSE(decides_build(file)) << file;
  }
}

TEST(Files, WhatKvmMayBeMadeOf) {
  EXPECT_TRUE(may_be_compiled(mmu));
  EXPECT_TRUE(may_be_compiled("include/linux/kvm_host.h"));
  EXPECT_TRUE(may_be_compiled("arch/x86/kvm/Makefile"));
  EXPECT_FALSE(may_be_compiled("drivers/net/tun.c"));
  EXPECT_FALSE(may_be_compiled("arch/arm64/kvm/mmu.c"));
  EXPECT_FALSE(may_be_compiled("Documentation/virt/kvm/api.rst"));
}

}  // namespace
}  // namespace lockstep::jobs::review
