// SPDX-License-Identifier: GPL-2.0-or-later
/// The `impl` engine: what stands inside the MMU, as the invariants read it.
#include <fmt/format.h>

#include "props/impl_engine_class.h"
#include "spec/kvm/invariants.h"

namespace lockstep::props::impl_engine {
namespace {

using Kind = spec::ViewEntry::Kind;

/// Bit of the request in a view; its name is KVM's.
constexpr unsigned free_obsolete_roots = 0;
constexpr unsigned load_root = 1;

/// Of programs that are not too long, one in so many is checked at its end.
constexpr std::uint64_t sampled = 16;
/// ... and one in so many after each command, with what it changed.
constexpr std::uint64_t sampled_commands = 256;

spec::ViewRole view_of(const impl::Role& role, bool invalid) {
  spec::ViewRole view;
  view.word = static_cast<std::uint32_t>(role.word());
  view.level = role.level;
  view.has_4_byte_gpte = role.has_4_byte_gpte;
  view.quadrant = role.quadrant;
  view.direct = role.direct;
  view.access = role.access;
  view.invalid = invalid;
  view.efer_nx = role.efer_nx;
  view.cr0_wp = role.cr0_wp;
  view.smep = role.smep_andnot_wp;
  view.smap = role.smap_andnot_wp;
  return view;
}

spec::ViewEntry view_of(const impl::ShadowPage& page, unsigned index) {
  const std::uint64_t raw = page.spte(index);
  spec::ViewEntry view;
  view.index = index;
  view.raw = raw;
  if (raw == impl::spte::removed) {
    view.kind = Kind::frozen;
    return view;
  }
  if (impl::is_mmio_spte(raw)) {
    view.kind = Kind::mmio;
    view.gfn = impl::mmio_gfn(raw);
    view.access = impl::mmio_rights(raw);
    view.generation = impl::mmio_generation(raw);
    return view;
  }
  if (!impl::spte_present(raw)) return view;
  const bool leaf = impl::spte_leaf(raw, page.role.level);
  view.kind = leaf ? Kind::leaf : Kind::link;
  view.frame = impl::spte_frame(raw);
  view.gfn = leaf ? page.gfn_at(index) : 0;
  view.access = impl::spte_rights(raw);
  view.readable = true;
  view.writable = impl::spte_writable(raw);
  view.executable = (raw & entry::no_execute) == 0;
  view.user = (raw & entry::user) != 0;
  view.large = impl::spte_large(raw) && page.role.level > 1;
  view.host_writable = (raw & impl::spte::host_writable) != 0;
  view.mmu_writable = (raw & impl::spte::mmu_writable) != 0;
  view.accessed = (raw & entry::accessed) != 0;
  view.dirty = (raw & entry::dirty) != 0;
  return view;
}

class Builder {
 public:
  explicit Builder(impl::Vm& vm)
      : vm_(vm), held_(vm.exclusive()), mmu_(held_.mmu()), tdp_(held_.tdp()) {}

  spec::View build() {
    view_.tdp = vm_.settings().tdp;
    view_.tdp_mmu = vm_.uses_tdp_mmu();
    view_.nx_huge_pages = vm_.settings().nx_huge_pages;
    view_.logs_dirty_bits = vm_.settings().dirty_bits;
    view_.valid_generation = mmu_.valid_generation() ? 1 : 0;
    view_.slot_generations = {vm_.slots().generation()};
    masks();
    for (auto* page = mmu_.active().newest(); page != nullptr; page = page->list_next) {
      view_.active.push_back(page->frame());
      add(*page);
    }
    for (auto* page = mmu_.zapped_roots().newest(); page != nullptr; page = page->list_next) {
      add(*page);
    }
    for (auto* root = tdp_.roots().newest(); root != nullptr; root = root->list_next) {
      add_tree(*root);
    }
    for (auto* page = mmu_.nx().first(); page != nullptr; page = page->nx_next) {
      view_.recoverable.push_back(page->frame());
    }
    for (const auto& slot : vm_.slots().all()) add(*slot);
    counters();
    view_.requests[free_obsolete_roots] = "MMU_FREE_OBSOLETE_ROOTS";
    view_.requests[load_root] = "LOAD_MMU_PGD";
    return std::move(view_);
  }

