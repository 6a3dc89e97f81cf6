// SPDX-License-Identifier: GPL-2.0-or-later
// title: A removed TDP page table is freed at once
// breaks: 8, 36
// history: none
// needs: mmu=tdp, tdp_mmu=on, slot delete or NX recovery while another vCPU walks without a lock (asan, schedule)
// reached-by: handle_removed_pt
// flavour: asan+schedule
// file: arch/x86/kvm/mmu/tdp_mmu.c

// One thread sees it only if the shim checks that no page table is freed
// before the TLB flush.

@@
symbol sp, rcu_head, tdp_mmu_free_sp_rcu_callback;
@@
 handle_removed_pt(...)
 {
 <...
- call_rcu(&sp->rcu_head, tdp_mmu_free_sp_rcu_callback);
+ tdp_mmu_free_sp_rcu_callback(&sp->rcu_head);
 ...>
 }
