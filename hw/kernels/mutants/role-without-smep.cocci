// SPDX-License-Identifier: GPL-2.0-or-later
// title: The role of a shadow page does not say whether SMEP was on
// breaks: 11, 18
// history: row 13, 411c588dfb86 (hash recalled, unconfirmed)
// needs: mmu=shadow, tdp_mmu=any, CR0.WP=0, CR4.SMEP off then on, supervisor write to a read-only user page, supervisor fetch
// reached-by: kvm_init_shadow_mmu
// file: arch/x86/kvm/mmu/mmu.c

// The walk of guest tables still knows SMEP; only shadow pages built without
// it are reused.

@old@
symbol role, base, smep_andnot_wp;
expression value;
@@
 role.base.smep_andnot_wp = value

@depends on old@
symbol root_role, true, efer_nx, smep_andnot_wp;
@@
 kvm_init_shadow_mmu(...)
 {
 <...
  root_role.efer_nx = true;
+ root_role.smep_andnot_wp = false;
 ...>
 }

@new@
symbol role, base, cr4_smep;
expression value;
@@
 role.base.cr4_smep = value

@depends on new@
symbol root_role, true, efer_nx, cr4_smep;
@@
 kvm_init_shadow_mmu(...)
 {
 <...
  root_role.efer_nx = true;
+ root_role.cr4_smep = false;
 ...>
 }
