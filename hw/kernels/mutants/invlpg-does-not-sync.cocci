// SPDX-License-Identifier: GPL-2.0-or-later
// title: INVLPG leaves the unsync entries of the current root alone
// breaks: 13
// history: none
// needs: mmu=shadow, tdp_mmu=any, guest writes a last-level entry (unsync), INVLPG or INVPCID of the address, guest access
// reached-by: kvm_mmu_invalidate_gva|kvm_mmu_invalidate_addr
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol mmu, vcpu, gva, root, hpa, root_hpa;
@@
 kvm_mmu_invalidate_gva(...)
 {
 <...
  if (root_hpa == INVALID_PAGE) {
- mmu->invlpg(vcpu, gva, mmu->root.hpa);
  ...
  } else { ... }
 ...>
 }

@@
symbol roots, mmu, vcpu, addr, root, hpa;
@@
 kvm_mmu_invalidate_addr(...)
 {
 <...
- if (roots & KVM_MMU_ROOT_CURRENT)
-    __kvm_mmu_invalidate_addr(vcpu, mmu, addr, mmu->root.hpa);
 ...>
 }
