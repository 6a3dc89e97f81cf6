// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <set>
#include <tuple>

#include "spec/kvm/invariant_checks.h"

namespace lockstep::spec::checks {
namespace {

using Kind = ViewEntry::Kind;

/// Every bit of the role but those that kvm_mmu_child_role() sets for a child.
auto inherited(const ViewRole& role) {
  return std::tuple(role.has_4_byte_gpte, role.efer_nx, role.cr0_wp, role.smep, role.smap,
                    role.ad_disabled, role.guest_mode, role.is_mirror, role.smm);
}

/// What is wrong with the child, or nothing.
std::string misfit(const ViewPage& parent, const ViewEntry& link, const ViewPage& child) {
  if (child.role.level + 1 != parent.role.level) {
    return fmt::format("has level {} below {}", child.role.level, parent.role.level);
  }
  if (child.tdp_mmu != parent.tdp_mmu) return "belongs to the other MMU";
  if (inherited(child.role) != inherited(parent.role)) {
    return fmt::format("has role {:#x} below {:#x}", child.role.word, parent.role.word);
  }
  if (child.role.has_4_byte_gpte && child.role.quadrant != (link.index & 1)) {
    return fmt::format("has quadrant {}", child.role.quadrant);
  }
  if (parent.role.direct && !parent.role.passthrough && !child.role.direct) {
    return "shadows a table below one that does not";
  }
  if (child.role.direct && (child.gfn & ((1ull << level_shift(parent.role.level)) - 1)) != 0) {
    return fmt::format("maps from gfn {:#x}, which is not aligned", child.gfn);
  }
  if (parent.role.direct && !parent.role.passthrough) {
    const Gfn wanted = parent.gfn + (std::uint64_t{link.index} << level_shift(parent.role.level));
    if (child.gfn != wanted) {
      return fmt::format("maps from gfn {:#x}, not {:#x}", child.gfn, wanted);
    }
  }
  // With CR0.WP clear, a direct page may have write access that its path lacks.
  if (!child.role.direct && (child.role.access & ~parent.role.access) != 0) {
    return fmt::format("has access {:#x} below {:#x}", child.role.access, parent.role.access);
  }
  return {};
}

}  // namespace

std::string print(const ViewPlace& place) {
  return fmt::format("{:#x}[{}]", place.table, place.index);
}

const ViewEntry* find_entry(const View& view, const ViewPlace& place) {
  const auto page = view.pages.find(place.table);
  if (page == view.pages.end()) return nullptr;
  const auto& entries = page->second.entries;
  const auto entry = std::ranges::lower_bound(entries, place.index, {}, &ViewEntry::index);
  return entry != entries.end() && entry->index == place.index ? &*entry : nullptr;
}

bool shadows_table(const ViewPage& page) { return !page.role.direct && !page.role.passthrough; }

void one_page_a_role(const View& view, Complaints& complaints) {
  std::map<std::tuple<bool, Gfn, std::uint32_t>, Hfn> seen;
  for (const auto& [table, page] : view.pages) {
    // The TDP MMU keeps its roots unique, and its other pages in their tree.
    if (page.obsolete || (page.tdp_mmu && !page.parents.empty())) continue;
    const auto [other, fresh] =
        seen.emplace(std::tuple(page.tdp_mmu, page.gfn, page.role.word), table);
    if (fresh) continue;
    complaints.add(fmt::format("tables {:#x} and {:#x} both have gfn {:#x} and role {:#x}",
                               other->second, table, page.gfn, page.role.word));
  }
  for (const Hfn table : view.same_table) {
    complaints.add(fmt::format("two pages have table {:#x}", table));
  }
}

void children_fit(const View& view, Complaints& complaints) {
  for (const auto& [table, page] : view.pages) {
    for (const ViewEntry& entry : page.entries) {
      if (entry.kind != Kind::link) continue;
      const auto child = view.pages.find(entry.frame);
      const std::string place = print(ViewPlace{table, entry.index});
      if (child == view.pages.end()) {
        complaints.add(
            fmt::format("{} links to {:#x}, which is no shadow page", place, entry.frame));
      } else if (const std::string wrong = misfit(page, entry, child->second); !wrong.empty()) {
        complaints.add(fmt::format("{} links to {:#x}, which {}", place, entry.frame, wrong));
      }
    }
  }
}

void unsync_pages_counted(const View& view, Complaints& complaints) {
  std::uint64_t unsync = 0;
  for (const auto& [table, page] : view.pages) {
    if (page.unsync_child_bitmap) {
      unsigned marked = 0;
      for (const std::uint64_t word : *page.unsync_child_bitmap) {
        marked += static_cast<unsigned>(std::popcount(word));
      }
      if (marked != page.unsync_children) {
        complaints.add(fmt::format("table {:#x} counts {} unsync children, and marks {}", table,
                                   page.unsync_children, marked));
      }
    }
    if (!page.unsync) continue;
    ++unsync;
    if (page.role.level != 1 || !shadows_table(page)) {
      complaints.add(fmt::format("table {:#x} is unsync, level {}, direct {}", table,
                                 page.role.level, page.role.direct));
    }
  }
  if (unsync != view.counters.unsync_pages) {
    complaints.add(
        fmt::format("mmu_unsync is {}, {} pages are", view.counters.unsync_pages, unsync));
  }
  // Whoever synchronizes comes from above, and follows these counts.
  std::vector<const ViewPage*> below;
  std::set<Hfn> seen;
  for (const auto& [table, page] : view.pages) {
    if (page.unsync && !page.role.invalid) below.push_back(&page);
  }
  while (!below.empty()) {
    const ViewPage& page = *below.back();
    below.pop_back();
    for (const ViewPlace& place : page.parents) {
      const auto parent = view.pages.find(place.table);
      if (parent == view.pages.end() || !seen.insert(place.table).second) continue;
      if (parent->second.unsync_children == 0) {
        complaints.add(fmt::format("table {:#x} has no unsync child, and {:#x} below it is or has",
                                   place.table, page.table));
      } else if (const auto& bits = parent->second.unsync_child_bitmap;
                 bits && ((*bits)[place.index / 64] >> (place.index % 64) & 1u) == 0) {
        complaints.add(fmt::format("{} is not marked, and {:#x} below it is unsync or has such",
                                   print(place), page.table));
      }
      below.push_back(&parent->second);
    }
  }
}

void active_pages_valid(const View& view, Complaints& complaints) {
  std::set<Hfn> active;
  for (const Hfn table : view.active) {
    const auto page = view.pages.find(table);
    if (!active.insert(table).second) {
      complaints.add(fmt::format("table {:#x} is active twice", table));
    } else if (page == view.pages.end() || page->second.tdp_mmu) {
      complaints.add(fmt::format("active table {:#x} is not in the hash", table));
    } else if (page->second.role.invalid) {
      complaints.add(fmt::format("invalid table {:#x} is active", table));
    }
  }
  for (const auto& [table, page] : view.pages) {
    if (!page.tdp_mmu && !page.role.invalid && !active.contains(table)) {
      complaints.add(fmt::format("valid table {:#x} is not active", table));
    }
    for (const ViewEntry& entry : page.entries) {
      const auto child = entry.kind == Kind::link ? view.pages.find(entry.frame) : view.pages.end();
      if (child == view.pages.end()) continue;
      if (child->second.role.invalid || (child->second.obsolete && !page.obsolete)) {
        complaints.add(fmt::format("{} links to {:#x}, which is {}",
                                   print(ViewPlace{table, entry.index}), entry.frame,
                                   child->second.role.invalid ? "invalid" : "obsolete"));
      }
    }
  }
}

void active_pages_sorted(const View& view, Complaints& complaints) {
  std::optional<Hfn> old;
  for (const Hfn table : view.active) {
    const auto page = view.pages.find(table);
    if (page == view.pages.end()) continue;
    const bool current = page->second.valid_generation == view.valid_generation;
    if (!current) old = old.value_or(table);
    if (!current || !old) continue;
    complaints.add(
        fmt::format("table {:#x} of this generation is behind {:#x} of an older one", table, *old));
  }
}

void roots_fit(const View& view, Complaints& complaints) {
  for (const ViewVcpu& vcpu : view.vcpus) {
    // Another root is loaded before the guest is entered.
    const bool asked = std::ranges::any_of(view.requests, [&](const auto& request) {
      const auto& [bit, name] = request;
      return ((vcpu.requests >> bit) & 1u) != 0 && name.ends_with("LOAD_MMU_PGD");
    });
    for (const ViewMmu& mmu : vcpu.mmus) {
      // Of a quartered root the quarters are pages, and they have roles of their own.
      if (asked || !mmu.used || !mmu.active || mmu.pae_root) continue;
      const auto page = view.pages.find(mmu.active->root >> page_shift);
      if (page == view.pages.end() || page->second.obsolete) continue;
      ViewRole have = page->second.role;
      have.invalid = mmu.role.invalid;
      if (have == mmu.role) continue;
      complaints.add(
          fmt::format("vCPU {} runs on root {:#x} of role {:#x}; its registers ask for {:#x}",
                      vcpu.id, page->first, have.word, mmu.role.word));
    }
  }
}

void parents_exact(const View& view, Complaints& complaints) {
  std::set<std::pair<Hfn, ViewPlace>> links;
  for (const auto& [table, page] : view.pages) {
    for (const ViewEntry& entry : page.entries) {
      if (entry.kind == Kind::link) links.emplace(entry.frame, ViewPlace{table, entry.index});
    }
  }
  for (const auto& [table, page] : view.pages) {
    for (const ViewPlace& place : page.parents) {
      if (links.erase({table, place}) != 0) continue;
      complaints.add(fmt::format("table {:#x} has parent {}, which does not link to it, or twice",
                                 table, print(place)));
    }
  }
  for (const auto& [table, place] : links) {
    complaints.add(fmt::format("{} links to {:#x}, which does not know", print(place), table));
  }
}

void roots_counted(const View& view, Complaints& complaints) {
  std::map<Hfn, long> uses;
  for (const ViewVcpu& vcpu : view.vcpus) {
    for (const ViewMmu& mmu : vcpu.mmus) {
      if (mmu.pae_root) {
        for (const std::uint64_t root : *mmu.pae_root) {
          if ((root & 1) != 0) ++uses[(root & 0xf'ffff'ffff'f000) >> page_shift];
        }
      } else if (mmu.active) {
        ++uses[mmu.active->root >> page_shift];
      }
      for (const auto& previous : mmu.previous) {
        if (previous) ++uses[previous->root >> page_shift];
      }
    }
  }
  for (const auto& [table, page] : view.pages) {
    const auto use = uses.find(table);
    const long wanted = use == uses.end() ? 0 : use->second;
    // Who else holds a root of the TDP MMU differs between kernels.
    if (page.tdp_mmu ? page.root_count < wanted : page.root_count != wanted) {
      complaints.add(fmt::format("root_count of table {:#x} is {}, {} vCPU roots name it", table,
                                 page.root_count, wanted));
    }
    if (!page.tdp_mmu && page.role.invalid && page.root_count == 0) {
      complaints.add(fmt::format("invalid table {:#x} is no root and not freed", table));
    }
  }
}

void no_obsolete_roots(const View& view, Complaints& complaints) {
  for (const ViewVcpu& vcpu : view.vcpus) {
    // The vCPU drops them before it enters its guest again.
    const bool asked = std::ranges::any_of(view.requests, [&](const auto& request) {
      const auto& [bit, name] = request;
      return ((vcpu.requests >> bit) & 1u) != 0 &&
             (name.ends_with("FREE_OBSOLETE_ROOTS") || name.ends_with("MMU_RELOAD"));
    });
    if (asked) continue;
    for (const ViewMmu& mmu : vcpu.mmus) {
      const auto check = [&](const std::optional<ViewRoot>& root, std::string_view which) {
        if (!root) return;
        const auto page = view.pages.find(root->root >> page_shift);
        if (page == view.pages.end() || !page->second.obsolete) return;
        complaints.add(fmt::format("vCPU {} keeps the obsolete {} root {:#x} without a request",
                                   vcpu.id, which, page->first));
      };
      check(mmu.active, "active");
      for (const auto& previous : mmu.previous) check(previous, "previous");
    }
  }
}

}  // namespace lockstep::spec::checks
