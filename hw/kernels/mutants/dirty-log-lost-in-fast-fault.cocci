// SPDX-License-Identifier: GPL-2.0-or-later
// title: The lockless fault path makes a page writable without logging it
// breaks: 30, 35
// history: none
// needs: mmu=tdp, tdp_mmu=any, LOG, write after dirty get (also modes without paging under shadow)
// reached-by: fast_pf_fix_direct_spte
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol new_spte, old_spte;
statement log;
@@
 fast_pf_fix_direct_spte(...)
 {
 <...
- if (is_writable_pte(new_spte) && !is_writable_pte(old_spte))
-    log
 ...>
 }
