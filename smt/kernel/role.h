// SPDX-License-Identifier: GPL-2.0-or-later
/// Roles as KVM 6.1 and 6.12 lay them out. impl/ has one of its own; the formulas
/// stand here for what KVM adds, the extended role, and for what theorems compare
/// impl/ with. .ci/kernel-formulas compares them with kvm_calc_cpu_role() and
/// kvm_mmu_child_role(). In 7.2 SMEP is a part of the base role of its own.
#pragma once

#include "spec/vocabulary/word.h"

namespace lockstep::smt::kernel {

/// The registers that a role stands for. Exactly one of the four modes; `none`
/// is paging off.
template <typename B>
struct RoleRegisters {
  B paging = true;  ///< CR0.PG
  B pae = true;     ///< CR4.PAE
  B lma = true;     ///< EFER.LMA
  B la57 = false;   ///< CR4.LA57
  B wp = true;
  B smep = false;
  B smap = false;
  B pke = false;
  B pse = false;
  B nx = true;
};

/// Fields of one shadow page's role. KVM: union kvm_mmu_page_role.
template <typename W>
struct RoleFields {
  W level = 1;     ///< 4 bits
  W quadrant = 0;  ///< 2 bits
  W access = 7;    ///< 3 bits
  BoolOf<W> has_4_byte_gpte = false;
  BoolOf<W> direct = false;
  BoolOf<W> invalid = false;
  BoolOf<W> efer_nx = false;
  BoolOf<W> cr0_wp = false;
  BoolOf<W> smep_andnot_wp = false;
  BoolOf<W> smap_andnot_wp = false;
  BoolOf<W> smm = false;
};

template <typename W>
constexpr W role_word(const RoleFields<W>& role) {
  const auto flag = [](BoolOf<W> set, unsigned bit) { return ite(set, W(1) << bit, 0); };
  return role.level | flag(role.has_4_byte_gpte, 4) | (role.quadrant << 5) | flag(role.direct, 7) |
         (role.access << 8) | flag(role.invalid, 11) | flag(role.efer_nx, 12) |
         flag(role.cr0_wp, 13) | flag(role.smep_andnot_wp, 14) | flag(role.smap_andnot_wp, 15) |
         flag(role.smm, 24);
}

/// Base role of a vCPU. KVM: kvm_calc_cpu_role().
template <typename W>
constexpr RoleFields<W> base_role(const RoleRegisters<BoolOf<W>>& registers, BoolOf<W> smm) {
  using B = BoolOf<W>;
  const B on = registers.paging;
  const W root = ite(registers.lma, ite(registers.la57, W(5), 4), ite(registers.pae, W(3), 2));
  return {.level = ite(on, root, 0),
          .quadrant = 0,
          .access = 7,
          .has_4_byte_gpte = on && !registers.pae,
          .direct = !on,
          .invalid = false,
          .efer_nx = on && registers.nx,
          .cr0_wp = on && registers.wp,
          .smep_andnot_wp = on && registers.smep && !registers.wp,
          .smap_andnot_wp = on && registers.smap && !registers.wp,
          .smm = smm};
}

/// Role of the shadow page below the SPTE at `index` of a page of role `parent`.
/// KVM: kvm_mmu_child_role().
template <typename W>
constexpr RoleFields<W> child_role(RoleFields<W> parent, W index, BoolOf<W> direct, W access) {
  parent.level = parent.level - 1;
  parent.access = access;
  parent.direct = direct;
  parent.invalid = false;
  parent.quadrant = ite(parent.has_4_byte_gpte, index & 1, parent.quadrant);
  return parent;
}

/// What the permission bitmap depends on and shadow pages do not. KVM: union
/// kvm_mmu_extended_role.
template <typename W>
constexpr W extended_role(const RoleRegisters<BoolOf<W>>& registers) {
  const auto flag = [&](BoolOf<W> set, unsigned bit) {
    return ite(registers.paging && set, W(1) << bit, 0);
  };
  return flag(registers.pse, 2) | flag(registers.lma && registers.pke, 3) |
         flag(registers.smap, 4) | flag(registers.smep, 5) |
         flag(registers.lma && registers.la57, 6) | flag(registers.lma, 7) | 1;
}

/// A root by its role's word and its table.
template <typename W>
struct RootKey {
  W role, table;
};
/// Whether a cached root that has a shadow page serves: a direct one whatever its
/// table. Obsolete ones are none of its business: kvm_mmu_free_obsolete_roots() drops
/// those of an invalid role and those of an older generation (is_obsolete_sp()). KVM:
/// is_root_usable().
template <typename W>
constexpr BoolOf<W> root_usable(const RootKey<W>& have, const RootKey<W>& want, BoolOf<W> direct) {
  return have.role == want.role && (direct || have.table == want.table);
}

}  // namespace lockstep::smt::kernel
