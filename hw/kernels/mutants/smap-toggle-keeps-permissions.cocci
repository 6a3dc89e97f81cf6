// SPDX-License-Identifier: GPL-2.0-or-later
// title: A change of CR4.SMAP leaves the permission bitmap alone
// breaks: 18
// history: row 15, 8d214c481611
// needs: mmu=any, tdp_mmu=any, toggle CR4.SMAP, supervisor access to user pages (with TDP: an emulated access)
// reached-by: kvm_post_set_cr4
// file: arch/x86/kvm/x86.c
// file: arch/x86/kvm/regs.c

@@
symbol cr4, old_cr4;
@@
 kvm_post_set_cr4(...)
 {
 <...
- (cr4 ^ old_cr4) & KVM_MMU_CR4_ROLE_BITS
+ (cr4 ^ old_cr4) & KVM_MMU_CR4_ROLE_BITS & ~X86_CR4_SMAP
 ...>
 }
