// SPDX-License-Identifier: GPL-2.0-or-later
// title: Loading a new root does not flush the TLB
// breaks: 36, 41
// history: none
// needs: mmu=any, tdp_mmu=any, guest access, slot delete (with TDP MMU nothing else flushes), guest access
// reached-by: kvm_mmu_load
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol vcpu, kvm_x86_flush_tlb_current, flush_tlb_current;
@@
 kvm_mmu_load(...)
 {
 <...
(
- static_call(kvm_x86_flush_tlb_current)(vcpu);
|
- kvm_x86_call(flush_tlb_current)(vcpu);
)
 ...>
 }
