// SPDX-License-Identifier: GPL-2.0-or-later
// title: A supervisor write under CR0.WP=0 gives user mode write access
// breaks: 11
// history: none
// needs: mmu=shadow, tdp_mmu=any, CR0.WP=0, supervisor write to a read-only user page, user write to it
// reached-by: FNAME(page_fault)
// file: arch/x86/kvm/mmu/paging_tmpl.h

@@
symbol walker, pte_access;
@@
- walker.pte_access &= ~ACC_USER_MASK;
