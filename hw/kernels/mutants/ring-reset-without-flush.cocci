// SPDX-License-Identifier: GPL-2.0-or-later
// title: KVM_RESET_DIRTY_RINGS returns without a TLB flush
// breaks: 31, 41
// history: none
// needs: mmu=any, tdp_mmu=any, dirty ring, write, RingReset, write again through the TLB, ring
// reached-by: kvm_vm_ioctl_reset_dirty_pages
// file: virt/kvm/kvm_main.c

@@
symbol cleared, kvm;
@@
 kvm_vm_ioctl_reset_dirty_pages(...)
 {
 <...
- if (cleared)
-    kvm_flush_remote_tlbs(kvm);
 ...>
 }
