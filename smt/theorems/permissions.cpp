// SPDX-License-Identifier: GPL-2.0-or-later
/// Access rights and error codes: the bitmap of impl/ against the manual's rules
/// of spec/x86.
#include "impl/permission_bitmap.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

#include "impl/wp_exchange.h"
#include "smt/theorems/access_case.h"
#include "smt/theorems/theorems.h"

namespace lockstep::smt {
namespace {

using spec::Grant;

template <typename P>
struct Permissions {
  using Word = typename P::Word;
  using Bool = typename P::Bool;
  using Formula = FormulaOf<P>;
  using AccessCase = smt::AccessCase<P>;

  /// The implementation's answer: 0 or an error code.
  static Word bitmap_answer(const AccessCase& access, const Word& have, const Word& leaf) {
    const Word index = impl::access_index<Word>(access.write, access.user, access.fetch, access.ac);
    const auto permission = impl::permission_table<Word>(access.wp, access.smep, access.smap);
    const auto keys = impl::pkru_table<Word>(access.pke && access.wide, access.wp);
    const Word denied = impl::denied_bits<Word>(select(permission, index), select(keys, index),
                                                have, leaf, access.pkru);
    const Word base =
        impl::access_bits<Word>(access.write, access.user, access.fetch,
                                impl::fetch_flag<Word>(access.nx_works(), access.smep));
    return ite(denied != 0, denied | base, 0);
  }

  static Word manual_answer(const AccessCase& access, const Grant<Bool>& grant, const Word& leaf) {
    const Word key = (leaf & entry::protection_key) >> entry::protection_key_shift;
    return spec::access_fault<Word>(access.control(), access.nx_works(), access.attempt(), grant,
                                    access.pkru, key);
  }

  static decltype(Formula::shown) both(const Word& impl_code, const Word& spec_code) {
    return {{"impl error code", impl_code}, {"spec error code", spec_code}};
  }

  /// What a broken bitmap forgets: one register, by changing the case it sees.
  static Formula check_formula(const AccessCase& seen) {
    const AccessCase access;
    const Word leaf = P::word("leaf");
    const Word ours = bitmap_answer(seen, impl::entry_rights(leaf, seen.nx_mask()), leaf);
    const auto grant = spec::combine<Word>({true, true, true}, leaf, !access.narrow);
    const Word theirs = manual_answer(access, grant, leaf);
    return {.precondition = access.legal() && fits_mode(access, leaf),
            .claim = ours == theirs,
            .shown = both(ours, theirs)};
  }

  static Formula check_without_smep(Side side) {
    AccessCase seen;
    if (side == Side::broken_rule) seen.smep = false;
    return check_formula(seen);
  }

  static Formula check_data_at_supervisor(Side side) {
    AccessCase seen;
    if (side == Side::broken_rule) seen.ac = false;
    Formula formula = check_formula(seen);
    const AccessCase access;
    formula.precondition = formula.precondition && !access.user && !access.fetch;
    return formula;
  }

  static Formula check_key(Side side) {
    AccessCase seen;
    // WD stops the supervisor whatever CR0.WP says.
    if (side == Side::broken_rule) seen.wp = seen.wp || seen.pke;
    Formula formula = check_formula(seen);
    const AccessCase access;
    formula.precondition = formula.precondition && access.pke && access.wide;
    return formula;
  }

  static Formula check_narrow(Side side) {
    AccessCase seen;
    if (side == Side::broken_rule) seen.narrow = false;
    Formula formula = check_formula(seen);
    formula.precondition = formula.precondition && AccessCase{}.narrow;
    return formula;
  }

  /// Five entries in the long modes, two otherwise.
  static Formula path_formula(Side side) {
    const AccessCase access;
    Bool legal = access.legal();
    Grant<Bool> grant = {true, true, true};
    Word have = impl::rights::all;
    Word leaf;
    for (const char* name : {"pml5e", "pml4e", "pdpte", "pde", "pte"}) {
      leaf = P::word(name);
      legal = legal && fits_mode(access, leaf);
      const bool long_only = std::string_view(name) != "pde" && std::string_view(name) != "pte";
      if (long_only) leaf = ite(access.wide, leaf, entry::writable | entry::user);
      grant = spec::combine<Word>(grant, leaf, !access.narrow);
      const Word granted = impl::entry_rights(leaf, access.nx_mask());
      // The twin takes the rights of the last entry for those of the path.
      have = side == Side::broken_rule ? granted : have & granted;
    }
    const Word ours = bitmap_answer(access, have, leaf);
    const Word theirs = manual_answer(access, grant, leaf);
    // A counterexample without keys, which guests have under two-dimensional paging
    // alone, where hardware judges.
    if (side == Side::broken_rule) legal = legal && !access.pke;
    return {.precondition = legal, .claim = ours == theirs, .shown = both(ours, theirs)};
  }

