// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/corpus.h"

#include <algorithm>
#include <cstdlib>

#include "cli/read_program.h"

namespace lockstep::cli {

std::filesystem::path source_tree() {
  const char* root = std::getenv("LOCKSTEP_ROOT");
  return root != nullptr && *root != '\0' ? root : LOCKSTEP_SOURCE_DIR;
}

std::vector<CorpusEntry> corpus(const std::filesystem::path& tree) {
  std::vector<CorpusEntry> entries;
  std::error_code error;
  for (const auto& file : std::filesystem::recursive_directory_iterator(tree / "corpus", error)) {
    if (file.path().extension() != ".lockstep") continue;
    CorpusEntry entry;
    entry.path = file.path().lexically_relative(tree);
    if (auto program = read_program(file.path())) {
      entry.title = std::move(program->title);
    } else {
      entry.wrong = std::move(program.error());
    }
    entries.push_back(std::move(entry));
  }
  std::ranges::sort(entries, {}, &CorpusEntry::path);
  return entries;
}

}  // namespace lockstep::cli
