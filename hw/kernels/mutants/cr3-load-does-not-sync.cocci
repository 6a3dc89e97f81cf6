// SPDX-License-Identifier: GPL-2.0-or-later
// title: A load of CR3 that flushes does not synchronize the current root
// breaks: 13
// history: none
// needs: mmu=shadow, tdp_mmu=any, guest writes a last-level entry (unsync), CR3 with flush (also the same value), guest access
// reached-by: kvm_invalidate_pcid
// file: arch/x86/kvm/x86.c

@@
symbol vcpu;
@@
 kvm_invalidate_pcid(...)
 {
 <...
- kvm_make_request(KVM_REQ_MMU_SYNC, vcpu);
 ...>
 }
