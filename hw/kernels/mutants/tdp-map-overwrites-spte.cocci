// SPDX-License-Identifier: GPL-2.0-or-later
// title: Under the shared mmu_lock an entry of the TDP MMU is stored over another CPU's
// breaks: 24, 30, 42
// history: none
// needs: mmu=tdp, tdp_mmu=on, two CPUs that change one entry
// reached-by: tdp_mmu_set_spte_atomic|__tdp_mmu_set_spte_atomic
// property: parallel
// file: arch/x86/kvm/mmu/tdp_mmu.c

@@
symbol iter, new_spte;
expression sptep;
identifier f =~ "^(__)?tdp_mmu_set_spte_atomic$";
@@
 f(...)
 {
 <...
- if (!try_cmpxchg64(sptep, &iter->old_spte, new_spte))
-    return -EBUSY;
+ WRITE_ONCE(*sptep, new_spte);
 ...>
 }
