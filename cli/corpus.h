// SPDX-License-Identifier: GPL-2.0-or-later
/// The programs that come with the source tree.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lockstep::cli {

/// The source tree: LOCKSTEP_ROOT, which the bootstrap script sets, else where
/// the command was built.
std::filesystem::path source_tree();

struct CorpusEntry {
  std::filesystem::path path;  ///< relative to the source tree
  std::string title;           ///< empty if the file is no program
  std::string wrong;           ///< why it is none
};

/// Every *.lockstep below corpus/ in the order of their paths.
std::vector<CorpusEntry> corpus(const std::filesystem::path& tree);

}  // namespace lockstep::cli