  spec::ViewVcpu vcpu(unsigned id, const impl::Vcpu& vcpu) const {
    spec::ViewVcpu view;
    view.id = id;
    if (vcpu.drops_obsolete_roots()) view.requests |= 1ull << free_obsolete_roots;
    if (vcpu.loads_root()) view.requests |= 1ull << load_root;
    const auto cache = [&](const char* name, const auto& of) {
      view.caches.push_back({.name = name, .objects = of.size(), .capacity = of.capacity});
    };
    cache("mmu_shadow_page_cache", vcpu.caches().pages);
    cache("mmu_shadowed_info_cache", vcpu.caches().translations);
    cache("mmu_pte_list_desc_cache", vcpu.caches().rmaps);
    spec::ViewMmu& mmu = view.mmus[0];
    mmu.used = true;
    mmu.role = view_of(vcpu.root_role(), /*invalid=*/false);
    if (vm_.uses_tdp_mmu()) {
      if (vcpu.tdp_root()) mmu.active = {0, gfn_to_gpa(vcpu.tdp_root().page().frame())};
      return view;
    }
    const auto root = [](const impl::Roots::Whole& whole) -> std::optional<spec::ViewRoot> {
      if (!whole.root) return std::nullopt;
      return spec::ViewRoot{whole.cr3, gfn_to_gpa(whole.root.page().frame())};
    };
    const auto& whole = vcpu.roots().whole();
    mmu.active = root(whole[0]);
    for (std::size_t i = 0; i < mmu.previous.size(); ++i) mmu.previous[i] = root(whole[i + 1]);
    if (!vcpu.roots().quartered()) return view;
    std::array<std::uint64_t, 4> entries{};
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const impl::RootRef& quarter = vcpu.roots().quarters()[i];
      if (quarter) entries[i] = gfn_to_gpa(quarter.page().frame()) | 1;
    }
    mmu.pae_root = entries;
    return view;
  }

 private:
  void masks() {
    spec::ViewMasks& masks = view_.masks;
    masks.frozen = impl::spte::removed;
    masks.shadow_present = impl::spte::shadow_present;
    masks.host_writable = impl::spte::host_writable;
    masks.mmu_writable = impl::spte::mmu_writable;
    masks.accessed = entry::accessed;
    masks.dirty = entry::dirty;
    masks.present = entry::present;
    masks.user = entry::user;
    masks.no_execute = entry::no_execute;
    masks.mmio_value = masks.mmio_mask = impl::spte::mmio | entry::present;
    masks.mmio_access = impl::rights::writable | impl::rights::user;
    masks.mmio_generation = impl::mmio::generation_mask;
    masks.access_executable = impl::rights::executable;
  }

  void add(impl::ShadowPage& page) {
    spec::ViewPage view;
    view.table = page.frame();
    view.gfn = page.gfn;
    view.role = view_of(page.role, page.invalid);
    view.tdp_mmu = page.tdp_mmu;
    view.unsync = page.unsync;
    view.no_huge = page.no_huge;
    view.obsolete = page.tdp_mmu ? bool{page.invalid} : mmu_.is_obsolete(page);
    view.valid_generation = page.valid_generation ? 1 : 0;
    view.root_count = static_cast<long>(page.roots.value());
    view.unsync_children = page.unsync_children.count();
    view.write_flooding = page.write_flooding;
    page.for_each_used([&](unsigned index) {
      view.entries.push_back(view_of(page, index));
      if (view.entries.back().kind == Kind::leaf) add_host(view.entries.back(), page.role.level);
    });
    const auto parent = [&](impl::SpteRef ref) {
      view.parents.push_back({mmu_.arena().page(ref.page()).frame(), ref.entry()});
    };
    page.parents.for_each(mmu_.arena().rmaps(), parent);
    if (page.tdp_mmu && !page.parent.none()) parent(page.parent);
    if (!view_.pages.emplace(view.table, view).second) view_.same_table.push_back(view.table);
  }

  /// What the host has behind the leaf.
  void add_host(spec::ViewEntry& leaf, unsigned level) {
    const Gfn gfn = impl::level_base(leaf.gfn, level);
    impl::MemorySlot* const slot = vm_.slots().by_gfn(gfn);
    if (slot == nullptr) return;
    const Hva hva = slot->hva_of(gfn_to_gpa(gfn));
    impl::HostMemory& memory = vm_.memory();
    if (!memory.contains(hva & page_mask, page_size)) return;
    leaf.host = {
        .frame = memory.frame(hva), .writable = memory.writable(hva), .level = memory.level(hva)};
  }

  void add_tree(impl::ShadowPage& page) {
    add(page);
    page.for_each_used([&](unsigned index) {
      const std::uint64_t raw = page.spte(index);
      if (!impl::spte_present(raw) || impl::spte_leaf(raw, page.role.level)) return;
      add_tree(tdp_.child(page, index));
    });
  }

