// SPDX-License-Identifier: GPL-2.0-or-later
// title: An MMIO SPTE replaces a present SPTE without dropping it
// breaks: 17, 19, 41
// history: row 4, aad885e77496, CVE-2026-23401
// needs: mmu=shadow, tdp_mmu=any, the host or an alias moves a mapped guest entry to a gfn without slot, guest access
// reached-by: mmu_set_spte
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol pfn, sptep;
statement dropping;
@@
 mmu_set_spte(...)
 {
 <...
- if (is_shadow_present_pte(*sptep))
+ if (is_shadow_present_pte(*sptep) && !is_noslot_pfn(pfn))
    dropping
 ...>
 }
