// SPDX-License-Identifier: GPL-2.0-or-later
// title: A fetch from an NX huge page does not split it
// breaks: 38, words: progress
// history: row 48, b8e8c8303ff2, CVE-2018-12207
// needs: mmu=any, tdp_mmu=any, nx_huge_pages=on, host huge page, guest fetch
// reached-by: kvm_mmu_hugepage_adjust
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol fault, req_level, huge_page_disallowed;
@@
 kvm_mmu_hugepage_adjust(...)
 {
 <...
- fault->req_level == PG_LEVEL_4K || fault->huge_page_disallowed
+ fault->req_level == PG_LEVEL_4K
 ...>
 }
