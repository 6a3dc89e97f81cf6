// SPDX-License-Identifier: GPL-2.0-or-later
// title: The dirty bitmap leaks when logging is switched off
// breaks: words: no leak
// history: none
// needs: mmu=any, tdp_mmu=any, slot with LOG, flags without LOG, VM destroy
// reached-by: kvm_commit_memory_region
// file: virt/kvm/kvm_main.c

@@
symbol old, new, dirty_bitmap;
@@
 kvm_commit_memory_region(...)
 {
 <...
- if (old->dirty_bitmap && !new->dirty_bitmap)
-    kvm_destroy_dirty_bitmap(old);
 ...>
 }
