// SPDX-License-Identifier: GPL-2.0-or-later
// title: The role of a shadow page does not say whether CR0.WP was set
// breaks: 11, 18
// history: row 13, 844a5fe219cf (hash recalled, unconfirmed)
// needs: mmu=shadow, tdp_mmu=any, CR0.WP=0, supervisor write to a read-only page, CR0.WP=1, supervisor write again
// reached-by: kvm_init_shadow_mmu
// file: arch/x86/kvm/mmu/mmu.c

@@
symbol root_role, true, efer_nx, cr0_wp;
@@
 kvm_init_shadow_mmu(...)
 {
 <...
  root_role.efer_nx = true;
+ root_role.cr0_wp = false;
 ...>
 }
