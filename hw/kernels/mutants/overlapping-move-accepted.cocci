// SPDX-License-Identifier: GPL-2.0-or-later
// title: A slot may be moved onto another slot
// breaks: 25
// history: none
// needs: mmu=any, tdp_mmu=any, slot move with overlap, errno
// reached-by: __kvm_set_memory_region|kvm_set_memory_region
// file: virt/kvm/kvm_main.c

@@
symbol change;
@@
- (change == KVM_MR_CREATE || change == KVM_MR_MOVE)
+ (change == KVM_MR_CREATE)
