// SPDX-License-Identifier: GPL-2.0-or-later
// title: A fault that raced with an unmap by the host installs the old page
// breaks: 24, 42
// history: none
// needs: mmu=any, tdp_mmu=any, unmap by the host between the lookup of the page and mmu_lock (schedule, or from the page lookup itself)
// reached-by: is_page_fault_stale
// property: parallel
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol fault, slot, false;
@@
 is_page_fault_stale(...)
 {
 <...
- return fault->slot && ...;
+ return false;
 ...>
 }
