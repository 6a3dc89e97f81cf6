// SPDX-License-Identifier: GPL-2.0-or-later
// title: The TDP MMU gives up mmu_lock in a zap without the TLB flush
// breaks: 41, 36
// history: row 43, a835429cda91
// needs: mmu=tdp, tdp_mmu=on, unmap or slot delete with a contended lock (need_resched), guest access
// reached-by: tdp_mmu_iter_cond_resched
// file: arch/x86/kvm/mmu/tdp_mmu.c

// The caller forgets its pending flush after a yield, so a single thread sees
// the stale translation as soon as need_resched() says yes once inside the
// range.

@@
symbol flush, kvm;
@@
 tdp_mmu_iter_cond_resched(...)
 {
 <...
- if (flush)
-    kvm_flush_remote_tlbs(kvm);
 ...>
 }
