// SPDX-License-Identifier: GPL-2.0-or-later
// title: Synchronizing keeps an SPTE whose guest entry maps another gfn
// breaks: 10, 13, 19
// history: none
// needs: mmu=shadow, tdp_mmu=any, guest points an entry of an unsync table at another page, INVLPG or CR3, guest access
// reached-by: FNAME(sync_page)|FNAME(sync_spte)
// file: arch/x86/kvm/mmu/paging_tmpl.h

@@
symbol gfn, sp, i;
expression absent;
@@
- absent || gfn != kvm_mmu_page_get_gfn(sp, i)
+ absent
