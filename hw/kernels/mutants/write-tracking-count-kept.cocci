// SPDX-License-Identifier: GPL-2.0-or-later
// title: The write tracking of an upper guest table outlives its shadow page
// breaks: 34, 28
// history: none
// needs: mmu=shadow, tdp_mmu=any, guest stops using an upper table, then writes the page (each write is emulated for ever)
// reached-by: unaccount_shadowed
// file: arch/x86/kvm/mmu/mmu.c

// White box: the count in the slot is not zero without a shadow page. Guest
// values stay right.

@@
symbol kvm, slot, gfn;
@@
 unaccount_shadowed(...)
 {
 <...
(
- return kvm_slot_page_track_remove_page(kvm, slot, gfn, ...);
+ return kvm_mmu_gfn_allow_lpage(slot, gfn);
|
- return __kvm_write_track_remove_gfn(kvm, slot, gfn);
+ return kvm_mmu_gfn_allow_lpage(slot, gfn);
)
 ...>
 }
