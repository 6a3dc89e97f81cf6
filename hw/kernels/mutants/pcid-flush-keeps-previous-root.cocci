// SPDX-License-Identifier: GPL-2.0-or-later
// title: Invalidating a PCID keeps its most recent previous root
// breaks: 13, 23
// history: none
// needs: mmu=shadow, tdp_mmu=any, PCID, unsync entry in a root of PCID n, CR3 to another PCID, INVPCID of n, CR3 back without flush, guest access
// reached-by: kvm_invalidate_pcid
// file: arch/x86/kvm/x86.c

@@
identifier i;
statement collect;
@@
 kvm_invalidate_pcid(...)
 {
 <...
  for (
-      i = 0
+      i = 1
       ; i < KVM_MMU_NUM_PREV_ROOTS; i++)
    collect
 ...>
 }
