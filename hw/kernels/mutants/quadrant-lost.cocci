// SPDX-License-Identifier: GPL-2.0-or-later
// title: Both halves of a 32-bit guest table share one shadow page
// breaks: 10, 18
// history: none
// needs: mmu=shadow, tdp_mmu=any, mode bits32, accesses to both 2 MiB halves under one page-directory entry
// reached-by: kvm_mmu_child_role
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol role, quadrant, sptep;
@@
 kvm_mmu_child_role(...)
 {
 <...
- role.quadrant = spte_index(sptep) & 1;
+ role.quadrant = 0;
 ...>
 }
