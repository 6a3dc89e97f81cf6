// SPDX-License-Identifier: GPL-2.0-or-later
// title: A dirty-ring entry with a huge offset passes the bound check
// breaks: 31, words: no access outside a slot
// history: row 54, 577a8d3bae05, CVE-2026-52969
// needs: mmu=any, tdp_mmu=any, dirty ring, RingReset with raw entries whose offset plus delta wraps
// reached-by: kvm_reset_dirty_gfn
// undetected: no program writes raw entries into a dirty ring; user space of the engines only reads and resets what KVM put there
// file: virt/kvm/dirty_ring.c

@@
symbol memslot, offset, mask;
@@
 kvm_reset_dirty_gfn(...)
 {
 <...
- !memslot || offset >= memslot->npages || (offset + __fls(mask)) >= memslot->npages
+ !memslot || (offset + __fls(mask)) >= memslot->npages
 ...>
 }
