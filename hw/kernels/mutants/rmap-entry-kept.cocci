// SPDX-License-Identifier: GPL-2.0-or-later
// title: Dropping an SPTE of a guest table leaves its rmap entry
// breaks: 19
// history: none
// needs: mmu=shadow, tdp_mmu=any, any zap of one guest entry, then unmap or dirty log of the page
// reached-by: drop_spte
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol kvm, sptep, old_spte;
@@
 drop_spte(...)
 {
 <...
- if (is_shadow_present_pte(old_spte))
+ if (is_shadow_present_pte(old_spte) && sptep_to_sp(sptep)->role.direct)
     rmap_remove(kvm, sptep);
 ...>
 }
