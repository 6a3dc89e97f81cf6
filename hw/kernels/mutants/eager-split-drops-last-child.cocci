// SPDX-License-Identifier: GPL-2.0-or-later
// title: Splitting a huge page leaves the last small page unmapped
// breaks: 33, 39
// history: none
// needs: mmu=tdp, tdp_mmu=on, eager_page_split=on, host huge page, flags with LOG, statistics; or unmap by the host and access to the last page
// reached-by: tdp_mmu_split_huge_page
// file: arch/x86/kvm/mmu/tdp_mmu.c

@@
identifier i;
@@
 tdp_mmu_split_huge_page(...)
 {
 <...
- i < SPTE_ENT_PER_PAGE
+ i < SPTE_ENT_PER_PAGE - 1
 ...>
 }
