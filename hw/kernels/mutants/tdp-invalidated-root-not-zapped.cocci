// SPDX-License-Identifier: GPL-2.0-or-later
// title: Invalidated TDP MMU roots are freed with their tables in place
// breaks: 26, 37, words: no leak
// history: none
// needs: mmu=tdp, tdp_mmu=on, guest access, slot delete, VM destroy
// reached-by: kvm_tdp_mmu_zap_invalidated_roots
// file: arch/x86/kvm/mmu/tdp_mmu.c

@@
symbol kvm, root;
@@
 kvm_tdp_mmu_zap_invalidated_roots(...)
 {
 <...
- tdp_mmu_zap_root(kvm, root, ...);
 ...>
 }
