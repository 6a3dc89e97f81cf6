// SPDX-License-Identifier: GPL-2.0-or-later
/// Kernel configurations from fragments, checked for what became of each wish.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/kernels/error.h"
#include "hw/kernels/process.h"

namespace lockstep::hw::kernels {

/// One line of a fragment.
struct Wish {
  std::string symbol;  ///< without CONFIG_
  std::string value;   ///< y, m, n, a number or a quoted string
  /// Why a tree may do without it, from a comment line `#? …` right above; empty
  /// if it must hold wherever the tree knows the symbol.
  std::string excuse;
};

/// Lines `CONFIG_X=value` and `# CONFIG_X is not set`; other comments and empty
/// lines mean nothing. An input error names the line.
Result<std::vector<Wish>> parse_fragment(std::string_view text);

/// One fragment of several; a later wish for the same symbol wins.
Result<std::vector<Wish>> merge_fragments(const std::vector<std::string>& texts);

/// As a file for KCONFIG_ALLCONFIG.
std::string write_fragment(const std::vector<Wish>& wishes);

/// Wishes that a .config does not grant, one line each. A symbol that no Kconfig
/// file of the tree declares is granted if it was wanted off, and tolerated else.
std::vector<std::string> refused_wishes(const std::vector<Wish>& wishes, std::string_view config,
                                        const std::filesystem::path& tree);

/// The value of a symbol in a .config; "n" where it is not set.
std::string config_value(std::string_view config, std::string_view symbol);

/// The fragment that every flavour of the hosted engine starts from
/// (hw/kernels/hosted.config of Lockstep's own tree).
Result<std::string> hosted_fragment();

}  // namespace lockstep::hw::kernels
