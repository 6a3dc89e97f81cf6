// SPDX-License-Identifier: GPL-2.0-or-later
// title: A guest page table that becomes shadowed at 4K stays writable
// breaks: 12
// history: none
// needs: mmu=shadow, tdp_mmu=any, guest writes a table through a mapping that was writable before the table was used, INVLPG or CR3, guest access
// reached-by: account_shadowed
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol kvm, slot, gfn;
statement flush;
@@
 account_shadowed(...)
 {
 <...
- if (kvm_mmu_slot_gfn_write_protect(kvm, slot, gfn, PG_LEVEL_4K))
-    flush
 ...>
 }