  void add(const impl::MemorySlot& slot) {
    spec::ViewSlot view;
    view.id = static_cast<int>(slot.id);
    view.gfn = slot.base;
    view.pages = slot.pages;
    view.address = slot.hva;
    view.flags = (slot.log ? 1u : 0u) | (slot.read_only ? 2u : 0u);
    view.has_dirty_bitmap = static_cast<bool>(slot.dirty);
    for (std::uint64_t i = 0; slot.dirty && i < slot.dirty_words(); ++i) {
      view.dirty.push_back(slot.dirty[i]);
    }
    view.has_rmaps = slot.has_rmaps();
    view.has_tracking = static_cast<bool>(slot.tracked);
    for (unsigned level = 1; level <= impl::leaf_levels; ++level) {
      const Gfn first = slot.base >> (9 * (level - 1));
      for (std::uint64_t i = 0; i < slot.entries(level); ++i) {
        const Gfn gfn = (first + i) << (9 * (level - 1));
        if (level > 1 && slot.no_huge[level - 2][i] != 0) {
          view.no_huge.push_back({level, gfn, slot.no_huge[level - 2][i]});
        }
        if (level == 1 && slot.tracked && slot.tracked[i] != 0) {
          view.tracked.push_back({1, gfn, slot.tracked[i]});
        }
        if (!slot.has_rmaps() || slot.rmap[level - 1][i].empty()) continue;
        spec::ViewRmap rmap{.level = level, .gfn = gfn, .places = {}};
        slot.rmap[level - 1][i].for_each(mmu_.arena().rmaps(), [&](impl::SpteRef ref) {
          rmap.places.push_back({mmu_.arena().page(ref.page()).frame(), ref.entry()});
        });
        view.rmaps.push_back(std::move(rmap));
      }
    }
    view_.slots.push_back(std::move(view));
  }

  void counters() {
    spec::ViewCounters& counters = view_.counters;
    counters.used_pages = mmu_.counter().used();
    counters.max_pages = mmu_.counter().limit();
    counters.indirect_pages = mmu_.indirect_pages();
    counters.tdp_pages = tdp_.pages();
    for (unsigned level = 1; level <= impl::leaf_levels; ++level) {
      counters.leaves[level - 1] = mmu_.leaves().at(level);
    }
    counters.nx_splits = mmu_.nx().size();
    counters.unsync_pages = mmu_.unsync_pages();
    counters.zapped = mmu_.events().pages_zapped;
    counters.recycled = mmu_.events().recycled;
    counters.flooded = mmu_.events().flooded;
    counters.pte_writes = vm_.tracked_stores();
  }

  impl::Vm& vm_;
  impl::GuardedMmu::Exclusive held_;
  impl::ShadowMmu& mmu_;
  impl::TdpMmu& tdp_;
  spec::View view_;
};

}  // namespace

spec::View ImplEngine::view() {
  Builder builder(vm());
  spec::View view = builder.build();
  for (unsigned i = 0; i < machine_->vcpus.size(); ++i) {
    if (machine_->vcpus[i]) view.vcpus.push_back(builder.vcpu(i, machine_->vcpus[i]->mmu));
  }
  return view;
}

std::string ImplEngine::broken_invariants() {
  hit(Path::invariants);
  spec::View now = view();
  auto found = spec::violations(now);
  if (before_) {
    for (auto& violation : spec::step_violations(*before_, now)) {
      found.push_back(std::move(violation));
    }
  }
  before_ = std::move(now);
  std::string text;
  for (const spec::Violation& violation : found) {
    text += (text.empty() ? "" : "; ") + spec::print(violation);
  }
  // Programs made smaller must show it too.
  using Checks = hw::hosted::InvariantChecks;
  if (!text.empty() && checks_ == Checks::sampled) {
    checks_ = check_commands_ ? Checks::every_command : Checks::every_program;
  }
  return text;
}

// The first program of an engine is always checked: it may be a replay.
bool ImplEngine::checks_commands() const {
  using Checks = hw::hosted::InvariantChecks;
  return checks_ == Checks::every_command ||
         (checks_ == Checks::sampled && programs_ % sampled_commands == 0);
}

std::string ImplEngine::judge_invariants() {
  using Checks = hw::hosted::InvariantChecks;
  if (checks_ == Checks::off) return {};
  const bool turn = programs_++ % sampled == 0 && commands_ <= longest_checked;
  if (checks_ == Checks::sampled && !turn) return {};
  return broken_invariants();
}

}  // namespace lockstep::props::impl_engine
