// SPDX-License-Identifier: GPL-2.0-or-later
// title: A walk of the TDP MMU skips the last entry of each table
// breaks: 26, 31, 42
// history: none
// needs: mmu=tdp, tdp_mmu=on, page 511 of a 2 MiB region mapped by 4K, unmap or dirty log of a range that starts below it, guest access
// reached-by: try_step_side
// file: arch/x86/kvm/mmu/tdp_iter.c

@@
expression index;
@@
 try_step_side(...)
 {
 <...
- index == (SPTE_ENT_PER_PAGE - 1)
+ index >= (SPTE_ENT_PER_PAGE - 2)
 ...>
 }
