// SPDX-License-Identifier: GPL-2.0-or-later
// title: Linking an unsync shadow page leaves the new parent unmarked
// breaks: 13, 14
// history: none
// needs: mmu=shadow, tdp_mmu=any, two roots share a last-level table that is unsync, write it, CR3, guest access through the second root
// reached-by: __link_shadow_page
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol sp, sptep;
@@
 __link_shadow_page(...)
 {
 <...
- if (\(WARN_ON_ONCE(sp->unsync_children)\|sp->unsync_children\) || sp->unsync)
-    mark_unsync(sptep);
 ...>
 }
