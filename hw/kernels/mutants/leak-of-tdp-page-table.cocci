// SPDX-License-Identifier: GPL-2.0-or-later
// title: A page table removed from the TDP MMU is never freed
// breaks: 36, words: no leak
// history: none
// needs: mmu=tdp, tdp_mmu=on, slot delete, VM destroy
// reached-by: handle_removed_pt
// file: arch/x86/kvm/mmu/tdp_mmu.c

@@
symbol sp, rcu_head, tdp_mmu_free_sp_rcu_callback;
@@
 handle_removed_pt(...)
 {
 <...
- call_rcu(&sp->rcu_head, tdp_mmu_free_sp_rcu_callback);
 ...>
 }
