// SPDX-License-Identifier: GPL-2.0-or-later
// title: The cached last used slot outlives the slot
// breaks: 26, words: no lookup in a freed slot
// history: row 21, 0774a964ef56, CVE-2020-36313
// needs: mmu=any, tdp_mmu=any, guest access, delete or change flags of that slot, guest access (asan)
// reached-by: kvm_replace_memslot
// file: virt/kvm/kvm_main.c

@@
symbol old, slots, last_used_slot;
statement forget;
@@
 kvm_replace_memslot(...)
 {
 <...
- if ((long)old == atomic_long_read(&slots->last_used_slot))
-    forget
 ...>
 }
