// SPDX-License-Identifier: GPL-2.0-or-later
// title: A walk over the rmaps of a range skips its last gfn
// breaks: 19, 31, 42
// history: none
// needs: mmu=shadow, tdp_mmu=any, unmap by the host or start of dirty logging over two pages or more, guest access to the last one
// reached-by: slot_rmap_walk_next
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol rmap, end_rmap;
expression walk;
@@
 slot_rmap_walk_next(...)
 {
 <...
- ++walk->rmap <= walk->end_rmap
+ ++walk->rmap < walk->end_rmap
 ...>
 }
