// SPDX-License-Identifier: GPL-2.0-or-later
// title: NX recovery of TDP MMU pages loses the TLB flush
// breaks: 36, 41
// history: row 43, 33a3164161fc
// needs: mmu=tdp, tdp_mmu=on, nx_huge_pages=on, fetch in a huge page, NX recovery, then unmap by the host, guest access
// reached-by: kvm_tdp_mmu_zap_sp|kvm_tdp_mmu_zap_possible_nx_huge_page
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol kvm, sp;
@@
(
- kvm_tdp_mmu_zap_sp(kvm, sp)
+ (kvm_tdp_mmu_zap_sp(kvm, sp) && !sp)
|
- kvm_tdp_mmu_zap_possible_nx_huge_page(kvm, sp)
+ (kvm_tdp_mmu_zap_possible_nx_huge_page(kvm, sp) && !sp)
)
