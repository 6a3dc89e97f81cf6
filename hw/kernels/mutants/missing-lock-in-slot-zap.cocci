// SPDX-License-Identifier: GPL-2.0-or-later
// title: The zap for a slot delete runs without mmu_lock
// breaks: 5
// history: none
// needs: mmu=any, tdp_mmu=any, slot delete (lockdep)
// reached-by: kvm_mmu_zap_all_fast|kvm_arch_flush_shadow_memslot
// file: arch/x86/kvm/mmu/mmu.c

@old@
symbol kvm, mmu_lock;
@@
 kvm_mmu_zap_all_fast(...)
 {
 ...
- write_lock(&kvm->mmu_lock);
 ...
  kvm_zap_obsolete_pages(kvm);
- write_unlock(&kvm->mmu_lock);
 ...
 }

@@
symbol kvm, mmu_lock;
@@
 kvm_arch_flush_shadow_memslot(...)
 {
 <...
(
- write_lock(&kvm->mmu_lock);
|
- write_unlock(&kvm->mmu_lock);
)
 ...>
 }
