// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/tree.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <fstream>

namespace lockstep::hw::kernels {
namespace fs = std::filesystem;
namespace {

/// The value of a variable that the first lines of the top Makefile set.
std::string makefile_value(const fs::path& makefile, std::string_view variable) {
  std::ifstream file(makefile);
  std::string line;
  for (int i = 0; i < 20 && std::getline(file, line); ++i) {
    if (!line.starts_with(variable)) continue;
    auto rest = std::string_view(line).substr(variable.size());
    const auto equal = rest.find_first_not_of(" \t");
    if (equal == std::string_view::npos || rest[equal] != '=') continue;
    rest.remove_prefix(equal + 1);
    while (rest.starts_with(' ')) rest.remove_prefix(1);
    while (rest.ends_with(' ')) rest.remove_suffix(1);
    return std::string(rest);
  }
  return {};
}

/// Take the number before the next dot off the text.
unsigned next_number(std::string_view& text) {
  unsigned number = 0;
  const auto part = text.substr(0, text.find('.'));
  std::from_chars(part.data(), part.data() + part.size(), number);
  text.remove_prefix(std::min(part.size() + 1, text.size()));
  return number;
}

/// As the kernel's Makefile asks before it builds elsewhere (target outputmakefile).
bool built_in_place(const fs::path& path) {
  std::error_code error;
  return fs::exists(path / ".config", error) || fs::exists(path / "include/config", error) ||
         fs::exists(path / "arch/x86/include/generated", error);
}

}  // namespace

std::string Tree::identity() const {
  if (pristine) return fmt::format("linux-{}", name);
  return fmt::format("path-{}", content_key(path.string()));
}

Result<Tree> open_tree(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    return input_error(fmt::format("{}: no such folder", path.string()));
  }
  Tree tree;
  tree.path = fs::canonical(path, error);
  const fs::path makefile = tree.path / "Makefile";
  const auto version = makefile_value(makefile, "VERSION");
  const auto patchlevel = makefile_value(makefile, "PATCHLEVEL");
  if (version.empty() || patchlevel.empty()) {
    return input_error(fmt::format(
        "{}: not a kernel tree: its Makefile has no VERSION and PATCHLEVEL", path.string()));
  }
  tree.name = fmt::format("{}.{}", version, patchlevel);
  const auto sublevel = makefile_value(makefile, "SUBLEVEL");
  tree.release = fmt::format("{}{}{}{}", tree.name, sublevel.empty() ? "" : ".", sublevel,
                             makefile_value(makefile, "EXTRAVERSION"));
  if (!fs::exists(tree.path / "arch/x86/kvm/mmu/mmu.c", error)) {
    return input_error(fmt::format(
        "{}: Linux {} without arch/x86/kvm/mmu/mmu.c: too old, or only a part of a tree",
        path.string(), tree.release));
  }
  tree.built = built_in_place(tree.path);
  return tree;
}

bool is_version(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789.") == std::string_view::npos &&
         text.front() != '.' && text.back() != '.' && text.find("..") == std::string_view::npos;
}

bool older(std::string_view a, std::string_view b) {
  while (!a.empty() || !b.empty()) {
    const auto left = next_number(a);
    const auto right = next_number(b);
    if (left != right) return left < right;
  }
  return false;
}

std::vector<std::string> cached_versions(const Cache& cache) {
  constexpr std::string_view prefix = "linux-";
  std::vector<std::string> versions;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(cache.root() / "source", error)) {
    const auto name = entry.path().filename().string();
    if (!name.starts_with(prefix) || !entry.is_directory(error)) continue;
    auto version = name.substr(prefix.size());
    if (is_version(version)) versions.push_back(std::move(version));
  }
  std::ranges::sort(versions, older);
  return versions;
}

Result<Tree> find_tree(const Cache& cache, std::string_view version_or_path) {
  if (!is_version(version_or_path)) return open_tree(fs::path(version_or_path));
  std::error_code error;
  if (fs::is_directory(cache.source(version_or_path), error)) {
    auto tree = open_tree(cache.source(version_or_path));
    if (tree) tree->pristine = true;
    return tree;
  }
  const auto have = cached_versions(cache);
  return input_error(fmt::format(
      "no kernel {0} in the cache ({1}); lockstep kernels fetch {0}", version_or_path,
      have.empty() ? std::string("it is empty") : fmt::format("there: {}", fmt::join(have, ", "))));
}

}  // namespace lockstep::hw::kernels
