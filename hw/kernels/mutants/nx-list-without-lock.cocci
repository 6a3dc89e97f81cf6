// SPDX-License-Identifier: GPL-2.0-or-later
// title: Page tables join the list of those that hold back a huge page without its lock
// breaks: 7
// history: none
// needs: mmu=tdp, tdp_mmu=on, nx_huge_pages=on, two vCPUs that fault in two huge pages
// reached-by: kvm_tdp_mmu_map|tdp_mmu_map_handle_target_level
// flavour: tsan
// file: arch/x86/kvm/mmu/tdp_mmu.c

@@
symbol kvm, sp, account_nx;
@@
- spin_lock(&kvm->arch.tdp_mmu_pages_lock);
  list_add(&sp->link, &kvm->arch.tdp_mmu_pages);
  if (account_nx)
     account_huge_nx_page(kvm, sp);
- spin_unlock(&kvm->arch.tdp_mmu_pages_lock);

@@
symbol kvm, sp;
statement S;
@@
- spin_lock(&kvm->arch.tdp_mmu_pages_lock);
  if (sp->nx_huge_page_disallowed) S
- spin_unlock(&kvm->arch.tdp_mmu_pages_lock);
