// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/mutant_tree.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sstream>

#include "hw/kernels/overlay.h"

namespace lockstep::hw::kernels {
namespace fs = std::filesystem;

Result<MutantTree> MutantTree::open(const Cache& cache, const Tree& tree, const Progress& progress,
                                    const std::string& purpose) {
  auto source = plain_source(cache, tree, progress);
  if (!source) return tl::unexpected(source.error());
  const auto origin = source->path;
  source->key = source->base_key + "-" + purpose;
  source->path = cache.overlay(source->key);
  // Its files change under one key: make must be asked what is up to date.
  source->tree.pristine = false;
  auto lock = Lock::take(source->path.string() + ".lock", progress);
  if (!lock) return tl::unexpected(lock.error());
  MutantTree made(*std::move(lock), *std::move(source));
  if (const auto text = read_file(made.list())) {
    std::istringstream lines(*text);
    for (std::string name; std::getline(lines, name);) made.own_.insert(name);
  }
  if (progress) progress(fmt::format("making an overlay of linux {}", tree.release));
  const auto share = tree.pristine ? Share::link : Share::copy;
  const auto mirrored = mirror_tree(origin, made.source_.path, share, made.own_);
  if (!mirrored) return tl::unexpected(mirrored.error());
  return made;
}

Result<Source> MutantTree::hold(const Mutation& mutation) {
  Files files;
  for (const auto& file : mutation.files) files[file.name] = file.text;
  return hold_files(files);
}

Result<Source> MutantTree::hold_files(const Files& files) {
  for (const auto& [name, text] : files) own_.insert(name);
  // First the list: a run that ends here must not leave an unknown mutation.
  if (auto wrote = write_file(list(), fmt::format("{}\n", fmt::join(own_, "\n"))); !wrote) {
    return tl::unexpected(wrote.error());
  }
  std::error_code error;
  for (const auto& name : own_) {
    const auto changed = files.find(name);
    const auto target = source_.path / name;
    std::optional<std::string> wanted;
    if (changed != files.end()) {
      wanted = changed->second;
    } else if (fs::exists(source_.base_path / name, error)) {
      auto base = read_file(source_.base_path / name);
      if (!base) return tl::unexpected(base.error());
      wanted = *std::move(base);
    }
    if (!wanted) {
      fs::remove(target, error);
      continue;
    }
    const auto is = read_file(target);
    if (is && *is == *wanted) continue;
    fs::create_directories(target.parent_path(), error);
    // Its time is now, also where the tree's own text comes back.
    if (auto wrote = write_file(target, *wanted); !wrote) return tl::unexpected(wrote.error());
  }
  auto source = source_;
  for (const auto& [name, text] : files) source.changed.push_back(name);
  return source;
}

}  // namespace lockstep::hw::kernels
