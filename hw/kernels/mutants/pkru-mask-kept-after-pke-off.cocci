// SPDX-License-Identifier: GPL-2.0-or-later
// title: Clearing CR4.PKE keeps the bitmap of protection keys
// breaks: 18, words: no false fault
// history: row 16, a3ca5281bb77
// needs: mmu=tdp, tdp_mmu=any, PKE on then off, PKRU with AD, emulated access (MMIO) to a user page
// reached-by: update_pkru_bitmask
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol mmu, pkru_mask;
@@
 update_pkru_bitmask(...)
 {
 <...
- mmu->pkru_mask = 0;
 ...>
 }
