// SPDX-License-Identifier: GPL-2.0-or-later
// title: A read maps a clean guest entry writable, so a write sets no dirty bit
// breaks: 11, words: guest D bit
// history: none
// needs: mmu=shadow, tdp_mmu=any, guest entry with W and without D, guest read, guest write, read of the entry
// reached-by: FNAME(walk_addr_generic)
// file: arch/x86/kvm/mmu/paging_tmpl.h

@@
symbol write_fault;
statement protect, fold;
@@
- if (!write_fault)
-    protect
- else
+ if (write_fault)
    fold
