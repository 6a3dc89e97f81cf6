// SPDX-License-Identifier: GPL-2.0-or-later
// title: Delete and move of a slot leave its SPTEs in place
// breaks: 26, 19
// history: row 20, 12d6e7538e2d, CVE-2013-4592
// needs: mmu=any, tdp_mmu=any, guest access, then slot delete or slot move, guest access
// reached-by: kvm_invalidate_memslot
// file: virt/kvm/kvm_main.c

@@
symbol kvm, old;
@@
 kvm_invalidate_memslot(...)
 {
 <...
- kvm_arch_flush_shadow_memslot(kvm, old);
 ...>
 }
