// SPDX-License-Identifier: GPL-2.0-or-later
// title: A guest page table is write-protected without a TLB flush
// breaks: 12, 41
// history: none
// needs: mmu=shadow, tdp_mmu=any, a table mapped writable and written before it is used, then written again through the TLB, INVLPG or CR3, guest access
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
+ kvm_mmu_slot_gfn_write_protect(kvm, slot, gfn, PG_LEVEL_4K);
 ...>
 }
