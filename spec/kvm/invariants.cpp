// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/kvm/invariants.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "spec/kvm/invariant_checks.h"

namespace lockstep::spec {
namespace checks {

void caches_bounded(const View& view, Complaints& complaints) {
  for (const ViewCache& cache : view.caches) {
    if (cache.objects <= cache.capacity) continue;
    complaints.add(fmt::format("{} holds {} objects and has room for {}", cache.name, cache.objects,
                               cache.capacity));
  }
  for (const ViewVcpu& vcpu : view.vcpus) {
    for (const ViewCache& cache : vcpu.caches) {
      if (cache.objects <= cache.capacity) continue;
      complaints.add(fmt::format("{} of vCPU {} holds {} objects and has room for {}", cache.name,
                                 vcpu.id, cache.objects, cache.capacity));
    }
  }
}

void pages_summed(const View& view, Complaints& complaints) {
  const ViewCounters& counters = view.counters;
  // A view is of one VM, and an image has no other.
  if (counters.used_pages_everywhere && *counters.used_pages_everywhere != counters.used_pages) {
    complaints.add(fmt::format("the shrinker counts {} shadow pages, the VM {}",
                               *counters.used_pages_everywhere, counters.used_pages));
  }
}

void pages_counted(const View& view, Complaints& complaints) {
  const auto live = static_cast<std::uint64_t>(
      std::ranges::count_if(view.pages, [](const auto& page) { return !page.second.tdp_mmu; }));
  if (live != view.counters.used_pages) {
    complaints.add(fmt::format("n_used_mmu_pages is {}, {} shadow pages are alive",
                               view.counters.used_pages, live));
  }
}

void huge_splits_counted(const View& view, Complaints& complaints) {
  for (const auto& [table, page] : view.pages) {
    // Zapped with the next request; the mitigation may have come later.
    if (!view.nx_huge_pages || page.obsolete) continue;
    for (const ViewEntry& entry : page.entries) {
      if (entry.kind == ViewEntry::Kind::leaf && page.role.level > 1 && entry.executable) {
        complaints.add(fmt::format("huge leaf at {} is executable under kvm.nx_huge_pages",
                                   checks::print({table, entry.index})));
      }
    }
  }
  if (view.recoverable.size() != view.counters.nx_splits) {
    complaints.add(fmt::format("nx_lpage_splits is {}, the list has {} pages",
                               view.counters.nx_splits, view.recoverable.size()));
  }
  for (const Hfn table : view.recoverable) {
    const auto page = view.pages.find(table);
    if (page == view.pages.end()) {
      complaints.add(fmt::format("NX recovery may zap {:#x}, which is no shadow page", table));
    } else if (!page->second.no_huge) {
      complaints.add(fmt::format("NX recovery may zap {:#x}, which forbids no huge page", table));
    }
  }
}

void leaves_counted(const View& view, Complaints& complaints) {
  std::array<std::uint64_t, 3> leaves{};
  for (const auto& [table, page] : view.pages) {
    for (const ViewEntry& entry : page.entries) {
      if (entry.kind != ViewEntry::Kind::leaf) continue;
      if (page.role.level == 0 || page.role.level > leaves.size()) {
        complaints.add(fmt::format("leaf at {}, level {}", checks::print({table, entry.index}),
                                   page.role.level));
      } else {
        ++leaves[page.role.level - 1];
      }
    }
  }
  constexpr std::array<std::string_view, 3> names = {"pages_4k", "pages_2m", "pages_1g"};
  for (std::size_t size = 0; size < leaves.size(); ++size) {
    if (leaves[size] == view.counters.leaves[size]) continue;
    complaints.add(fmt::format("{} is {}, {} leaves are present", names[size],
                               view.counters.leaves[size], leaves[size]));
  }
}

}  // namespace checks

void Complaints::add(std::string text) {
  if (found_.size() == most) {
    ++more_;
  } else {
    found_.push_back({invariant_, std::move(text)});
  }
}

std::vector<Violation> Complaints::take() {
  if (more_ != 0) found_.back().text += fmt::format("; and {} more", more_);
  return std::move(found_);
}

std::vector<Violation> violations(const View& view) {
  std::vector<Violation> all;
  for (const Invariant& invariant : invariants()) {
    if (invariant.check == nullptr) continue;
    Complaints complaints(invariant.number);
    invariant.check(view, complaints);
    for (Violation& violation : complaints.take()) all.push_back(std::move(violation));
  }
  return all;
}

std::vector<Violation> step_violations(const View& before, const View& after) {
  std::vector<Violation> all;
  for (const Invariant& invariant : invariants()) {
    if (invariant.check_step == nullptr) continue;
    Complaints complaints(invariant.number);
    invariant.check_step(before, after, complaints);
    for (Violation& violation : complaints.take()) all.push_back(std::move(violation));
  }
  return all;
}

std::string print(const Violation& violation) {
  return fmt::format("invariant {}: {}", violation.invariant, violation.text);
}

}  // namespace lockstep::spec