  static Formula not_present(Side side) {
    const AccessCase access;
    const Bool smep = side == Side::broken_rule ? Bool(false) : access.smep;
    const Word ours = impl::access_bits<Word>(access.write, access.user, access.fetch,
                                              impl::fetch_flag<Word>(access.nx_works(), smep));
    const Word theirs =
        spec::error_code<Word>(access.attempt(), access.smep, access.nx_works(),
                               /*present=*/false, /*reserved=*/false, /*key=*/false);
    return {.precondition = access.legal(), .claim = ours == theirs, .shown = both(ours, theirs)};
  }

  static Formula reserved(Side side) {
    const AccessCase access;
    const Bool nx = side == Side::broken_rule ? access.nx : access.nx_works();
    const Word ours = impl::access_bits<Word>(access.write, access.user, access.fetch,
                                              impl::fetch_flag<Word>(nx, access.smep)) |
                      fault::present | fault::reserved;
    const Word theirs = spec::error_code<Word>(access.attempt(), access.smep, access.nx_works(),
                                               /*present=*/true, /*reserved=*/true, /*key=*/false);
    return {.precondition = access.legal(), .claim = ours == theirs, .shown = both(ours, theirs)};
  }

  static Formula well_formed(Side side) {
    const AccessCase access;
    const Word leaf = P::word("leaf");
    const Word have = impl::entry_rights(leaf, access.nx_mask());
    const Word code = bitmap_answer(access, have, leaf);
    const auto has = [&](std::uint32_t bit) { return (code & bit) != 0; };
    Bool claim = !(has(fault::write) && has(fault::fetch));
    claim = claim && implies(code != 0, has(fault::present)) && !has(fault::reserved);
    // Keys speak of data accesses to user pages.
    const Bool about_user_page =
        side == Side::broken_rule ? has(fault::user) : (have & impl::rights::user) != 0;
    claim = claim && implies(has(fault::protection_key), about_user_page && !has(fault::fetch));
    return {.precondition = access.legal() && fits_mode(access, leaf),
            .claim = claim,
            .shown = {{"error code", code}}};
  }

  /// More of W and X never turns an allowed access into a fault. U is no such
  /// right: SMEP and SMAP deny what it grants.
  static Formula monotonic(Side side) {
    const AccessCase access;
    const Word few = P::word("rights");
    const Word more = P::word("more-rights");
    const Word leaf = P::word("leaf");
    const Word fixed = side == Side::broken_rule ? 0 : impl::rights::user;
    const Bool legal = access.legal() && few <= impl::rights::all && more <= impl::rights::all &&
                       (few & ~more) == 0 && (few & fixed) == (more & fixed);
    const Word before = bitmap_answer(access, few, leaf);
    const Word after = bitmap_answer(access, more, leaf);
    return {.precondition = legal,
            .claim = implies(before == 0, after == 0),
            .shown = {{"error code with fewer rights", before}, {"with more", after}}};
  }

