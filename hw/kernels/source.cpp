// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/source.h"

#include <fmt/format.h>

#include "hw/kernels/overlay.h"
#include "hw/kernels/patch.h"
#include "hw/kernels/scratch.h"

namespace lockstep::hw::kernels {
namespace fs = std::filesystem;
namespace {

/// What a copy of the files of a tree takes that a build of KVM reads.
constexpr std::uint64_t copy_bytes = 400'000'000;
/// Folders and links take room too.
constexpr std::uint64_t link_bytes = 40'000'000;

/// Put what the patch made in the overlay. A file that is already so keeps its
/// time, so that nothing is compiled again for it.
Result<void> install(const AppliedPatch& applied, const fs::path& scratch,
                     const fs::path& overlay) {
  std::error_code error;
  for (const auto& name : applied.written) {
    const auto target = overlay / name;
    const auto is = fs::exists(target, error) ? read_file(target) : Result<std::string>("");
    const auto wanted = read_file(scratch / name);
    if (!wanted) return tl::unexpected(wanted.error());
    if (fs::exists(target, error) && is && *is == *wanted) continue;
    fs::create_directories(target.parent_path(), error);
    // A rename replaces the name; what another tree links to stays as it is.
    fs::rename(scratch / name, target, error);
    if (error) return machine_error(fmt::format("{}: {}", target.string(), error.message()));
  }
  for (const auto& name : applied.removed) fs::remove(overlay / name, error);
  return {};
}

std::set<std::string> names(const AppliedPatch& applied) {
  std::set<std::string> all(applied.written.begin(), applied.written.end());
  all.insert(applied.removed.begin(), applied.removed.end());
  return all;
}

}  // namespace

Result<Source> plain_source(const Cache& cache, const Tree& tree, const Progress& progress) {
  const auto key = tree.identity();
  Source source{tree, tree.path, key, tree.path, key, {}, {}, false};
  if (!tree.built) return source;
  source.path = source.base_path = cache.overlay(key);
  const auto lock = Lock::take(source.path.string() + ".lock", progress);
  if (!lock) return tl::unexpected(lock.error());
  if (progress) progress(fmt::format("copying {}: it was built in place", tree.path.string()));
  if (const auto room = require_space(source.path, copy_bytes, "the copy"); !room) {
    return tl::unexpected(room.error());
  }
  const auto mirrored = mirror_tree(tree.path, source.path, Share::copy, {});
  if (!mirrored) return tl::unexpected(mirrored.error());
  return source;
}

Result<Source> patched_source(const Cache& cache, const Tree& tree, const std::string& patch,
                              const Progress& progress) {
  auto base = plain_source(cache, tree, progress);
  if (!base) return base;
  Source source = std::move(*base);
  source.key = fmt::format("{}-patch-{}", source.base_key, content_key(patch));
  source.path = cache.overlay(source.key);
  const auto lock = Lock::take(source.path.string() + ".lock", progress);
  if (!lock) return tl::unexpected(lock.error());

  const Scratch scratch(source.path.string() + ".scratch");
  const auto applied = apply_patch(tree, patch, scratch.path());
  if (!applied) return tl::unexpected(applied.error());
  source.notes = applied->notes;
  const auto own = names(*applied);
  source.changed.assign(own.begin(), own.end());

  std::error_code error;
  const bool exists = fs::exists(source.path, error);
  if (exists && tree.pristine) return source;
  if (progress) progress(fmt::format("making an overlay of linux {}", tree.release));
  const auto bytes = tree.pristine ? link_bytes : exists ? 0 : copy_bytes;
  if (const auto room = require_space(source.path, bytes, "the overlay"); !room) {
    return tl::unexpected(room.error());
  }
  // An overlay that an interrupted run left half made must not look whole.
  const Scratch fresh(source.path.string() + ".new");
  const auto& target = exists ? source.path : fresh.path();
  const auto share = tree.pristine ? Share::link : Share::copy;
  auto done = mirror_tree(tree.path, target, share, own);
  if (done) done = install(*applied, scratch.path(), target);
  if (!done) return tl::unexpected(done.error());
  if (!exists) fs::rename(target, source.path, error);
  if (error) return machine_error(fmt::format("{}: {}", source.path.string(), error.message()));
  return source;
}

}  // namespace lockstep::hw::kernels
