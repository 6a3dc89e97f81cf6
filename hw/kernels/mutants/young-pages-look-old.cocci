// SPDX-License-Identifier: GPL-2.0-or-later
// title: Every page is old to a host that only asks
// breaks: words: aging
// history: none
// needs: mmu=any, tdp_mmu=any, guest access, the host ages the page
// reached-by: kvm_test_age_gfn
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol young;
@@
 kvm_test_age_gfn(...)
 {
 <...
- return young;
+ return 0;
 ...>
 }