  /// What hardware, with CR0.WP set, allows after the exchange, the manual allows
  /// with CR0.WP clear.
  static Formula wp_exchange(Side side) {
    AccessCase access;
    access.wp = false;
    const Word have = P::word("rights");
    const auto granted = [](const Word& rights) {
      return Grant<Bool>{(rights & impl::rights::writable) != 0, (rights & impl::rights::user) != 0,
                         (rights & impl::rights::executable) != 0};
    };
    const Bool smep = side == Side::broken_rule ? Bool(false) : access.smep;
    const Word exchanged = impl::exchange_for_wp<Word>(have, smep);
    auto hardware = access.control();
    hardware.write_protect = true;
    hardware.no_execute = true;
    // Where the guest has no NX, its pages are executable.
    const Bool executable = access.nx || (have & impl::rights::executable) != 0;
    const Bool by_hardware = spec::rights_allow(hardware, access.attempt(), granted(exchanged));
    const Bool by_manual = spec::rights_allow(access.control(), access.attempt(), granted(have));
    return {.precondition = access.legal() && executable && !access.smap &&
                            have <= impl::rights::all && (have & impl::rights::writable) == 0,
            .claim = implies(by_hardware, by_manual),
            .shown = {{"hardware allows", by_hardware}, {"manual allows", by_manual}}};
  }
};

std::string leaf_program(const Assignment& found) {
  return access_program("rights of a page", found, {value_of(found, "leaf")});
}

std::string path_program(const Assignment& found) {
  Path path;
  for (const char* name : {"pte", "pde", "pdpte", "pml4e", "pml5e"}) {
    path.push_back(value_of(found, name));
  }
  return access_program("rights of a path", found, path);
}

std::string not_present_program(const Assignment& found) {
  return fault_program("a page that is not mapped", found, /*reserved=*/false);
}
std::string rsvd_program(const Assignment& found) {
  return fault_program("an entry with a reserved bit", found, /*reserved=*/true);
}

/// A read-only user page written by the supervisor without CR0.WP, then fetched.
std::string exchange_program(const Assignment& found) {
  const bool user = flag_of(found, "user");
  const bool smep = flag_of(found, "cr4.smep");
  return fmt::format(
      "lockstep 1\ntitle  a page exchanged for CR0.WP=0\n"
      "config paging=4-level mmu=shadow cr0.wp=0 cr4.smep={:d}\n"
      "slot 0 add gpa=0x0 size=0x400000\nmap 0x0 gpa=0x200000 r-xu\n"
      "v0 cpl0 write 0x0 = 0x1 -> ok\nv0 cpl{} {} 0x0{}\nv0 cpl0 fetch 0x0 -> {}\n",
      smep, user ? 3 : 0, flag_of(found, "fetch") ? "fetch" : "read", "",
      smep ? "#PF present fetch 0x0" : "value 0x0");
}

}  // namespace

std::vector<Theorem> permission_theorems() {
  using S = Permissions<Symbolic>;
  using C = Permissions<Concrete>;
  const std::string rights = "SDM Access Rights, Protection Keys; permission_fault()";
  const std::string code = "SDM Page-Fault Exceptions; FNAME(walk_addr_generic)";
  // KVM's fetch flag: any mode with EFER.NX. The model admits it: fetch-flag-32bit.
  const std::string fetches = "KVM reports fetches by EFER.NX under 32-bit paging, too";
  const std::string widths = "6.1, 6.12: ACC_ALL is 3 bits; 7.2 adds a read bit; " + fetches;
  return {
      {"permission-check", "permissions",
       "for every mode, CR0.WP, CR4, EFER.NX, PKRU, access and leaf entry the bitmap gives the "
       "manual's error code",
       rights, widths, "ignores CR4.SMEP",
       FormulaBody{S::check_without_smep, C::check_without_smep}, leaf_program},
      {"permission-check-smap", "permissions",
       "supervisor data accesses: SMAP and RFLAGS.AC decide as in the manual", rights, widths,
       "ignores RFLAGS.AC", FormulaBody{S::check_data_at_supervisor, C::check_data_at_supervisor},
       leaf_program},
      {"permission-check-keys", "permissions",
       "4- and 5-level paging with CR4.PKE: AD and WD of all 16 keys decide as in the manual",
       rights, widths, "WD stops the supervisor without CR0.WP",
       FormulaBody{S::check_key, C::check_key}, leaf_program},
      {"permission-check-32-bit", "permissions",
       "32-bit paging has neither NX nor keys, whatever EFER and CR4 say", rights, widths,
       "reports fetches where entries have no NX", FormulaBody{S::check_narrow, C::check_narrow},
       leaf_program},
      {"permission-path", "permissions",
       "the rights of up to five entries combine to the manual's error code", rights, widths,
       "takes the last entry's rights for the path's",
       FormulaBody{S::path_formula, C::path_formula}, path_program},
      {"error-code-not-present", "permissions",
       "the error code of a not-present entry is the manual's", code, "any; " + fetches,
       "reports fetches by EFER.NX alone", FormulaBody{S::not_present, C::not_present},
       not_present_program},
      {"error-code-reserved", "permissions", "the error code of a reserved bit is the manual's",
       code, "any; " + fetches, "reports fetches by EFER.NX in 32-bit paging",
       FormulaBody{S::reserved, C::reserved}, rsvd_program},
      {"error-code-well-formed", "permissions",
       "W and I/D exclude each other, RSVD never stands with rights, PK only on a data access to "
       "a user page",
       code, widths, "claims that PK needs CPL 3", FormulaBody{S::well_formed, C::well_formed},
       leaf_program},
      {"permission-monotonic", "permissions",
       "granting W or X never turns an allowed access into a fault", rights, widths,
       "claims the same of U", FormulaBody{S::monotonic, C::monotonic}, nullptr},
      {"wp-exchange-grants-no-more", "permissions",
       "with SMAP off, hardware with CR0.WP=1 allows on an exchanged page only what the manual "
       "allows with CR0.WP=0",
       "SDM Access Rights; FNAME(page_fault)", widths, "keeps X under SMEP",
       FormulaBody{S::wp_exchange, C::wp_exchange}, exchange_program, /*scenario=*/true},
  };
}

}  // namespace lockstep::smt
