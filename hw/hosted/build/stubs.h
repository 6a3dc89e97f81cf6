// SPDX-License-Identifier: GPL-2.0-or-later
/// Stubs for the kernel symbols that neither KVM nor the shim defines.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::hw::hosted {

/// Symbols that a linker said are undefined.
std::set<std::string> undefined_symbols(std::string_view linker_output);

/// First words of the lines of returns_zero.txt and zero_data.txt; '#' starts a comment
/// line.
std::set<std::string> listed_symbols(std::string_view list);

/// Symbols that some relocation calls, from `objdump -r`.
std::set<std::string> called_symbols(std::string_view relocations);

/// What is known of symbols.
struct KnownSymbols {
  std::set<std::string> called;    ///< functions, by their callers
  std::set<std::string> harmless;  ///< functions that may return 0
  std::set<std::string> zero;      ///< data that is zero; '*' ends a beginning of names
};

struct Stubs {
  /// C: a jump to the process for what every process has (memcpy, sanitizers), `return 0`
  /// for harmless functions, a fatal finding that names the symbol for every other function
  /// that is called, zeroed memory for data that is known to be zero.
  std::string source;
  /// All others: each gets an address of its own where nothing is (HOSTED_ABSENT_SYMBOLS of
  /// hw/hosted/boundary.h), so that a use of it traps, and is told by name.
  std::vector<std::string> absent;
};

Stubs write_stubs(const std::set<std::string>& undefined, const KnownSymbols& known);

}  // namespace lockstep::hw::hosted
