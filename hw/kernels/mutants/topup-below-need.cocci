// SPDX-License-Identifier: GPL-2.0-or-later
// title: The cache of page tables is topped up to one page
// breaks: 2
// history: none
// needs: mmu=any, tdp_mmu=any, many new guest tables or gfns, one fault that needs several levels
// reached-by: mmu_topup_memory_caches
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol vcpu;
@@
 mmu_topup_memory_caches(...)
 {
 <...
  kvm_mmu_topup_memory_cache(&vcpu->arch.mmu_shadow_page_cache,
- PT64_ROOT_MAX_LEVEL
+ 1
  )
 ...>
 }
