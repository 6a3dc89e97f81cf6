// SPDX-License-Identifier: GPL-2.0-or-later
// title: Shadow pages are freed without a TLB flush
// breaks: 8, 41
// history: none
// needs: mmu=shadow, tdp_mmu=any, zap of a guest table (flooding, KVM_SET_NR_MMU_PAGES), unmap by the host, guest access
// reached-by: kvm_mmu_commit_zap_page
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol kvm;
@@
 kvm_mmu_commit_zap_page(...)
 {
 <...
- kvm_flush_remote_tlbs(kvm);
 ...>
 }
