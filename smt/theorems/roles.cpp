// SPDX-License-Identifier: GPL-2.0-or-later
/// Roles: equal words are equal roles, and equal roles translate alike.
#include <string>

#include "impl/permission_bitmap.h"
#include "impl/reserved_masks.h"
#include "impl/role.h"
#include "impl/shadow_geometry.h"
#include "impl/walk_tables.h"
#include "impl/wp_exchange.h"
#include "smt/kernel/role.h"
#include "smt/theorems/access_case.h"
#include "smt/theorems/theorems.h"
#include "spec/x86/access_rules.h"

namespace lockstep::smt {
namespace {

template <typename P>
struct Roles {
  using Word = typename P::Word;
  using Bool = typename P::Bool;
  using Formula = FormulaOf<P>;

  using Registers = kernel::RoleRegisters<Bool>;
  using Role = impl::RoleFields<Word>;

  static Registers registers(const std::string& who) {
    const auto flag = [&](const char* name) { return P::boolean(who + name); };
    return {.paging = flag("cr0.pg"),
            .pae = flag("cr4.pae"),
            .lma = flag("efer.lma"),
            .la57 = flag("cr4.la57"),
            .wp = flag("cr0.wp"),
            .smep = flag("cr4.smep"),
            .smap = flag("cr4.smap"),
            .pke = flag("cr4.pke"),
            .pse = flag("cr4.pse"),
            .nx = flag("efer.nx")};
  }

  /// Long mode needs paging and PAE (SDM "Paging-Mode Enabling").
  static Bool legal(const Registers& given) {
    return implies(given.lma, given.paging && given.pae);
  }

  static Role role(const std::string& who) {
    const auto flag = [&](const char* name) { return P::boolean(who + name); };
    return {.level = P::word(who + "level"),
            .quadrant = P::word(who + "quadrant"),
            .access = P::word(who + "access"),
            .direct = flag("direct"),
            .has_4_byte_gpte = flag("has_4_byte_gpte"),
            .cr0_wp = flag("cr0_wp"),
            .smep_andnot_wp = flag("smep_andnot_wp"),
            .smap_andnot_wp = flag("smap_andnot_wp"),
            .efer_nx = flag("efer_nx"),
            .cr4_pse = flag("cr4_pse")};
  }

  static Bool fits(const Role& given) {
    return given.level < 16 && given.quadrant < 4 && given.access < 8;
  }

  static Bool same(const Role& a, const Role& b) {
    return a.level == b.level && a.quadrant == b.quadrant && a.access == b.access &&
           a.direct == b.direct && a.has_4_byte_gpte == b.has_4_byte_gpte && a.cr0_wp == b.cr0_wp &&
           a.smep_andnot_wp == b.smep_andnot_wp && a.smap_andnot_wp == b.smap_andnot_wp &&
           a.efer_nx == b.efer_nx && a.cr4_pse == b.cr4_pse;
  }

  /// CVE-2021-38198: `access` is part of what must be equal.
  static Formula word_equality(Side side) {
    const Role one = role("one."), other = role("other.");
    Role counted = one;
    if (side == Side::broken_rule) counted.access = other.access;
    const Bool words = counted == other;
    return {.precondition = fits(one) && fits(other),
            .claim = words == same(one, other) && one.word() < (1ull << 16),
            .shown = {{"words equal", words}, {"roles equal", same(one, other)}}};
  }

  /// A root that was zapped, or of another role or table, is never used again.
  static Formula usable(Side side) {
    const Role have = role("have."), want = role("want.");
    const Word have_cr3 = P::word("have.cr3"), want_cr3 = P::word("want.cr3");
    const Bool obsolete = P::boolean("obsolete");
    const Bool seen = side == Side::broken_rule ? Bool(false) : obsolete;
    const Bool ok = impl::root_serves<Word>(seen, have_cr3, want_cr3, have, want);
    return {.precondition = fits(have) && fits(want),
            .claim = ok == (!obsolete && same(have, want) && have_cr3 == want_cr3),
            .shown = {{"serves", ok}, {"root is obsolete", obsolete}}};
  }

