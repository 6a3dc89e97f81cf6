// SPDX-License-Identifier: GPL-2.0-or-later
// title: An upper guest table is tracked while old mappings of it stay writable
// breaks: 12, 34
// history: none
// needs: mmu=shadow, tdp_mmu=any, an upper table mapped writable before it is used, then written, guest access
// reached-by: kvm_slot_page_track_add_page|__kvm_write_track_add_gfn
// file: arch/x86/kvm/mmu/page_track.c

@@
symbol kvm, slot, gfn;
statement flush;
@@
 __kvm_write_track_add_gfn(...)
 {
 <...
- if (kvm_mmu_slot_gfn_write_protect(kvm, slot, gfn, PG_LEVEL_4K))
-    flush
 ...>
 }

@@
symbol kvm, slot, gfn, mode;
statement flush;
@@
 kvm_slot_page_track_add_page(...)
 {
 <...
- if (mode == KVM_PAGE_TRACK_WRITE)
-    if (kvm_mmu_slot_gfn_write_protect(kvm, slot, gfn, PG_LEVEL_4K))
-       flush
 ...>
 }
