// SPDX-License-Identifier: GPL-2.0-or-later
// title: The TDP MMU write-protects only the lower half of each 64 pages
// breaks: 31
// history: none
// needs: mmu=tdp, tdp_mmu=on, LOG, write to a page of index 32..63, dirty get, write again, dirty get
// reached-by: clear_dirty_pt_masked
// file: arch/x86/kvm/mmu/tdp_mmu.c

@@
symbol gfn;
@@
 clear_dirty_pt_masked(...)
 {
 <...
- gfn + BITS_PER_LONG
+ gfn + BITS_PER_LONG / 2
 ...>
 }
