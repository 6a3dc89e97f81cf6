// SPDX-License-Identifier: GPL-2.0-or-later
// title: A notifier whose caller must not block gives up mmu_lock and sleeps
// breaks: 7
// history: none
// needs: mmu=tdp, tdp_mmu=on, contended, host discard (might_resched check)
// reached-by: kvm_mmu_notifier_invalidate_range_start
// flavour: lockdep
// file: virt/kvm/kvm_main.c

@@
symbol range;
@@
 kvm_mmu_notifier_invalidate_range_start(...)
 {
 <...
- mmu_notifier_range_blockable(range)
+ true
 ...>
 }
