// SPDX-License-Identifier: GPL-2.0-or-later
/// Who may use a translation, as the manual states it: SDM volume 3, "Access
/// Rights", "Protection Keys" and "Page-Fault Exceptions".
///
/// Templates over a word W (spec/vocabulary/word.h): the model runs them on
/// numbers, and smt/ proves theorems about the same text.
#pragma once

#include "spec/vocabulary/paging.h"
#include "spec/vocabulary/word.h"

namespace lockstep::spec {

/// The registers that decide rights.
template <typename B>
struct RightsControl {
  B write_protect;    ///< CR0.WP
  B smep;             ///< CR4.SMEP
  B smap;             ///< CR4.SMAP
  B protection_keys;  ///< CR4.PKE, in 4-level and 5-level paging only
  B no_execute;       ///< EFER.NXE
};

/// One access. At most one of `write` and `fetch`.
template <typename B>
struct Attempt {
  B write;
  B fetch;
  B user;  ///< CPL 3
  B ac;    ///< RFLAGS.AC
};

/// What every entry of the walk grants together.
template <typename B>
struct Grant {
  B writable;
  B user;
  B executable;
};

/// SDM "Access Rights": a right holds only if every entry of the walk grants it.
/// `has_no_execute`: bit 63 of an entry is XD, as in all modes but 32-bit paging.
template <typename W>
Grant<BoolOf<W>> combine(const Grant<BoolOf<W>>& before, W entry_value, BoolOf<W> has_no_execute) {
  return {.writable = before.writable && (entry_value & entry::writable) != 0,
          .user = before.user && (entry_value & entry::user) != 0,
          .executable =
              before.executable && !(has_no_execute && (entry_value & entry::no_execute) != 0)};
}

/// SDM "Determination of Access Rights", protection keys apart.
template <typename B>
B rights_allow(const RightsControl<B>& control, const Attempt<B>& attempt, const Grant<B>& grant) {
  const B supervisor = !attempt.user;
  const B to_supervisor_page = attempt.user && !grant.user;
  const B to_read_only =
      attempt.write && !grant.writable && (attempt.user || control.write_protect);
  // A cached XD flag denies nothing once EFER.NXE is clear.
  const B to_no_execute = attempt.fetch && !grant.executable && control.no_execute;
  const B smep = attempt.fetch && supervisor && grant.user && control.smep;
  const B smap = !attempt.fetch && supervisor && grant.user && control.smap && !attempt.ac;
  return !to_supervisor_page && !to_read_only && !to_no_execute && !smep && !smap;
}

/// SDM "Protection Keys": data accesses to user-mode addresses, at any CPL.
template <typename W>
BoolOf<W> key_denies(const RightsControl<BoolOf<W>>& control, const Attempt<BoolOf<W>>& attempt,
                     const Grant<BoolOf<W>>& grant, W pkru, W key) {
  using B = BoolOf<W>;
  const W of_key = pkru >> (key * 2);
  const B access_disable = (of_key & 1) != 0;
  const B write_disable = (of_key & 2) != 0;
  const B stops_write = write_disable && attempt.write && (attempt.user || control.write_protect);
  return control.protection_keys && grant.user && !attempt.fetch && (access_disable || stops_write);
}

/// SDM "Page-Fault Exceptions": the error code. I/D is reported only where
/// fetches can be told apart: SMEP, or NX in a paging mode that has the bit.
template <typename W>
W error_code(const Attempt<BoolOf<W>>& attempt, BoolOf<W> smep, BoolOf<W> no_execute_works,
             BoolOf<W> present, BoolOf<W> reserved, BoolOf<W> key) {
  using B = BoolOf<W>;
  const auto bit = [](B condition, std::uint32_t code) { return ite(condition, W(code), 0); };
  return bit(present, fault::present) | bit(reserved, fault::reserved) |
         bit(attempt.write, fault::write) | bit(attempt.user, fault::user) |
         bit(attempt.fetch && (smep || no_execute_works), fault::fetch) |
         bit(key, fault::protection_key);
}

/// 0 if the access is allowed, else the error code of its page fault.
template <typename W>
W access_fault(const RightsControl<BoolOf<W>>& control, BoolOf<W> no_execute_works,
               const Attempt<BoolOf<W>>& attempt, const Grant<BoolOf<W>>& grant, W pkru, W key) {
  using B = BoolOf<W>;
  const B denied = !rights_allow(control, attempt, grant);
  const B by_key = key_denies<W>(control, attempt, grant, pkru, key);
  const W code = error_code<W>(attempt, control.smep, no_execute_works, /*present=*/B(true),
                               /*reserved=*/B(false), by_key);
  return ite(denied || by_key, code, 0);
}

}  // namespace lockstep::spec
