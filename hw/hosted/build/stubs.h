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

/// First words of the lines of returns_zero.txt; '#' starts a comment line.
std::set<std::string> harmless_functions(std::string_view list);

/// Symbols that some relocation calls, from `objdump -r`: the others are data.
std::set<std::string> called_symbols(std::string_view relocations);

/// C source that defines every undefined symbol: a jump to the process for what
/// every process has (memcpy, sanitizers), `return 0` for harmless functions, zeroed
/// memory for data, and a fatal finding that names the symbol for every other
/// function.
std::string write_stubs(const std::set<std::string>& undefined, const std::set<std::string>& called,
                        const std::set<std::string>& harmless);

}  // namespace lockstep::hw::hosted
