// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/stack.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>

#include "hw/kernels/difference.h"
#include "hw/kernels/patch.h"
#include "hw/kernels/patch_text.h"
#include "hw/kernels/scratch.h"
#include "jobs/review/repair.h"

namespace lockstep::jobs::review {
namespace {

namespace fs = std::filesystem;
namespace kernels = hw::kernels;
using kernels::Result;

bool is_code(std::string_view file) {
  return file.ends_with(".c") || file.ends_with(".h") || file.ends_with(".S");
}

template <std::size_t size>
bool below(std::string_view file, const std::string_view (&folders)[size]) {
  return std::ranges::any_of(folders, [file](auto folder) { return file.starts_with(folder); });
}

}  // namespace

bool decides_build(std::string_view file) {
  // Compiled for the target alone.
  static constexpr std::string_view target[] = {
      "arch/x86/kvm/", "virt/", "arch/x86/include/", "arch/x86/kernel/", "mm/", "kernel/",
      "fs/",           "net/",  "drivers/",          "include/"};
  // Parts of programs that the build makes for itself and runs.
  static constexpr std::string_view host[] = {"include/linux/license.h", "include/linux/export.h",
                                              "include/linux/module_symbol.h"};
  static constexpr std::string_view unread[] = {"Documentation/", "tools/testing/", "MAINTAINERS"};
  const auto name = file.substr(file.find_last_of('/') + 1);
  if (name.starts_with("Makefile") || name.starts_with("Kbuild") || name.starts_with("Kconfig")) {
    return true;
  }
  if (below(file, unread)) return false;
  return !is_code(file) || !below(file, target) || below(file, host);
}

bool may_be_compiled(std::string_view file) {
  static constexpr std::string_view kvm[] = {"arch/x86/kvm/", "virt/"};
  static constexpr std::string_view others[] = {"drivers/", "net/",     "sound/",        "fs/",
                                                "tools/",   "samples/", "Documentation/"};
  if (below(file, kvm)) return is_code(file) || decides_build(file);
  if (file.starts_with("arch/") && !file.starts_with("arch/x86/")) return false;
  return file.ends_with(".h") && !below(file, others);
}

std::vector<std::string> files_of_diff(const std::string& diff) {
  std::vector<std::string> names;
  const auto files = kernels::parse_patch(diff);
  if (!files) return names;
  for (const auto& file : *files) {
    for (const auto& name : {file.from, file.to}) {
      if (!name.empty() && std::ranges::find(names, name) == names.end()) names.push_back(name);
    }
  }
  return names;
}

Result<PatchStack> PatchStack::open(const kernels::Cache& cache, const kernels::Tree& tree,
                                    bool guarded, const kernels::Progress& progress) {
  const auto purpose = guarded ? fmt::format("guarded-{}", getpid()) : std::string("review");
  auto overlay = kernels::MutantTree::open(cache, tree, progress, purpose);
  if (!overlay) return tl::unexpected(overlay.error());
  auto source = overlay->hold_files({});
  if (!source) return tl::unexpected(source.error());
  source->untrusted = guarded;
  return PatchStack(cache, tree, *std::move(overlay), *std::move(source), guarded);
}

Result<void> PatchStack::hold() {
  auto source = overlay_.hold_files(state_);
  if (!source) return tl::unexpected(source.error());
  source_ = *std::move(source);
  source_.untrusted = guarded_;
  return {};
}

/// The overlay has what a build reads: patches touch documents and tests too.
Result<void> PatchStack::fetch_missing(const std::string& diff) {
  std::error_code error;
  bool any = false;
  for (const auto& name : files_of_diff(diff)) {
    if (state_.contains(name) || fs::exists(overlay_.path() / name, error)) continue;
    if (!fs::is_regular_file(tree_.path / name, error)) continue;
    auto text = kernels::read_file(tree_.path / name);
    if (!text) return tl::unexpected(text.error());
    state_[name] = *std::move(text);
    any = true;
  }
  return any ? hold() : Result<void>{};
}

Result<AppliedStep> PatchStack::push(const SubmittedPatch& patch) {
  AppliedStep step;
  step.notes = patch.notes;
  auto diff = patch.diff;
  if (diff.empty()) {
    auto repaired = repair(patch.damaged, overlay_.path());
    step.notes.push_back(fmt::format("the diff is damaged: {}", patch.damage));
    step.notes.push_back(
        fmt::format("repaired by the tree: {} of {} hunks placed, compared without blanks; the "
                    "indentation of added lines is a guess",
                    repaired.placed, repaired.hunks));
    step.notes.insert(step.notes.end(), repaired.notes.begin(), repaired.notes.end());
    step.lost = repaired.failures;
    step.repaired = repaired.diff;
    diff = repaired.diff;
    if (!repaired.failures.empty() || diff.empty()) {
      step.why = fmt::format("the patch came damaged, and not every hunk could be repaired:\n{}",
                             fmt::join(repaired.failures, "\n"));
      return step;
    }
  }
  for (const auto& name : files_of_diff(diff)) {
    // Of a diff that had to be repaired nobody knew it when the stack was opened.
    if (guarded_ || !decides_build(name)) continue;
    step.why = fmt::format(
        "{} decides what a build runs, and the patch came damaged: send the repaired patch", name);
    return step;
  }
  if (auto fetched = fetch_missing(diff); !fetched) return tl::unexpected(fetched.error());
  auto beside = tree_;
  beside.path = overlay_.path();
  const kernels::Scratch scratch(cache_.overlay(fmt::format("review-{}", getpid())));
  const auto applied = kernels::apply_patch(beside, diff, scratch.path());
  if (!applied) {
    if (applied.error().cause == kernels::KernelError::Cause::machine) {
      return tl::unexpected(applied.error());
    }
    step.why = applied.error().message;
    return step;
  }
  step.notes.insert(step.notes.end(), applied->notes.begin(), applied->notes.end());
  auto names = applied->written;
  names.insert(names.end(), applied->removed.begin(), applied->removed.end());
  std::ranges::sort(names);
  for (const auto& name : names) {
    auto changed = kernels::difference(overlay_.path() / name, scratch.path() / name, name);
    if (!changed) return tl::unexpected(changed.error());
    step.diff += *changed;
    std::error_code error;
    if (fs::exists(scratch.path() / name, error)) {
      auto text = kernels::read_file(scratch.path() / name);
      if (!text) return tl::unexpected(text.error());
      state_[name] = *std::move(text);
    } else {
      state_[name] = std::nullopt;
    }
  }
  step.lines = kernels::changed_lines(step.diff);
  step.applies = true;
  if (auto held = hold(); !held) return tl::unexpected(held.error());
  return step;
}

std::string PatchStack::state_key() const {
  std::string all;
  for (const auto& [name, text] : state_) all += name + "\n" + text.value_or("(none)") + "\n";
  return kernels::content_key(all);
}

void PatchStack::close() {
  if (!guarded_) return;
  std::error_code error;
  const auto name = overlay_.path().filename().string();
  for (const auto& folder : {cache_.root() / "build", cache_.images()}) {
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      if (entry.path().filename().string().starts_with(name + "-"))
        fs::remove_all(entry.path(), error);
    }
  }
  for (const char* const suffix : {"", ".own", ".lock"}) {
    fs::remove_all(overlay_.path().string() + suffix, error);
  }
}

}  // namespace lockstep::jobs::review
