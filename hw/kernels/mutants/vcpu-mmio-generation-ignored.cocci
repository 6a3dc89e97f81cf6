// SPDX-License-Identifier: GPL-2.0-or-later
// title: The MMIO address cached in a vCPU outlives a change of slots
// breaks: 27
// history: row 28 (its neighbour: the cache in the vCPU)
// needs: mmu=any, tdp_mmu=any, MMIO access, slot create over it, guest access at once
// reached-by: vcpu_match_mmio_gen
// file: arch/x86/kvm/x86.h

@@
symbol vcpu, true;
@@
 vcpu_match_mmio_gen(...)
 {
 <...
- return vcpu->arch.mmio_gen == kvm_vcpu_memslots(vcpu)->generation;
+ return true;
 ...>
 }