  /// impl/ makes the role from the linear address, KVM from the parent's SPTE.
  static Formula child(Side side) {
    const Role above = role("above.");
    const Word gva = P::word("gva"), table = P::word("table"), access = P::word("access");
    const Bool direct = P::boolean("direct");
    const Word sptep = table + impl::index_of_address<Word>(gva, above.level) * 8;
    const auto theirs = kernel::child_role<Word>({.level = above.level,
                                                  .quadrant = above.quadrant,
                                                  .access = above.access,
                                                  .has_4_byte_gpte = above.has_4_byte_gpte,
                                                  .direct = above.direct,
                                                  .efer_nx = above.efer_nx,
                                                  .cr0_wp = above.cr0_wp,
                                                  .smep_andnot_wp = above.smep_andnot_wp,
                                                  .smap_andnot_wp = above.smap_andnot_wp},
                                                 impl::index_of_entry(sptep), direct, access);
    // The twin takes the page directory's quadrant for the page table's.
    const Word part = side == Side::broken_rule ? 2 : 1;
    const Role below =
        impl::child_role<Word, Word>(above, {.level = above.level - 1,
                                             .direct = direct,
                                             .access = access,
                                             .quadrant = impl::quadrant_of_address(gva, part)});
    Role expected = above;
    expected.level = theirs.level;
    expected.quadrant = theirs.quadrant;
    expected.access = theirs.access;
    expected.direct = theirs.direct;
    // Of pages of 4-byte entries the page directories alone have children.
    const Bool parent =
        above.level >= 2 && above.level <= 5 &&
        ite(above.has_4_byte_gpte, above.level == 2 && gva < (1ull << 32), above.quadrant == 0);
    return {.precondition = fits(above) && parent && (table & ~page_mask) == 0 && access < 8,
            .claim = same(below, expected) && fits(below),
            .shown = {{"impl quadrant", below.quadrant}, {"KVM's quadrant", theirs.quadrant}}};
  }

  /// Whatever differs in the registers, the cached tables are others.
  static Formula walk_key(Side side) {
    const auto any = [](const std::string& who) {
      return impl::WalkRegisters<Word>{.mode = P::word(who + "mode"),
                                       .maxphyaddr = P::word(who + "maxphyaddr"),
                                       .control = P::word(who + "control"),
                                       .gigabyte_pages = P::boolean(who + "gigabyte-pages"),
                                       .pse36 = P::boolean(who + "pse36")};
    };
    const auto one = any("one."), other = any("other.");
    auto counted = one;
    if (side == Side::broken_rule) {
      const Word smep = Word(1) << static_cast<unsigned>(ControlBit::cr4_smep);
      counted.control = (one.control & ~smep) | (other.control & smep);
    }
    const auto fit = [](const impl::WalkRegisters<Word>& given) {
      return given.mode < 8 && given.maxphyaddr < 64 && given.control < (1ull << control_bit_count);
    };
    const Bool keys = impl::walk_key(counted) == impl::walk_key(other);
    const Bool equal = one.mode == other.mode && one.maxphyaddr == other.maxphyaddr &&
                       one.control == other.control && one.gigabyte_pages == other.gigabyte_pages &&
                       one.pse36 == other.pse36;
    return {.precondition = fit(one) && fit(other),
            .claim = keys == equal,
            .shown = {{"keys equal", keys}, {"registers equal", equal}}};
  }

  /// Everything that the walker looks up is a function of the role.
  struct Lookups {
    impl::AccessTable<Word> permission;
    impl::AccessTable<Word> keys;
    Word masks[2][6];
    Word id_flag;

    Lookups(const Registers& given, const Word& maxphyaddr)
        : permission(impl::permission_table<Word>(given.wp, given.smep, given.smap)),
          keys(impl::pkru_table<Word>(given.lma && given.pke, given.wp)),
          id_flag(impl::fetch_flag<Word>(given.nx && given.pae, given.smep)) {
      const auto narrow = impl::reserved_masks_32<Word>(given.pse, true, maxphyaddr);
      const auto pae = impl::reserved_masks_pae<Word>(given.nx, maxphyaddr);
      const auto wide = impl::reserved_masks_long<Word>(given.nx, true, /*amd=*/false, maxphyaddr);
      for (int large = 0; large < 2; ++large) {
        for (int level = 1; level <= 5; ++level) {
          masks[large][level] = ite(given.lma, wide[large][level],
                                    ite(given.pae, pae[large][level], narrow[large][level]));
        }
      }
    }

    Bool operator==(const Lookups& other) const {
      Bool all = id_flag == other.id_flag;
      for (std::size_t i = 0; i < impl::access_count; ++i) {
        all = all && permission[i] == other.permission[i] && keys[i] == other.keys[i];
      }
      for (int large = 0; large < 2; ++large) {
        for (int level = 1; level <= 5; ++level) {
          all = all && masks[large][level] == other.masks[large][level];
        }
      }
      return all;
    }
  };

