// SPDX-License-Identifier: GPL-2.0-or-later
// title: Loading a root goes on after the caches could not be filled
// breaks: 2, words: clean errno
// history: none
// needs: mmu=any, tdp_mmu=any, allocation failure at a root load (fault injection)
// reached-by: kvm_mmu_load
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol r, vcpu, out;
expression indirect;
@@
 kvm_mmu_load(...)
 {
 <...
  r = mmu_topup_memory_caches(vcpu, indirect);
- if (r)
-    goto out;
 ...>
 }
