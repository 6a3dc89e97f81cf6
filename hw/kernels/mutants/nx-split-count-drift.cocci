// SPDX-License-Identifier: GPL-2.0-or-later
// title: The count of NX splits is never lowered
// breaks: 38
// history: none
// needs: mmu=any, tdp_mmu=any, nx_huge_pages=on, fetch in a huge page, zap of the split page, statistics
// reached-by: unaccount_huge_nx_page|untrack_possible_nx_huge_page
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol kvm, stat, nx_lpage_splits;
@@
- --kvm->stat.nx_lpage_splits;
