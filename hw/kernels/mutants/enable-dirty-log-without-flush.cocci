// SPDX-License-Identifier: GPL-2.0-or-later
// title: Switching dirty logging on returns without a TLB flush
// breaks: 31, 41
// history: none
// needs: mmu=any, tdp_mmu=any, write, flags with LOG, write again through the TLB, dirty get
// reached-by: kvm_mmu_slot_apply_flags
// file: arch/x86/kvm/x86.c

@@
symbol kvm, new;
@@
 kvm_mmu_slot_apply_flags(...)
 {
 <...
(
- kvm_arch_flush_remote_tlbs_memslot(kvm, new);
|
- kvm_flush_remote_tlbs_memslot(kvm, new);
)
 ...>
 }
