// SPDX-License-Identifier: GPL-2.0-or-later
// title: The guest runs with EFER.NX=0 on SPTEs that use NX
// breaks: 11, words: no endless reserved-bit fault
// history: row 14, 9167ab799362
// needs: mmu=shadow, tdp_mmu=any, vendor=amd, EFER.NX=0, nx_huge_pages=on with a host huge page (or CR0.WP=0 with SMEP and a supervisor write), guest access
// reached-by: svm_set_efer
// file: arch/x86/kvm/svm/svm.c

// Ends in an endless fault if the CPU treats bit 63 as reserved; with NX SPTEs
// only (nx_huge_pages, SMEP or NX fetch rights).

@@
symbol efer;
@@
 svm_set_efer(...)
 {
 <...
- efer |= EFER_NX;
 ...>
 }
