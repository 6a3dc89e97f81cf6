// SPDX-License-Identifier: GPL-2.0-or-later
// title: The TDP MMU zaps leaves and reports that no flush is needed
// breaks: 41, 42
// history: none
// needs: mmu=tdp, tdp_mmu=on, guest access, unmap by the host, guest access
// reached-by: tdp_mmu_zap_leafs
// file: arch/x86/kvm/mmu/tdp_mmu.c

@@
symbol root, role, invalid, flush, true;
@@
 tdp_mmu_zap_leafs(...)
 {
 <...
- if (!root->role.invalid)
-    flush = true;
 ...>
 }

@@
symbol flush, true;
@@
 tdp_mmu_zap_leafs(...)
 {
 <...
- flush = true;
 ...>
 }
