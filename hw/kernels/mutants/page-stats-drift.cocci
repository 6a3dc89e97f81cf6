// SPDX-License-Identifier: GPL-2.0-or-later
// title: Zapping a huge SPTE does not lower the page statistics
// breaks: 39
// history: none
// needs: mmu=shadow, tdp_mmu=any, guest huge page on a host huge page, zap of it, statistics
// reached-by: mmu_spte_clear_track_bits
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol kvm, level;
@@
 mmu_spte_clear_track_bits(...)
 {
 <...
- kvm_update_page_stats(kvm, level, -1);
+ if (level == PG_LEVEL_4K)
+    kvm_update_page_stats(kvm, level, -1);
 ...>
 }
