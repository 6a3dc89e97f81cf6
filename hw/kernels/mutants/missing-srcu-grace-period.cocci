// SPDX-License-Identifier: GPL-2.0-or-later
// title: A change of slots does not wait for readers of the old ones
// breaks: 6, 25, 26
// history: none
// needs: mmu=any, tdp_mmu=any, slot delete while another vCPU faults (asan, schedule)
// reached-by: kvm_swap_active_memslots
// flavour: asan+schedule
// file: virt/kvm/kvm_main.c

@@
symbol kvm, srcu;
@@
 kvm_swap_active_memslots(...)
 {
 <...
- synchronize_srcu_expedited(&kvm->srcu);
 ...>
 }
