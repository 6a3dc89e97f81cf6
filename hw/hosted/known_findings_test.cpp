// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/known_findings.h"

#include <gtest/gtest.h>

namespace lockstep::hw::hosted {
namespace {

Finding warning(std::string text) {
  return {.kind = HOSTED_WARNING,
          .text = std::move(text),
          .symbol = "kvm_mmu_page_fault+0x469",
          .chain = {},
          .line = {},
          .source = {}};
}

TEST(KnownFindings, NameTheirKernelAndLine) {
  const Finding found = warning("WARNING at arch/x86/kvm/mmu/mmu.c:6537");
  ASSERT_NE(known(found, "7.2.13"), nullptr);
  EXPECT_EQ(known(found, "7.2.13")->name, "mmio-cached-then-write-protected");
  EXPECT_NE(known(found, "7.2"), nullptr);
  EXPECT_EQ(known(found, "7.20"), nullptr) << "another kernel";
  EXPECT_EQ(known(found, "6.1.192"), nullptr);
}

TEST(KnownFindings, APatchMayMoveTheLineButNotToAnotherWarning) {
  EXPECT_NE(known(warning("WARNING at arch/x86/kvm/mmu/mmu.c:6540"), "7.2"), nullptr);
  EXPECT_EQ(known(warning("WARNING at arch/x86/kvm/mmu/mmu.c:6601"), "7.2"), nullptr);
  EXPECT_EQ(known(warning("WARNING at arch/x86/kvm/mmu/tdp_mmu.c:6537"), "7.2"), nullptr);
  EXPECT_EQ(known(warning("no file"), "7.2"), nullptr);
  Finding recovery = warning("WARNING at arch/x86/kvm/mmu/mmu.c:7580");
  recovery.symbol = "kvm_nx_huge_page_recovery_worker+0x1c0";
  EXPECT_NE(known(recovery, "6.12.1"), nullptr);
  recovery.text = "WARNING at arch/x86/kvm/mmu/mmu.c:7587";
  EXPECT_EQ(known(recovery, "6.12.1"), nullptr) << "another warning of the same function";
}

TEST(KnownFindings, WhatEndsTheKernelIsNeverKnown) {
  Finding found = warning("kernel BUG at arch/x86/kvm/mmu/mmu.c:6537");
  found.kind = HOSTED_BUG;
  EXPECT_EQ(known(found, "7.2"), nullptr);
}

TEST(KnownFindings, OneInvariantBreaksAfterMmioUnderShadowPaging) {
  const spec::Violation table{12, "leaf 0x16fe[0] maps the shadowed table at gfn 0x13 writable"};
  const Circumstances mmio{.shadow = true, .met_mmio = true};
  EXPECT_EQ(known(table, mmio), "mmio-entry-escapes-write-protection");
  EXPECT_EQ(known(table, {.shadow = true}), "");
  EXPECT_EQ(known(table, {.met_mmio = true}), "");
  EXPECT_EQ(known({12, "upper table at gfn 0x13 is unsync"}, mmio), "");
  EXPECT_EQ(known({11, table.text}, mmio), "");
  EXPECT_NE(known({35,
                   "a fault may make leaf 0x1[0] writable, which maps the shadowed table at "
                   "gfn 0x10"},
                  mmio),
            "");
}

TEST(KnownFindings, AnotherGfnOfOneHostPageKeepsTheFirstRecord) {
  const spec::Violation record{11,
                               "leaf 0x1726[5] maps gfn 0x100000 writable, and slot 2 is "
                               "read-only"};
  Aliases pages;
  pages.add(0x1'0000'0000, 0x40'0000, page_size);
  pages.add(0x40'0000, 0x40'0000, 0x20'0000);
  const Circumstances aliases{.shadow = true, .aliases = &pages};
  EXPECT_EQ(known(record, aliases), "alias-keeps-the-first-gfn");
  EXPECT_EQ(known({31,
                   "leaf 0x16ad[0] maps gfn 0x400, level 1, writable; the log of slot 2 has "
                   "gfn 0x400 clean"},
                  aliases),
            "alias-keeps-the-first-gfn");
  EXPECT_EQ(known({31,
                   "leaf 0x16ad[0] maps gfn 0x401, level 1, writable; the log of slot 2 has "
                   "gfn 0x401 clean"},
                  aliases),
            "")
      << "a page with one address";
  EXPECT_EQ(known(record, {.shadow = true, .met_mmio = true}), "");
  EXPECT_EQ(known(record, {.aliases = &pages}), "") << "the TDP MMU keeps no such records";
  EXPECT_EQ(known({11, "leaf 0x1[0] maps gfn 0x5 writable, in a page whose role is not"}, aliases),
            "");
}

TEST(KnownFindings, APatchMayMoveAWarning) {
  Finding moved = warning("WARNING at arch/x86/kvm/mmu/mmu.c:7956");
  moved.symbol = "kvm_nx_huge_page_recovery_worker+0x43f";
  EXPECT_EQ(known(moved, "7.2"), nullptr) << "by the line alone it is another one";
  moved.source = "\tif (WARN_ON_ONCE(!slot))";
  ASSERT_NE(known(moved, "7.2"), nullptr);
  EXPECT_EQ(known(moved, "7.2")->name, "nx-recovery-of-a-deleted-slot");
  moved.text = "WARNING at arch/x86/kvm/mmu/mmu.c:7946";
  moved.source = "\tif (WARN_ON_ONCE(!sp->nx_huge_page_disallowed))";
  EXPECT_EQ(known(moved, "7.2"), nullptr) << "another warning at the line of this one";
}

TEST(KnownFindings, AnotherFunctionsWarningIsNew) {
  Finding found = warning("WARNING at arch/x86/kvm/mmu/mmu.c:6537");
  found.symbol = "direct_page_fault+0x20";
  EXPECT_EQ(known(found, "7.2"), nullptr);
}

}  // namespace
}  // namespace lockstep::hw::hosted
