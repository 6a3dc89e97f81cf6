// SPDX-License-Identifier: GPL-2.0-or-later
// title: The TDP MMU holds no reference of its own to a new root
// breaks: 22, 37
// history: row 45, edbdb43fc96b
// needs: mmu=tdp, tdp_mmu=on, unload of the last vCPU root (VM destroy suffices)
// reached-by: kvm_tdp_mmu_get_vcpu_root_hpa|kvm_tdp_mmu_alloc_root
// file: arch/x86/kvm/mmu/tdp_mmu.c

@@
symbol root, tdp_mmu_root_count;
@@
- refcount_set(&root->tdp_mmu_root_count, 2);
+ refcount_set(&root->tdp_mmu_root_count, 1);
