// SPDX-License-Identifier: GPL-2.0-or-later
// title: The TDP MMU says that pages are young and leaves them so
// breaks: words: aging
// history: none
// needs: mmu=tdp, tdp_mmu=on, guest access, the host ages the page
// reached-by: kvm_age_gfn
// file: arch/x86/kvm/mmu/mmu.c

@@
expression kvm, range;
@@
 kvm_age_gfn(...)
 {
 <...
- kvm_tdp_mmu_age_gfn_range(kvm, range)
+ kvm_tdp_mmu_test_age_gfn(kvm, range)
 ...>
 }
