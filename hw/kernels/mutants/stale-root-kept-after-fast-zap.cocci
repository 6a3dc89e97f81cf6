// SPDX-License-Identifier: GPL-2.0-or-later
// title: vCPUs are not told to drop obsolete roots
// breaks: 23, 24, A.001.3
// history: none
// needs: mmu=any, tdp_mmu=any, guest access, slot delete, guest access (shadow: endless retry; TDP MMU: stale root in use)
// reached-by: kvm_mmu_zap_all_fast|__kvm_mmu_zap_all_fast_front_half
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol kvm;
@@
 kvm_mmu_zap_all_fast(...)
 {
 <...
- kvm_make_all_cpus_request(kvm, KVM_REQ_MMU_FREE_OBSOLETE_ROOTS);
 ...>
 }

@@
symbol kvm;
@@
 __kvm_mmu_zap_all_fast_front_half(...)
 {
 <...
- kvm_make_all_cpus_request(kvm, KVM_REQ_MMU_FREE_OBSOLETE_ROOTS);
 ...>
 }
