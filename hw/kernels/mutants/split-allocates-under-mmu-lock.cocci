// SPDX-License-Identifier: GPL-2.0-or-later
// title: The page table of an eager split is allocated under mmu_lock
// breaks: 7
// history: none
// needs: mmu=tdp, tdp_mmu=on, eager_page_split=on, host huge page, flags with LOG (might_sleep check)
// reached-by: tdp_mmu_alloc_sp_for_split|tdp_mmu_split_huge_pages_root
// flavour: lockdep
// file: arch/x86/kvm/mmu/tdp_mmu.c

@@
symbol sp;
@@
 tdp_mmu_alloc_sp_for_split(...)
 {
 <...
- __tdp_mmu_alloc_sp_for_split(GFP_NOWAIT | __GFP_ACCOUNT)
+ __tdp_mmu_alloc_sp_for_split(GFP_KERNEL_ACCOUNT)
 ...>
 }

@@
symbol sp, kvm, shared, mmu_lock;
@@
 tdp_mmu_split_huge_pages_root(...)
 {
 <...
- if (shared) read_unlock(&kvm->mmu_lock); else write_unlock(&kvm->mmu_lock);
  sp = tdp_mmu_alloc_sp_for_split();
- if (shared) read_lock(&kvm->mmu_lock); else write_lock(&kvm->mmu_lock);
 ...>
 }
