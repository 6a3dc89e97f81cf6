// SPDX-License-Identifier: GPL-2.0-or-later
// title: The dirty bitmap of a slot leaks when its creation fails late
// breaks: 26, words: no leak
// history: row 22, c87661f855c3
// needs: mmu=any, tdp_mmu=any, slot create or flags with LOG and an allocation failure in the architecture part (fault injection)
// reached-by: kvm_prepare_memory_region
// file: virt/kvm/kvm_main.c

@@
symbol new;
expression failed;
@@
 kvm_prepare_memory_region(...)
 {
 <...
- if (failed && new && new->dirty_bitmap && ...)
-    kvm_destroy_dirty_bitmap(new);
 ...>
 }
