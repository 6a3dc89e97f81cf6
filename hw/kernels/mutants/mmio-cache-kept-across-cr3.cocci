// SPDX-License-Identifier: GPL-2.0-or-later
// title: The cached MMIO address of the vCPU survives a change of root
// breaks: 27
// history: none
// needs: mmu=shadow, tdp_mmu=any, PCID, one address mapped to different MMIO pages in two roots, both accessed, CR3 without flush, access again
// reached-by: kvm_mmu_new_pgd
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol vcpu;
@@
 kvm_mmu_new_pgd(...)
 {
 <...
- vcpu_clear_mmio_info(vcpu, MMIO_GVA_ANY);
 ...>
 }
