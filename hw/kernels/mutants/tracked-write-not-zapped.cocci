// SPDX-License-Identifier: GPL-2.0-or-later
// title: An emulated write to a guest table keeps the SPTE of the old entry
// breaks: 10, 11, 13
// history: none
// needs: mmu=shadow, tdp_mmu=any, guest writes an entry of a write-protected table, INVLPG or CR3, guest access
// reached-by: kvm_mmu_pte_write|kvm_mmu_track_write
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol vcpu, sp, spte;
@@
 kvm_mmu_pte_write(...)
 {
 <...
- mmu_page_zap_pte(vcpu->kvm, sp, spte, ...);
 ...>
 }

@@
symbol vcpu, sp, spte;
@@
 kvm_mmu_track_write(...)
 {
 <...
- mmu_page_zap_pte(vcpu->kvm, sp, spte, ...);
 ...>
 }
