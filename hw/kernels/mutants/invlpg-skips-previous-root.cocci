// SPDX-License-Identifier: GPL-2.0-or-later
// title: INVLPG leaves the most recent previous root alone
// breaks: 13, 23
// history: none
// needs: mmu=shadow, tdp_mmu=any, PCID, two roots of one PCID (or a global page), unsync entry, INVLPG, CR3 back without flush, guest access
// reached-by: kvm_mmu_invalidate_gva|kvm_mmu_invalidate_addr
// file: arch/x86/kvm/mmu/mmu.c

@@
identifier i;
statement invalidate;
@@
 kvm_mmu_invalidate_gva(...)
 {
 <...
  for (
-      i = 0
+      i = 1
       ; i < KVM_MMU_NUM_PREV_ROOTS; i++) invalidate
 ...>
 }

@@
identifier i;
statement invalidate;
@@
 kvm_mmu_invalidate_addr(...)
 {
 <...
  for (
-      i = 0
+      i = 1
       ; i < KVM_MMU_NUM_PREV_ROOTS; i++) invalidate
 ...>
 }
