// SPDX-License-Identifier: GPL-2.0-or-later
// title: Moving a slot frees the dirty bitmap that the moved slot still uses
// breaks: 30, words: no double free
// history: none
// needs: mmu=any, tdp_mmu=any, slot with LOG, slot move, dirty get or slot delete (asan)
// reached-by: kvm_commit_memory_region
// file: virt/kvm/kvm_main.c

@@
symbol old, new, dirty_bitmap;
@@
 kvm_commit_memory_region(...)
 {
 <...
- old->dirty_bitmap && !new->dirty_bitmap
+ old->dirty_bitmap
 ...>
 }
