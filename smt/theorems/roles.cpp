// SPDX-License-Identifier: GPL-2.0-or-later
/// Roles: equal words are equal roles, and equal roles translate alike.
#include <string>

#include "impl/permission_bitmap.h"
#include "impl/reserved_masks.h"
#include "impl/role_word.h"
#include "smt/theorems/access_case.h"
#include "smt/theorems/theorems.h"
#include "spec/x86/access_rules.h"

namespace lockstep::smt {
namespace {

using Registers = impl::RoleRegisters<Bool>;
using Role = impl::RoleFields<Word>;

Registers registers(const std::string& who) {
  const auto flag = [&](const char* name) { return Bool::variable(who + name); };
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
Bool legal(const Registers& given) { return implies(given.lma, given.paging && given.pae); }

Role role(const std::string& who) {
  const auto flag = [&](const char* name) { return Bool::variable(who + name); };
  return {.level = Word::variable(who + "level"),
          .quadrant = Word::variable(who + "quadrant"),
          .access = Word::variable(who + "access"),
          .has_4_byte_gpte = flag("has_4_byte_gpte"),
          .direct = flag("direct"),
          .invalid = flag("invalid"),
          .efer_nx = flag("efer_nx"),
          .cr0_wp = flag("cr0_wp"),
          .smep_andnot_wp = flag("smep_andnot_wp"),
          .smap_andnot_wp = flag("smap_andnot_wp"),
          .smm = flag("smm")};
}

Bool fits(const Role& given) { return given.level < 16 && given.quadrant < 4 && given.access < 8; }

Bool same(const Role& a, const Role& b) {
  return a.level == b.level && a.quadrant == b.quadrant && a.access == b.access &&
         a.has_4_byte_gpte == b.has_4_byte_gpte && a.direct == b.direct && a.invalid == b.invalid &&
         a.efer_nx == b.efer_nx && a.cr0_wp == b.cr0_wp && a.smep_andnot_wp == b.smep_andnot_wp &&
         a.smap_andnot_wp == b.smap_andnot_wp && a.smm == b.smm;
}

/// CVE-2021-38198: `access` is part of what must be equal.
Formula word_equality(Side side) {
  const Role one = role("one."), other = role("other.");
  Role counted = one;
  if (side == Side::broken_rule) counted.access = other.access;
  const Bool words = impl::role_word(counted) == impl::role_word(other);
  return {.precondition = fits(one) && fits(other),
          .claim = words == same(one, other),
          .shown = {{"words equal", words}, {"roles equal", same(one, other)}}};
}

/// A root that was zapped, or of another role or table, is never used again.
Formula usable(Side side) {
  const Role have = role("have."), want = role("want.");
  const Word have_pgd = Word::variable("have.pgd"), want_pgd = Word::variable("want.pgd");
  Word have_word = impl::role_word(have);
  if (side == Side::broken_rule) have_word &= ~(Word(1) << 11);
  const Bool ok =
      impl::root_usable(have_word, impl::role_word(want), have_pgd, want_pgd, want.direct);
  return {.precondition = fits(have) && fits(want) && !want.invalid,
          .claim = implies(ok, !have.invalid && same(have, want) &&
                                   (want.direct || have_pgd == want_pgd)) &&
                   implies(same(have, want) && have_pgd == want_pgd, ok),
          .shown = {{"usable", ok}, {"root is invalid", have.invalid}}};
}

Formula child(Side side) {
  const Role parent = role("parent.");
  const Bool direct = Bool::variable("direct");
  const Word access = Word::variable("access"), index = Word::variable("index");
  Role below = impl::child_role(parent, direct, access, index);
  if (side == Side::broken_rule) below.access = access & Word::variable("walk.access");
  Role expected = parent;
  expected.level = parent.level - 1;
  expected.access = access;
  expected.direct = direct;
  expected.invalid = false;
  expected.quadrant =
      ite(parent.has_4_byte_gpte, ite((index & 1) == 0, Word(0), 1), parent.quadrant);
  return {.precondition =
              fits(parent) && parent.level >= 2 && parent.level <= 5 && access < 8 && index < 512,
          .claim = same(below, expected) && fits(below) && !below.invalid,
          .shown = {{"child's access", below.access}, {"given access", access}}};
}

/// Everything that the walker looks up is a function of the role.
struct Lookups {
  impl::AccessTable<Word> permission;
  impl::AccessTable<Word> keys;
  Word masks[2][3];
  Word id_flag;

  Lookups(const Registers& given, const Word& maxphyaddr)
      : permission(impl::permission_table<Word>(given.wp, given.smep, given.smap)),
        keys(impl::pkru_table<Word>(given.lma && given.pke, given.wp)),
        id_flag(impl::fetch_flag<Word>(given.nx && given.pae, given.smep)) {
    const auto narrow = impl::reserved_masks_32<Word>(given.pse, true, maxphyaddr);
    const auto pae = impl::reserved_masks_pae<Word>(given.nx, maxphyaddr);
    const auto wide = impl::reserved_masks_long<Word>(given.nx, true, maxphyaddr);
    for (int large = 0; large < 2; ++large) {
      for (int level = 1; level <= 2; ++level) {
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
      for (int level = 1; level <= 2; ++level) {
        all = all && masks[large][level] == other.masks[large][level];
      }
    }
    return all;
  }
};

Formula full_role_covers_walk(Side side) {
  const Registers one = registers("one."), other = registers("other.");
  const Word maxphyaddr = Word::variable("maxphyaddr");
  const Bool smm = Bool::variable("smm");
  const auto base = [&](const Registers& given) {
    return impl::role_word(impl::base_role<Word>(given, smm));
  };
  // Without the extended part, SMEP under CR0.WP is nobody's business.
  const Bool extended = side == Side::broken_rule
                            ? Bool(true)
                            : impl::extended_role<Word>(one) == impl::extended_role<Word>(other);
  const Bool equal = base(one) == base(other) && extended;
  const Lookups first(one, maxphyaddr), second(other, maxphyaddr);
  return {.precondition = legal(one) && legal(other) && one.paging && other.paging && equal &&
                          maxphyaddr >= 32 && maxphyaddr <= 52,
          .claim = first == second,
          .shown = {{"SMEP of the one", one.smep}, {"SMEP of the other", other.smep}}};
}

/// vCPUs whose base roles are equal may share shadow pages: hardware, which runs
/// with CR0.WP and NX, is asked for the same rights by both.
Formula base_role_covers_sharing(Side side) {
  Registers one = registers("one."), other = registers("other.");
  const Bool smm = Bool::variable("smm");
  Role first = impl::base_role<Word>(one, smm), second = impl::base_role<Word>(other, smm);
  if (side == Side::broken_rule) {
    first.cr0_wp = second.cr0_wp;
    first.smep_andnot_wp = second.smep_andnot_wp;
    first.smap_andnot_wp = second.smap_andnot_wp;
  }
  const Bool equal = impl::role_word(first) == impl::role_word(second);
  const Bool write = Bool::variable("write"), fetch = Bool::variable("fetch");
  const spec::Attempt<Bool> attempt = {write, fetch, Bool::variable("user"), Bool::variable("ac")};
  const spec::Grant<Bool> grant = {Bool::variable("w"), Bool::variable("u"), Bool::variable("x")};
  // SMEP and SMAP are hardware's own registers; what differs in them alone is
  // checked by hardware, so they are equal here.
  const auto allowed = [&](const Registers& given) {
    return spec::rights_allow<Bool>({given.wp, one.smep, one.smap, false, given.nx}, attempt,
                                    grant);
  };
  return {.precondition = legal(one) && legal(other) && one.paging && other.paging && equal &&
                          !(write && fetch),
          .claim = allowed(one) == allowed(other),
          .shown = {{"allowed under the one", allowed(one)}, {"under the other", allowed(other)}}};
}

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

/// CR0.WP changes under a shadow page.
std::string wp_program(const Assignment&) {
  return "lockstep 1\ntitle  CR0.WP changes under a shadow page\n"
         "config paging=4-level mmu=shadow cr0.wp=0\n"
         "slot 0 add gpa=0x0 size=0x400000\nmap 0x0 gpa=0x200000 r-xu\n"
         "v0 cpl0 write 0x0 = 0x1 -> ok\nv0 set cr0.wp=1 -> ok\n"
         "v0 cpl0 write 0x0 = 0x2 -> #PF present write 0x0\nv0 cpl3 read 0x0 -> value 0x1\n";
}

}  // namespace

std::vector<Theorem> role_theorems() {
  const std::string word = "6.1: 32-bit role, 3 access bits at 10:8";
  return {
      {"role-word-equality", "roles",
       "two role words are equal exactly if every field is, access of the levels above included",
       "union kvm_mmu_page_role; b1bd5cba3306", word, "shares without looking at access",
       word_equality, shared_table_program},
      {"root-usable", "roles",
       "a cached root is used exactly if it is valid, of the wanted role, and of the wanted table "
       "or direct",
       "is_root_usable()", word, "masks role.invalid", usable, nullptr},
      {"child-role", "roles",
       "a child's role is its parent's but for level, access, direct, and with 4-byte entries "
       "quadrant, and is never invalid",
       "kvm_mmu_child_role()", word, "takes the whole walk's access for the child's", child,
       shared_table_program},
      {"full-role-covers-walk", "roles",
       "registers with equal base and extended roles give the walker equal permission, PKRU and "
       "reserved-bit tables",
       "kvm_calc_cpu_role(); 8d214c481611, a3ca5281bb77", "6.1, 6.12", "compares base roles alone",
       full_role_covers_walk, smep_program},
      {"base-role-covers-sharing", "roles",
       "vCPUs with equal base roles are owed equal rights by the shadow pages that they share, "
       "SMEP and "
       "SMAP apart, which hardware checks itself",
       "SDM Access Rights; kvm_calc_cpu_role()", "6.1, 6.12", "forgets CR0.WP",
       base_role_covers_sharing, wp_program},
  };
}

}  // namespace lockstep::smt
