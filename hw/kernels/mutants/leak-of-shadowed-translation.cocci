// SPDX-License-Identifier: GPL-2.0-or-later
// title: The page with the guest rights of a shadow page leaks
// breaks: words: no leak
// history: none
// needs: mmu=shadow, tdp_mmu=any, VM destroy
// reached-by: kvm_mmu_free_shadow_page
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol sp, shadowed_translation;
@@
 kvm_mmu_free_shadow_page(...)
 {
 <...
- if (!sp->role.direct)
-    free_page((unsigned long)sp->shadowed_translation);
 ...>
 }

@@
symbol sp, shadowed_translation;
@@
 kvm_mmu_free_shadow_page(...)
 {
 <...
- free_page((unsigned long)sp->shadowed_translation);
 ...>
 }
