// SPDX-License-Identifier: GPL-2.0-or-later
// title: Whether a previous root is freed depends on the current root
// breaks: 22, 23, A.001.2
// history: row 7, cf4a8693d97a
// needs: mmu=shadow, tdp_mmu=any, CR3 between two roots, then slot delete
// reached-by: __kvm_mmu_free_obsolete_roots
// file: arch/x86/kvm/mmu/mmu.c

// White box: an obsolete root is never chosen again because its role is
// invalid. Seen as an obsolete hpa among the previous roots.

@@
symbol kvm, mmu, hpa, prev_roots, root;
expression i;
@@
 __kvm_mmu_free_obsolete_roots(...)
 {
 <...
- is_obsolete_root(kvm, mmu->prev_roots[i].hpa)
+ is_obsolete_root(kvm, mmu->root.hpa)
 ...>
 }
