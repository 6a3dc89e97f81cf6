// SPDX-License-Identifier: GPL-2.0-or-later
// title: A shadow page becomes unsync without a mark in its parents
// breaks: 13, 14
// history: none
// needs: mmu=shadow, tdp_mmu=any, guest writes a last-level table (unsync), CR3 or INVPCID, guest access
// reached-by: kvm_unsync_page
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol sp;
@@
 kvm_unsync_page(...)
 {
 <...
- kvm_mmu_mark_parents_unsync(sp);
 ...>
 }
