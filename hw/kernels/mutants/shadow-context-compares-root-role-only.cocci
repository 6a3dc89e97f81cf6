// SPDX-License-Identifier: GPL-2.0-or-later
// title: Shadow paging is not set up again when only the CPU role changes
// breaks: 18
// history: row 18, b8453cdcf260
// needs: mmu=shadow, tdp_mmu=any, toggle EFER.NX or CR4.SMAP or CR4.PSE with CR0.WP=1, guest access
// reached-by: shadow_mmu_init_context
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol as_u64, context, cpu_role, root_role, word;
@@
 shadow_mmu_init_context(...)
 {
 <...
- cpu_role.as_u64 == context->cpu_role.as_u64 && root_role.word == context->root_role.word
+ root_role.word == context->root_role.word
 ...>
 }
