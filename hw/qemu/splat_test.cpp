// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/qemu/splat.h"

#include <gtest/gtest.h>

namespace lockstep::hw::qemu {
namespace {

// Reports in the form in which kernels print them, shortened.

TEST(Splat, AWarningHasItsPlaceAndItsFunction) {
  const auto found = find_splats(
      "[    3.100000] ------------[ cut here ]------------\r\n"
      "[    3.100001] WARNING: CPU: 0 PID: 1 at arch/x86/kvm/mmu/mmu.c:2214 "
      "kvm_mmu_check_root+0x1c/0x40 [kvm]\r\n"
      "[    3.100002] Modules linked in: kvm_amd kvm irqbypass\r\n"
      "[    3.100003] RIP: 0010:kvm_mmu_check_root+0x1c/0x40 [kvm]\r\n"
      "[    3.100004] Call Trace:\r\n"
      "[    3.100005]  <TASK>\r\n"
      "[    3.100006]  ? __warn+0x81/0x130\r\n"
      "[    3.100007]  kvm_mmu_load+0x12/0x34 [kvm]\r\n"
      "[    3.100008]  </TASK>\r\n"
      "[    3.100009] ---[ end trace 0000000000000000 ]---\r\n"
      "[    3.100010] lockstep: mark 7\r\n");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].kind, SplatKind::warning);
  EXPECT_EQ(found[0].title, "WARNING at arch/x86/kvm/mmu/mmu.c:2214 kvm_mmu_check_root");
  EXPECT_EQ(found[0].function, "kvm_mmu_check_root");
  EXPECT_TRUE(found[0].text.starts_with("WARNING: CPU: 0")) << found[0].text;
  EXPECT_EQ(found[0].text.find("mark 7"), std::string::npos);
}

TEST(Splat, LaterKernelsPutThePlaceFirst) {
  const auto found = find_splats(
      "[    3.1] ------------[ cut here ]------------\n"
      "[    3.1] WARNING: arch/x86/kvm/mmu/mmu.c:99 at kvm_mmu_zap+0x1/0x2 [kvm], CPU#0: init/1\n"
      "[    3.1] ---[ end trace 0000000000000000 ]---\n");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].title, "WARNING at arch/x86/kvm/mmu/mmu.c:99 kvm_mmu_zap");
}

TEST(Splat, ABugKeepsWhatStoodBeforeItAndThePanicBehindIt) {
  const auto found = find_splats(
      "[    3.1] ------------[ cut here ]------------\n"
      "[    3.1] list_del corruption. next->prev should be ffff, but was dead\n"
      "[    3.1] kernel BUG at lib/list_debug.c:59!\n"
      "[    3.1] invalid opcode: 0000 [#1] PREEMPT SMP KASAN\n"
      "[    3.1]  kvm_mmu_free+0x1/0x2 [kvm]\n"
      "[    3.1] ---[ end trace 0000000000000000 ]---\n"
      "[    3.1] RIP: 0010:__list_del_entry_valid+0x5/0x6\n"
      "[    3.1] Kernel panic - not syncing: Fatal exception\n");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].kind, SplatKind::bug);
  EXPECT_EQ(found[0].title, "kernel BUG at lib/list_debug.c:59");
  EXPECT_EQ(found[0].function, "kvm_mmu_free");
  EXPECT_TRUE(found[0].text.starts_with("list_del corruption")) << found[0].text;
  EXPECT_NE(found[0].text.find("Kernel panic"), std::string::npos);
}

TEST(Splat, KasanEndsAtItsRule) {
  const auto found = find_splats(
      "[    3.1] ==================================================================\n"
      "[    3.1] BUG: KASAN: slab-use-after-free in kvm_mmu_page_get+0x10/0x20 [kvm]\n"
      "[    3.1] Read of size 8 at addr ffff888012345678 by task init/1\n"
      "[    3.1]  kvm_mmu_page_get+0x10/0x20 [kvm]\n"
      "[    3.1] Memory state around the buggy address:\n"
      "[    3.1] ==================================================================\n"
      "[    3.1] unrelated\n");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].kind, SplatKind::kasan);
  EXPECT_EQ(found[0].title, "KASAN: slab-use-after-free in kvm_mmu_page_get");
  EXPECT_EQ(found[0].text.find("unrelated"), std::string::npos);
}

