// SPDX-License-Identifier: GPL-2.0-or-later
// title: The small pages of a split huge page forget that the host may write them
// breaks: 33
// history: none
// needs: mmu=tdp, tdp_mmu=on, eager_page_split=on, host huge page, write, flags with LOG
// reached-by: make_huge_page_split_spte|make_small_spte
// file: arch/x86/kvm/mmu/spte.c

@@
symbol child_spte;
@@
 make_huge_page_split_spte(...)
 {
 <...
- child_spte &= ~PT_PAGE_SIZE_MASK;
+ child_spte &= ~(PT_PAGE_SIZE_MASK | shadow_host_writable_mask);
 ...>
 }

@@
symbol child_spte;
@@
 make_small_spte(...)
 {
 <...
- child_spte &= ~PT_PAGE_SIZE_MASK;
+ child_spte &= ~(PT_PAGE_SIZE_MASK | shadow_host_writable_mask);
 ...>
 }
