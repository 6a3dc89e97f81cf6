// SPDX-License-Identifier: GPL-2.0-or-later
// title: NX recovery does not commit its list of invalid pages
// breaks: 15, 40, words: no leak
// history: row 49, e89505698c9f
// needs: mmu=shadow, tdp_mmu=any, nx_huge_pages=on, fetch in a huge page, NX recovery, VM destroy
// reached-by: kvm_recover_nx_lpages|kvm_recover_nx_huge_pages
// file: arch/x86/kvm/mmu/mmu.c

// With the TDP MMU only the flush is lost.

@@
symbol kvm, invalid_list, flush, is_tdp_mmu, mmu_lock;
@@
- kvm_mmu_remote_flush_or_zap(kvm, &invalid_list, flush);
  rcu_read_unlock();
(
  write_unlock(&kvm->mmu_lock);
|
  if (is_tdp_mmu)
    read_unlock(&kvm->mmu_lock);
  else
    write_unlock(&kvm->mmu_lock);
)