  static Formula full_role_covers_walk(Side side) {
    const Registers one = registers("one."), other = registers("other.");
    const Word maxphyaddr = P::word("maxphyaddr");
    const Bool smm = P::boolean("smm");
    const auto base = [&](const Registers& given) {
      return kernel::role_word(kernel::base_role<Word>(given, smm));
    };
    // Without the extended part, SMEP under CR0.WP is nobody's business.
    const Bool extended = side == Side::broken_rule ? Bool(true)
                                                    : kernel::extended_role<Word>(one) ==
                                                          kernel::extended_role<Word>(other);
    const Bool equal = base(one) == base(other) && extended;
    const Lookups first(one, maxphyaddr), second(other, maxphyaddr);
    return {.precondition = legal(one) && legal(other) && one.paging && other.paging && equal &&
                            maxphyaddr >= 32 && maxphyaddr <= 52,
            .claim = first == second,
            .shown = {{"extended role of the one", kernel::extended_role<Word>(one)},
                      {"of the other", kernel::extended_role<Word>(other)}}};
  }

  /// vCPUs whose base roles are equal may share shadow pages: hardware, which runs
  /// with CR0.WP and NX, is asked for the same rights by both. Rights alone: a role does
  /// not tell PAE from long mode, whose entries have other reserved bits.
  static Formula base_role_covers_sharing(Side side) {
    const auto any = [](const std::string& who) {
      const auto flag = [&](const char* name) { return P::boolean(who + name); };
      return impl::RoleRegisters<Bool>{.shadowed = true,
                                       .four_byte_entries = flag("32-bit"),
                                       .wp = flag("cr0.wp"),
                                       .smep = flag("cr4.smep"),
                                       .smap = flag("cr4.smap"),
                                       .nx = flag("nx-works"),
                                       .pse = flag("cr4.pse")};
    };
    const auto one = any("one."), other = any("other.");
    Role first = impl::base_role<Word>(one), second = impl::base_role<Word>(other);
    if (side == Side::broken_rule) first.smep_andnot_wp = second.smep_andnot_wp;
    const Bool write = P::boolean("write"), fetch = P::boolean("fetch");
    const spec::Attempt<Bool> attempt = {write, fetch, P::boolean("user"), P::boolean("ac")};
    const spec::Grant<Bool> grant = {P::boolean("w"), P::boolean("u"), P::boolean("x")};
    // SMEP and SMAP are hardware's own registers: on pages that are the user's to
    // hardware, too, it judges itself, so they are equal here.
    const auto allowed = [&](const impl::RoleRegisters<Bool>& given) {
      return spec::rights_allow<Bool>({given.wp, one.smep, one.smap, false, given.nx}, attempt,
                                      grant);
    };
    // Not on pages exchanged for CR0.WP=0, which are the supervisor's to hardware:
    // SMEP is in the SPTE there, and SMAP sees nothing.
    const Word have = P::word("have");
    const Bool exchanged = impl::exchange_for_wp<Word>(have, one.smep) ==
                               impl::exchange_for_wp<Word>(have, other.smep) &&
                           one.smap == other.smap;
    return {.precondition = first == second && !(write && fetch) && have <= impl::rights::all,
            .claim = allowed(one) == allowed(other) && implies(!one.wp && !other.wp, exchanged) &&
                     one.four_byte_entries == other.four_byte_entries && one.pse == other.pse,
            .shown = {{"allowed under the one", allowed(one)},
                      {"under the other", allowed(other)},
                      {"exchanged pages agree", exchanged}}};
  }
};

/// Two ways to a shared directory, the second without W.
std::string shared_table_program(const Assignment&) {
  return "lockstep 1\ntitle  one table reached with different rights\n"
         "config paging=4-level mmu=shadow\nslot 0 add gpa=0x0 size=0x400000\n"
         "map 0x0 gpa=0x200000 rwxu\nmap 0x200000 gpa=0x201000 rwxu\n"
         "entry pd 0x11000[0] = 0x12000 r-xu a\nentry pdpt 0x10000[1] = 0x11000 r-xu a\n"
         "v0 cpl3 read 0x0 -> value 0xcccccc00000200b8\nv0 cpl3 write 0x200000 = 0x1 -> ok\n"
         "v0 cpl3 read 0x40000000 -> value 0xcccccc00000200b8\n"
         "v0 cpl3 write 0x40200000 = 0x2 -> #PF present write user 0x40200000\n";
}

/// CR4.SMEP set with CR0.WP set, over a page that was fetched before.
std::string smep_program(const Assignment&) {
  return "lockstep 1\ntitle  CR4.SMEP changes under CR0.WP\nconfig paging=4-level\n"
         "slot 0 add gpa=0x0 size=0x400000\nmap 0x0 gpa=0x200000 rwxu\n"
         "v0 cpl0 fetch 0x0 -> value 0x200\nv0 set cr4.smep=1 -> ok\n"
         "v0 cpl0 fetch 0x0 -> #PF present fetch 0x0\n";
}

/// A page exchanged for CR0.WP=0 without SMEP, which is set then.
std::string exchanged_program(const Assignment&) {
  return "lockstep 1\ntitle  CR4.SMEP changes over a page exchanged for CR0.WP=0\n"
         "config paging=4-level mmu=shadow cr0.wp=0\n"
         "slot 0 add gpa=0x0 size=0x400000\nmap 0x0 gpa=0x200000 r-xu\n"
         "v0 cpl0 write 0x0 = 0xcccccc00000200b8 -> ok\nv0 cpl0 fetch 0x0 -> value 0x200\n"
         "v0 set cr4.smep=1 -> ok\nv0 cpl0 fetch 0x0 -> #PF present fetch 0x0\n";
}

/// CR0.WP changes under a shadow page.
std::string wp_program(const Assignment&) {
  return "lockstep 1\ntitle  CR0.WP changes under a shadow page\n"
         "config paging=4-level mmu=shadow cr0.wp=0\n"
         "slot 0 add gpa=0x0 size=0x400000\nmap 0x0 gpa=0x200000 r-xu\n"
         "v0 cpl0 write 0x0 = 0x1 -> ok\nv0 set cr0.wp=1 -> ok\n"
         "v0 cpl0 write 0x0 = 0x2 -> #PF present write 0x0\nv0 cpl3 read 0x0 -> value 0x1\n";
}

/// On the field in which the two roles differ, where there is one for it.
std::string role_program(const Assignment& found) {
  const auto differs = [&](const char* field) {
    return value_of(found, std::string("one.") + field) !=
           value_of(found, std::string("other.") + field);
  };
  if (differs("access")) return shared_table_program(found);
  if (differs("quadrant")) return quadrant_program(found);
  if (differs("smep_andnot_wp")) return exchanged_program(found);
  if (differs("cr0_wp")) return wp_program(found);
  return {};
}

}  // namespace

std::vector<Theorem> role_theorems() {
  using S = Roles<Symbolic>;
  using C = Roles<Concrete>;
  const std::string word = "impl: 16 bits, 3 of access";
  return {
      {"role-word-equality", "roles",
       "two role words are equal exactly if every field is, access of the levels above included",
       "union kvm_mmu_page_role; b1bd5cba3306", word, "shares without looking at access",
       FormulaBody{S::word_equality, C::word_equality}, role_program, /*scenario=*/true},
      {"root-usable", "roles",
       "a cached root is used exactly if it is not obsolete, of the wanted role, and of the wanted "
       "table",
       "impl: root_serves(); is_root_usable() of KVM ignores the table of direct roots, and leaves "
       "obsolete ones to kvm_mmu_free_obsolete_roots()",
       word, "serves a root that was zapped", FormulaBody{S::usable, C::usable}, nullptr},
      {"child-role", "roles",
       "the role that impl makes for a child from level, access, direct and linear address is the "
       "one that KVM makes from the parent's role and SPTE, at levels 5 to 1",
       "kvm_mmu_child_role()", "6.1, 6.12, 7.2: 512 SPTEs a page, 3 bits of access",
       "takes the page directory's quadrant for the page table's", FormulaBody{S::child, C::child},
       quadrant_program},
      {"walk-key-exact", "roles",
       "the walker's tables are used again exactly for equal mode, width, control bits and CPUID",
       "kvm_calc_cpu_role(); 8d214c481611, a3ca5281bb77", "impl: 19 bits", "forgets SMEP",
       FormulaBody{S::walk_key, C::walk_key}, smep_program, /*scenario=*/true},
      {"full-role-covers-walk", "roles",
       "registers with equal base and extended roles give the walker of one CPUID, with 1-GByte "
       "pages and PSE-36, equal permission, PKRU and reserved-bit tables",
       "kvm_calc_cpu_role(); 8d214c481611, a3ca5281bb77", "6.1, 6.12: KVM's own roles",
       "compares base roles alone", FormulaBody{S::full_role_covers_walk, C::full_role_covers_walk},
       smep_program, /*scenario=*/true},
      {"base-role-covers-sharing", "roles",
       "vCPUs of one paging mode with equal base roles are owed equal rights by the shadow pages "
       "that they share: SMEP and SMAP apart, which hardware checks itself, but not on pages "
       "exchanged for CR0.WP=0",
       "SDM Access Rights; kvm_calc_cpu_role(), FNAME(page_fault)()",
       word + "; NX is impl's: kvm_init_shadow_mmu() has it always. Tables of PAE and of long mode "
              "share in both, though PAE alone reserves bits 62:52",
       "forgets SMEP under CR0.WP=0",
       FormulaBody{S::base_role_covers_sharing, C::base_role_covers_sharing}, exchanged_program,
       /*scenario=*/true},
  };
}

}  // namespace lockstep::smt