TEST(Splat, LockdepRcuAndSleepingAreToldApart) {
  const auto found = find_splats(
      "[    3.1] ======================================================\n"
      "[    3.1] WARNING: possible circular locking dependency detected\n"
      "[    3.1] 6.1.192-lockstep #1 Not tainted\n"
      "[    3.1]  </TASK>\n"
      "[    4.1] =============================\n"
      "[    4.1] WARNING: suspicious RCU usage\n"
      "[    4.1] 6.1.192-lockstep #1 Not tainted\n"
      "[    4.1] -----------------------------\n"
      "[    4.1] arch/x86/kvm/mmu/tdp_mmu.c:77 suspicious rcu_dereference_check() usage!\n"
      "[    4.1]  </TASK>\n"
      "[    5.1] BUG: sleeping function called from invalid context at "
      "include/linux/sched/mm.h:274\n"
      "[    5.1] in_atomic(): 1, irqs_disabled(): 0, non_block: 0, pid: 1, name: init\n"
      "[    5.1]  kvm_mmu_split+0x1/0x2 [kvm]\n"
      "[    5.1]  </TASK>\n");
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].kind, SplatKind::lockdep);
  EXPECT_EQ(found[0].title, "lockdep: possible circular locking dependency detected");
  EXPECT_EQ(found[1].kind, SplatKind::rcu);
  EXPECT_EQ(found[1].title, "lockdep: suspicious RCU usage at arch/x86/kvm/mmu/tdp_mmu.c:77");
  EXPECT_EQ(found[2].kind, SplatKind::sleeping);
  EXPECT_EQ(found[2].function, "kvm_mmu_split");
}

TEST(Splat, StallsAndLeaksAndOopses) {
  const auto found = find_splats(
      "[   33.1] INFO: task init:1 blocked for more than 30 seconds.\n"
      "[   33.1]  </TASK>\n"
      "[   40.1] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [init:1]\n"
      "[   40.1]  </TASK>\n"
      "[   50.1] BUG kvm_mmu_page_header (Not tainted): Objects remaining in "
      "kvm_mmu_page_header on __kmem_cache_shutdown()\n"
      "[   50.1]  </TASK>\n"
      "[   60.1] BUG: kernel NULL pointer dereference, address: 0000000000000008\n"
      "[   60.1] ---[ end trace 0000000000000000 ]---\n");
  ASSERT_EQ(found.size(), 4U);
  EXPECT_EQ(found[0].title, "hung task");
  EXPECT_EQ(found[1].title, "soft lockup");
  EXPECT_EQ(found[2].kind, SplatKind::leak);
  EXPECT_EQ(found[3].kind, SplatKind::oops);
  EXPECT_EQ(found[3].title.find("0000000000000008"), std::string::npos) << found[3].title;
}

TEST(Splat, APanicAloneIsOneAndOrdinaryLinesAreNone) {
  EXPECT_EQ(find_splats("[    1.1] Kernel panic - not syncing: Attempted to kill init!\n")[0].kind,
            SplatKind::panic);
  const std::string_view quiet =
      "[    1.1] kvm_amd: Nested Virtualization enabled\n"
      "[    1.1] kvm_amd: TSC scaling supported\n"
      "[    1.1] lockstep: mark 3\n"
      "Booting with PVH\n";
  EXPECT_TRUE(find_splats(quiet).empty());
  EXPECT_FALSE(has_splat(quiet));
  EXPECT_TRUE(has_splat("[    1.1] BUG: KASAN: x in y\n"));
}

TEST(Splat, OnlyATimeIsAStamp) {
  EXPECT_EQ(without_stamp("[    3.100000] text\r"), "text");
  EXPECT_EQ(without_stamp("[kvm] text"), "[kvm] text");
}

}  // namespace
}  // namespace lockstep::hw::qemu
