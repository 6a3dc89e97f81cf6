// SPDX-License-Identifier: GPL-2.0-or-later
// title: NX huge page recovery looks at a removed TDP page after it has given way
// breaks: 8, words: no use after free
// history: none
// needs: mmu=tdp, tdp_mmu=on, nx_huge_pages, contended, early-grace, NX recovery
// reached-by: kvm_recover_nx_lpages|kvm_recover_nx_huge_pages
// file: arch/x86/kvm/mmu/mmu.c

// The page lives on until the grace period ends, so that it is found only where
// that is early. Shadow pages, which no grace period keeps, stay correct.

@@
symbol sp, kvm;
@@
 \( kvm_recover_nx_lpages \| kvm_recover_nx_huge_pages \) (...)
 {
 <...
+ bool of_tdp = is_tdp_mmu_page(sp);
 if (need_resched() || rwlock_needbreak(&kvm->mmu_lock)) {
 	...
 	rcu_read_lock();
+	if (of_tdp)
+		WARN_ON_ONCE(sp->root_count);
 }
 ...>
 }
