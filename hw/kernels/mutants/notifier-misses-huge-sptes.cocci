// SPDX-License-Identifier: GPL-2.0-or-later
// title: The host unmaps a range and huge SPTEs of it stay
// breaks: 42
// history: none
// needs: mmu=shadow, tdp_mmu=any, guest huge page on a host huge page, unmap by the host, guest access
// reached-by: kvm_handle_gfn_range|__kvm_rmap_zap_gfn_range
// file: arch/x86/kvm/mmu/mmu.c

@@
@@
 kvm_handle_gfn_range(...)
 {
 <...
- KVM_MAX_HUGEPAGE_LEVEL
+ PG_LEVEL_4K
 ...>
 }

@@
@@
 __kvm_rmap_zap_gfn_range(...)
 {
 <...
- KVM_MAX_HUGEPAGE_LEVEL
+ PG_LEVEL_4K
 ...>
 }
