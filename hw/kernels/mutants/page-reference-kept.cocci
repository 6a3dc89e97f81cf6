// SPDX-License-Identifier: GPL-2.0-or-later
// title: A fault keeps its reference to the host page
// breaks: words: page reference counts
// history: none
// needs: mmu=shadow, tdp_mmu=any, guest access, then unmap by the host or VM destroy with a check of reference counts
// reached-by: FNAME(page_fault)|kvm_mmu_finish_page_fault
// file: arch/x86/kvm/mmu/mmu.c
// file: arch/x86/kvm/mmu/paging_tmpl.h

@@
symbol vcpu, fault, refcounted_page, r;
@@
 kvm_mmu_finish_page_fault(...)
 {
 <...
+ if (r != RET_PF_FIXED)
  kvm_release_faultin_page(...);
 ...>
 }

@@
symbol orig_pfn, r;
identifier fault =~ "^FNAME_";
@@
 fault(...)
 {
 <...
+ if (r != RET_PF_FIXED)
  kvm_release_pfn_clean(orig_pfn);
 ...>
 }
