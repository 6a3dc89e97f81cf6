// SPDX-License-Identifier: GPL-2.0-or-later
// title: An upper shadow page takes the access rights of the lowest guest table
// breaks: 9, 10, 11
// history: row 1, b1bd5cba3306, CVE-2021-38198
// needs: mmu=shadow, tdp_mmu=any, two upper entries with different rights to one table, guest accesses through both
// reached-by: FNAME(fetch)
// file: arch/x86/kvm/mmu/paging_tmpl.h

@@
symbol access, gw, level, pt_access;
expression depth;
@@
- access = gw->pt_access[depth];
+ access = gw->pt_access[gw->level - 1];
