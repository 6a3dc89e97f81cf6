// SPDX-License-Identifier: GPL-2.0-or-later
// title: Dirty get write-protects only the lower half of each 64 pages
// breaks: 31
// history: none
// needs: mmu=shadow, tdp_mmu=any, vendor=amd or PML off, LOG, write to a page of index 32..63, dirty get, write again, dirty get
// reached-by: kvm_mmu_write_protect_pt_masked
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol mask;
statement protect;
@@
 kvm_mmu_write_protect_pt_masked(...)
 {
 <...
+ mask &= U32_MAX;
  while (mask)
    protect
 ...>
 }
