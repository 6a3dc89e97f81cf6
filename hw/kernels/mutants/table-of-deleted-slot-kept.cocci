// SPDX-License-Identifier: GPL-2.0-or-later
// title: Targeted slot delete keeps the shadow pages of tables in the slot
// breaks: 26, 34
// history: row 26, fcd1ec9cb59c
// needs: mmu=shadow, tdp_mmu=any, quirk SLOT_ZAP_ALL off, guest tables inside a slot, slot delete, VM destroy
// reached-by: kvm_mmu_zap_memslot_pages_and_flush
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol kvm, sp, invalid_list;
@@
 kvm_mmu_zap_memslot_pages_and_flush(...)
 {
 <...
- kvm_mmu_prepare_zap_page(kvm, sp, &invalid_list);
+ continue;
 ...>
 }
