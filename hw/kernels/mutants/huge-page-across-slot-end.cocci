// SPDX-License-Identifier: GPL-2.0-or-later
// title: A huge page may reach beyond the end of a slot
// breaks: 28, 29
// history: none
// needs: mmu=any, tdp_mmu=any, host huge page, slot whose end is not aligned to 2 MiB, access near the end, access beyond it
// reached-by: kvm_alloc_memslot_metadata
// file: arch/x86/kvm/x86.c

@@
symbol linfo, lpages, disallow_lpage;
expression unaligned;
@@
 kvm_alloc_memslot_metadata(...)
 {
 <...
- if (unaligned)
-    linfo[lpages - 1].disallow_lpage = 1;
 ...>
 }
