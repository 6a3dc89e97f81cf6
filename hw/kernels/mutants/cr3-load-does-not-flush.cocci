// SPDX-License-Identifier: GPL-2.0-or-later
// title: A load of CR3 does not flush the TLB
// breaks: 41
// history: none
// needs: mmu=shadow, tdp_mmu=any, CR3 between two roots that map an address differently, guest access
// reached-by: kvm_invalidate_pcid
// file: arch/x86/kvm/x86.c

@@
symbol vcpu;
@@
 kvm_invalidate_pcid(...)
 {
 <...
- kvm_make_request(KVM_REQ_TLB_FLUSH_CURRENT, vcpu);
 ...>
 }
