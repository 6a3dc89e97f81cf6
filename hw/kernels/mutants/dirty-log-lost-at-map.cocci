// SPDX-License-Identifier: GPL-2.0-or-later
// title: A new writable SPTE is not logged
// breaks: 30
// history: none
// needs: mmu=any, tdp_mmu=any, LOG, first write to a page, dirty get
// reached-by: make_spte
// file: arch/x86/kvm/mmu/spte.c

@@
symbol vcpu, slot, gfn;
@@
 make_spte(...)
 {
 <...
- mark_page_dirty_in_slot(vcpu->kvm, slot, gfn);
 ...>
 }
