// SPDX-License-Identifier: GPL-2.0-or-later
// title: Setting A and D in a guest entry does not mark its page dirty
// breaks: 30
// history: none
// needs: mmu=shadow, tdp_mmu=any, LOG on the slot of guest tables, guest access that sets A or D, dirty get
// reached-by: FNAME(update_accessed_dirty_bits)
// file: arch/x86/kvm/mmu/paging_tmpl.h

@@
symbol vcpu, table_gfn;
@@
- kvm_vcpu_mark_page_dirty(vcpu, table_gfn);
