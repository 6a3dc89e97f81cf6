// SPDX-License-Identifier: GPL-2.0-or-later
// title: Filling a cache stores one object beyond its capacity
// breaks: 1
// history: none
// needs: mmu=any, tdp_mmu=any, first fill of any cache (asan; frees of the array at vCPU destroy)
// reached-by: __kvm_mmu_topup_memory_cache
// file: virt/kvm/kvm_main.c

@@
symbol mc, nobjs, capacity;
statement fill;
@@
 __kvm_mmu_topup_memory_cache(...)
 {
 <...
- while (mc->nobjs < mc->capacity)
+ while (mc->nobjs <= mc->capacity)
    fill
 ...>
 }
