// SPDX-License-Identifier: GPL-2.0-or-later
// title: A supervisor write under CR0.WP=0 makes a user page executable despite SMEP
// breaks: 11
// history: row 13, 411c588dfb86 (hash recalled, unconfirmed)
// needs: mmu=shadow, tdp_mmu=any, CR0.WP=0, CR4.SMEP=1, supervisor write to a read-only user page, supervisor fetch from it
// reached-by: FNAME(page_fault)
// file: arch/x86/kvm/mmu/paging_tmpl.h

@@
symbol walker, pte_access, vcpu;
@@
- if (is_cr4_smep(vcpu->arch.mmu))
-    walker.pte_access &= ~ACC_EXEC_MASK;
