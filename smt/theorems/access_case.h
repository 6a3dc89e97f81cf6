// SPDX-License-Identifier: GPL-2.0-or-later
/// One access under any registers, as variables of a theorem and as a program.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "impl/permission_bitmap.h"
#include "smt/theorem.h"
#include "spec/x86/access_rules.h"

namespace lockstep::smt {

/// The variables of every theorem on access rights. A mode is three flags, of
/// which at most `narrow` or `wide` is set: 32-bit, PAE, 4- or 5-level paging.
template <typename P>
struct AccessCase {
  using Bool = typename P::Bool;
  using Word = typename P::Word;

  Bool write = P::boolean("write");
  Bool fetch = P::boolean("fetch");
  Bool user = P::boolean("user");
  Bool ac = P::boolean("ac");
  Bool wp = P::boolean("cr0.wp");
  Bool smep = P::boolean("cr4.smep");
  Bool smap = P::boolean("cr4.smap");
  Bool pke = P::boolean("cr4.pke");
  Bool nx = P::boolean("efer.nx");
  Bool narrow = P::boolean("mode.32-bit");
  Bool wide = P::boolean("mode.long");
  Word pkru = P::word("pkru");

  /// An access is no write and fetch at once; a mode is one; PKRU has 32 bits.
  Bool legal() const { return !(write && fetch) && !(narrow && wide) && pkru < (1ull << 32); }

  Bool nx_works() const { return nx && !narrow; }
  spec::RightsControl<Bool> control() const { return {wp, smep, smap, pke && wide, nx}; }
  spec::Attempt<Bool> attempt() const { return {write, fetch, user, ac}; }
  Word nx_mask() const { return ite(nx_works(), Word(entry::no_execute), 0); }
};

/// 32-bit entries have 32 bits.
template <typename P>
typename P::Bool fits_mode(const AccessCase<P>& access, const typename P::Word& entry_value) {
  return !access.narrow || entry_value < (1ull << 32);
}

/// Entries of a path, from the leaf up; levels that are missing grant everything.
using Path = std::vector<std::uint64_t>;

/// A program that maps a page by a path with these flags and makes the access;
/// what is expected comes from the rules of spec/x86.
std::string access_program(const std::string& title, const Assignment& found, const Path& path);

/// The same access to a page that is not mapped, or through an entry with a
/// reserved bit.
std::string fault_program(const std::string& title, const Assignment& found, bool reserved);

/// Two halves of one guest page table of 4-byte entries, at the counterexample's gva.
std::string quadrant_program(const Assignment& found);

/// Values of a counterexample.
std::uint64_t value_of(const Assignment& found, const std::string& name);
inline bool flag_of(const Assignment& found, const std::string& name) {
  return value_of(found, name) != 0;
}

/// "#PF present write user 0x0", as programs name a fault.
std::string fault_text(std::uint64_t code, std::uint64_t gva);

}  // namespace lockstep::smt
