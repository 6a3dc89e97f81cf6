// SPDX-License-Identifier: GPL-2.0-or-later
// title: A freed shadow page stays counted as used
// breaks: 3, 40
// history: none
// needs: mmu=shadow, tdp_mmu=any, zap of shadow pages many times, statistics or a limit of KVM_SET_NR_MMU_PAGES
// reached-by: kvm_unaccount_mmu_page
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol kvm, stat, mmu_shadow_pages;
@@
 kvm_unaccount_mmu_page(...)
 {
 <...
(
- kvm_mod_used_mmu_pages(kvm, -1);
|
- kvm->stat.mmu_shadow_pages--;
)
 ...>
 }
