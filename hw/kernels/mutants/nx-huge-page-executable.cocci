// SPDX-License-Identifier: GPL-2.0-or-later
// title: Huge pages stay executable although the mitigation is on
// breaks: 38
// history: row 48, b8e8c8303ff2, CVE-2018-12207
// needs: mmu=any, tdp_mmu=any, nx_huge_pages=on, host huge page, guest access
// reached-by: make_spte
// file: arch/x86/kvm/mmu/spte.c

// White box: an executable huge SPTE exists under the mitigation.

@@
symbol level, pte_access;
statement drop_exec;
@@
 make_spte(...)
 {
 <...
(
- if (level > PG_LEVEL_4K && is_nx_huge_page_enabled(...))
-    drop_exec
|
- if (level > PG_LEVEL_4K && (pte_access & ACC_EXEC_MASK) && is_nx_huge_page_enabled(...))
-    drop_exec
)
 ...>
 }
