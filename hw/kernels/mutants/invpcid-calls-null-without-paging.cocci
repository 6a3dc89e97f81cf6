// SPDX-License-Identifier: GPL-2.0-or-later
// title: INVPCID with CR0.PG=0 calls the absent invlpg callback
// breaks: words: no NULL callback
// history: row 10, 9f46c187e2e6, CVE-2022-1789
// needs: mmu=shadow, tdp_mmu=any, mode none, INVPCID of a single address
// reached-by: kvm_mmu_invpcid_gva
// file: arch/x86/kvm/mmu/mmu.c

// Later kernels have no such callback; an absent sync_spte is never called
// there because nonpaging shadow pages are never unsync.

@@
symbol vcpu, gva, hpa, root;
identifier mmu;
@@
 kvm_mmu_invpcid_gva(...)
 {
 <...
- if (mmu->invlpg)
    mmu->invlpg(vcpu, gva, mmu->root.hpa);
 ...>
 }
