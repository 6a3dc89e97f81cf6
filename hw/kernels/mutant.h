// SPDX-License-Identifier: GPL-2.0-or-later
/// Defects of KVM as semantic patches (hw/kernels/mutants), and what they make
/// of a tree.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "hw/kernels/error.h"
#include "hw/kernels/tree.h"

namespace lockstep::hw::kernels {

/// The header of one .cocci file; mutants/README.md says what the keys mean.
struct Mutant {
  std::string name;  ///< file name without .cocci
  std::string title;
  std::string breaks;
  std::string history;
  std::string needs;
  std::string reached_by;
  std::string flavour;             ///< of the hosted image that shows it; empty: any
  std::string property;            ///< "parallel", or empty: see asks_blocks()
  std::string undetected;          ///< why nothing can detect it yet; empty: it must be
  std::vector<std::string> files;  ///< relative to a tree; a tree may lack some
  std::filesystem::path path;

  /// Programs with parallel blocks show it, on the flavour asan+schedule.
  bool asks_blocks() const { return property == "parallel"; }
};

/// Read a header. An input error names the file's line, or the key that lacks.
Result<Mutant> parse_mutant(std::string_view name, std::string_view text);

/// Every mutant of a folder, by name; Lockstep's own by default.
Result<std::vector<Mutant>> list_mutants(const std::filesystem::path& folder);
std::filesystem::path mutants_folder();

/// What a mutant makes of a tree.
struct Mutation {
  struct File {
    std::string name;  ///< relative to the tree
    std::string text;
  };
  std::vector<File> files;  ///< those that change; none: the tree lacks the code
  std::string patch;        ///< the same as a unified diff, level -p1
};

/// Let Coccinelle apply the mutant to copies, in the empty folder `scratch`, of its
/// files. The tree is only read. A machine error if Coccinelle is not installed.
Result<Mutation> mutate(const Tree& tree, const Mutant& mutant,
                        const std::filesystem::path& scratch);

/// The function of `reached-by` that the mutant's files define or call in this tree;
/// empty if there is none, as where a kernel lacks the code. A mutation without files
/// although a function is there is a semantic patch that fits the tree no more.
Result<std::string> function_there(const Tree& tree, const Mutant& mutant);

/// FNAME(x) as FNAME_x and back: Coccinelle cannot parse a function whose name a
/// macro makes.
std::string plain_names(std::string_view text);
std::string macro_names(std::string_view text);

}  // namespace lockstep::hw::kernels
