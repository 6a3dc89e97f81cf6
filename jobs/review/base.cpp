// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/base.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "hw/kernels/checkout.h"

namespace lockstep::jobs::review {
namespace {

namespace kernels = hw::kernels;

/// Commits between a base and where a checkout stands; a series has fewer prerequisites.
constexpr std::size_t most_commits = 2000;

std::string brief(const std::string& hash) { return hash.substr(0, 12); }

}  // namespace

kernels::Result<Base> base_of(const kernels::Cache& cache, const kernels::Tree& tree,
                              const Submission& submission, const kernels::Progress& progress) {
  Base base{tree, {}};
  const auto& named = submission.base_commit;
  if (named.empty()) return base;
  const auto checkout = kernels::Checkout::at(tree.path);
  if (!checkout) {
    base.notes.push_back(fmt::format(
        "base-commit {} is not looked at: the kernel is no git checkout (--kernel PATH)",
        brief(named)));
    return base;
  }
  const auto head = checkout->commit("HEAD");
  const auto commit = checkout->commit(named);
  if (!commit || !head) {
    base.notes.push_back(
        fmt::format("base-commit {} is not in the checkout: applied to what is "
                    "checked out",
                    brief(named)));
    return base;
  }
  if (*commit == *head) {
    base.notes.push_back(fmt::format("base-commit {} is checked out", brief(*commit)));
    return base;
  }
  auto lacks = submission.prerequisites;
  if (!lacks.empty()) {
    const auto there = checkout->patch_ids(*commit, *head, most_commits);
    if (!there) return tl::unexpected(there.error());
    const std::set<std::string> ids(there->begin(), there->end());
    std::erase_if(lacks, [&](const std::string& id) { return ids.contains(id); });
    if (lacks.empty()) {
      base.notes.push_back(fmt::format(
          "base-commit {} is not checked out ({} is), but the {} prerequisite patches are among "
          "the commits after it: applied there",
          brief(*commit), brief(*head), submission.prerequisites.size()));
      return base;
    }
    base.notes.push_back(fmt::format("prerequisite patches that are not here, by patch-id: {}",
                                     fmt::join(lacks, ", ")));
  }
  auto old = checkout->tree_of(cache, *commit, progress);
  if (!old) return tl::unexpected(old.error());
  base.tree = *std::move(old);
  base.notes.push_back(
      fmt::format("on base-commit {}, though {} is checked out", brief(*commit), brief(*head)));
  return base;
}

}  // namespace lockstep::jobs::review
