// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <tuple>

#include "hw/hosted/boundary_view.h"

namespace lockstep::hw::hosted {
namespace {

using spec::View;

/// Pages come before their parents: the last one is remembered.
struct Taker {
  View view;
  spec::ViewPage* page = nullptr;
};
Taker& taker_of(void* context) { return *static_cast<Taker*>(context); }
View& view_of(void* context) { return taker_of(context).view; }

std::optional<std::uint64_t> known(std::uint64_t number) {
  if (number == HOSTED_VIEW_UNKNOWN) return std::nullopt;
  return number;
}

spec::ViewRole role_of(const hosted_view_role& from) {
  return {.word = from.word,
          .level = from.level,
          .has_4_byte_gpte = from.has_4_byte_gpte != 0,
          .quadrant = from.quadrant,
          .direct = from.direct != 0,
          .access = from.access,
          .invalid = from.invalid != 0,
          .efer_nx = from.efer_nx != 0,
          .cr0_wp = from.cr0_wp != 0,
          .smep = from.smep != 0,
          .smap = from.smap != 0,
          .ad_disabled = from.ad_disabled != 0,
          .guest_mode = from.guest_mode != 0,
          .passthrough = from.passthrough != 0,
          .is_mirror = from.is_mirror != 0,
          .smm = from.smm};
}

spec::ViewMasks masks_of(const hosted_view_masks& from) {
  return {.nonpresent = from.nonpresent,
          .frozen = from.frozen,
          .shadow_present = from.shadow_present,
          .host_writable = from.host_writable,
          .mmu_writable = from.mmu_writable,
          .accessed = from.accessed,
          .dirty = from.dirty,
          .present = from.present,
          .user = from.user,
          .executable = from.executable,
          .no_execute = from.no_execute,
          .access_track = from.access_track,
          .mmio_value = from.mmio_value,
          .mmio_mask = from.mmio_mask,
          .mmio_access = from.mmio_access,
          .mmio_generation = from.mmio_generation,
          .access_writable = from.access_writable,
          .access_user = from.access_user,
          .access_executable = from.access_executable,
          .encryption = from.encryption,
          .nonpresent_or_reserved = from.nonpresent_or_reserved,
          .lower_gfn = from.lower_gfn};
}

void on_vm(void* context, const hosted_view_vm* vm) {
  View& view = view_of(context);
  view.tdp = vm->tdp != 0;
  view.tdp_mmu = vm->tdp_mmu != 0;
  // Page-modification logs are emptied at each exit (vmx_flush_pml_buffer()).
  view.logs_dirty_bits = view.logs_at_once = vm->logs_dirty_bits != 0;
  view.valid_generation = vm->valid_generation;
  view.masks = masks_of(vm->masks);
  view.counters = {.used_pages = vm->used_pages,
                   .used_pages_everywhere = known(vm->used_pages_everywhere),
                   .max_pages = vm->max_pages,
                   .requested_pages = vm->requested_pages,
                   .indirect_pages = vm->indirect_pages,
                   .tdp_pages = known(vm->tdp_pages),
                   .leaves = {vm->leaves[0], vm->leaves[1], vm->leaves[2]},
                   .nx_splits = vm->nx_splits,
                   .unsync_pages = vm->unsync_pages,
                   .zapped = vm->zapped,
                   .recycled = vm->recycled,
                   .flooded = vm->flooded,
                   .pte_writes = vm->pte_writes,
                   .cache_misses = vm->cache_misses,
                   .longest_rmap = vm->longest_rmap,
                   .invalidations = vm->invalidations,
                   .invalidating = vm->invalidating};
  for (unsigned space = 0; space < vm->address_spaces && space < 2; ++space) {
    view.slot_generations.push_back(vm->slot_generations[space]);
  }
  view.locks_held = vm->locks_held;
  for (unsigned bit = 0; bit < 64; ++bit) {
    if (vm->request_names[bit] != nullptr) view.requests.emplace(bit, vm->request_names[bit]);
  }
}

void on_slot(void* context, const hosted_view_slot* from) {
  spec::ViewSlot slot;
  slot.address_space = from->address_space;
  slot.id = from->id;
  slot.gfn = from->gfn;
  slot.pages = from->pages;
  slot.address = from->address;
  slot.flags = from->flags;
  slot.has_dirty_bitmap = from->dirty != nullptr;
  if (slot.has_dirty_bitmap) slot.dirty.assign(from->dirty, from->dirty + (from->pages + 63) / 64);
  slot.has_rmaps = from->rmaps != 0;
  slot.has_tracking = from->tracking != 0;
  view_of(context).slots.push_back(std::move(slot));
}

void on_metadata(void* context, unsigned kind, unsigned level, hosted_u64 gfn, int number) {
  spec::ViewSlot& slot = view_of(context).slots.back();
  auto& numbers = kind == HOSTED_VIEW_TRACKED ? slot.tracked : slot.no_huge;
  numbers.push_back({.level = level, .gfn = gfn, .number = number});
}

void on_rmap(void* context, unsigned level, hosted_u64 gfn, const hosted_view_place* place) {
  auto& rmaps = view_of(context).slots.back().rmaps;
  if (rmaps.empty() || rmaps.back().level != level || rmaps.back().gfn != gfn) {
    rmaps.push_back({.level = level, .gfn = gfn, .places = {}});
  }
  rmaps.back().places.push_back({.table = place->table, .index = place->index});
}

spec::ViewEntry entry_of(const hosted_view_entry& from) {
  const auto has = [&](unsigned bit) { return (from.bits & bit) != 0; };
  return {.index = from.index,
          .kind = static_cast<spec::ViewEntry::Kind>(from.kind),
          .raw = from.raw,
          .frame = from.frame,
          .gfn = from.gfn,
          .access = from.access,
          .generation = from.generation,
          .readable = has(HOSTED_VIEW_READABLE),
          .writable = has(HOSTED_VIEW_WRITABLE),
          .executable = has(HOSTED_VIEW_EXECUTABLE),
          .user = has(HOSTED_VIEW_USER),
          .large = has(HOSTED_VIEW_LARGE),
          .host_writable = has(HOSTED_VIEW_HOST_WRITABLE),
          .mmu_writable = has(HOSTED_VIEW_MMU_WRITABLE),
          .accessed = has(HOSTED_VIEW_ACCESSED),
          .dirty = has(HOSTED_VIEW_DIRTY)};
}
static_assert(static_cast<unsigned>(spec::ViewEntry::Kind::frozen) == HOSTED_VIEW_FROZEN &&
              static_cast<unsigned>(spec::ViewEntry::Kind::leaf) == HOSTED_VIEW_LEAF);

void on_page(void* context, const hosted_view_page* from) {
  Taker& taker = taker_of(context);
  const auto [at, fresh] = taker.view.pages.try_emplace(from->table);
  if (!fresh) taker.view.same_table.push_back(from->table);
  spec::ViewPage& page = at->second;
  page = {.table = from->table,
          .gfn = from->gfn,
          .role = role_of(from->role),
          .tdp_mmu = from->tdp_mmu != 0,
          .unsync = from->unsync != 0,
          .no_huge = from->no_huge != 0,
          .obsolete = from->obsolete != 0,
          .valid_generation = from->valid_generation,
          .root_count = from->root_count,
          .unsync_children = from->unsync_children,
          .unsync_child_bitmap = {},
          .write_flooding = from->write_flooding,
          .entries = {},
          .parents = {}};
  if (from->unsync_child_bitmap != nullptr) {
    auto& bits = page.unsync_child_bitmap.emplace();
    std::copy_n(from->unsync_child_bitmap, bits.size(), bits.begin());
  }
  page.entries.reserve(from->entry_count);
  for (unsigned i = 0; i < from->entry_count; ++i) {
    page.entries.push_back(entry_of(from->entries[i]));
  }
  taker.page = &page;
}

std::optional<spec::ViewRoot> root_of(const hosted_view_root& from) {
  if (from.root == ~0ull) return std::nullopt;
  return spec::ViewRoot{.guest_root = from.guest_root, .root = from.root};
}

void on_vcpu(void* context, const hosted_view_vcpu* from) {
  spec::ViewVcpu vcpu;
  vcpu.id = from->id;
  vcpu.requests = from->requests;
  vcpu.flushes = from->flushes != 0;
  for (std::size_t i = 0; i < vcpu.mmus.size(); ++i) {
    const hosted_view_mmu& mmu = from->mmus[i];
    spec::ViewMmu& to = vcpu.mmus[i];
    to.active = root_of(mmu.active);
    for (std::size_t j = 0; j < to.previous.size(); ++j) to.previous[j] = root_of(mmu.previous[j]);
    to.role = role_of(mmu.role);
    to.cpu_role_extension = mmu.cpu_role_extension;
    to.used = mmu.used != 0;
    if (mmu.paired == 0) continue;
    std::ranges::copy(mmu.pae_root, to.pae_root.emplace().begin());
  }
  view_of(context).vcpus.push_back(vcpu);
}

}  // namespace

Result<View> take_view(Session& session, int vm_file) {
  Taker taker;
  hosted_view_sink sink{};
  sink.context = &taker;
  sink.vm = on_vm;
  sink.slot = on_slot;
  sink.metadata = on_metadata;
  sink.rmap = on_rmap;
  sink.page = on_page;
  sink.parent = [](void* context, const hosted_view_place* place) {
    taker_of(context).page->parents.push_back({.table = place->table, .index = place->index});
  };
  sink.active = [](void* context, hosted_u64 table) { view_of(context).active.push_back(table); };
  sink.recoverable = [](void* context, hosted_u64 table) {
    view_of(context).recoverable.push_back(table);
  };
  sink.vcpu = on_vcpu;
  sink.cache = [](void* context, const char* name, hosted_u64 objects, hosted_u64 capacity) {
    View& view = view_of(context);
    auto& caches = view.vcpus.empty() ? view.caches : view.vcpus.back().caches;
    caches.push_back({.name = name, .objects = objects, .capacity = capacity});
  };
  sink.lock = [](void* context, const char* name, int shared) {
    view_of(context).locks.push_back({.name = name, .shared = shared != 0});
  };
  const auto taken =
      session.host().enter([&] { return long{session.image().boundary().view(vm_file, &sink)}; });
  if (!taken) return tl::unexpected(EngineError{"view: " + session.findings()});
  if (*taken == -EPROTO) {
    return tl::unexpected(EngineError{"view: a list of entries ends before its count"});
  }
  if (*taken != 0) {
    return tl::unexpected(
        EngineError{fmt::format("view: {}", std::strerror(static_cast<int>(-*taken)))});
  }
  std::ranges::sort(taker.view.slots, {}, [](const spec::ViewSlot& slot) {
    return std::tuple(slot.address_space, slot.gfn);
  });
  return std::move(taker.view);
}

}  // namespace lockstep::hw::hosted
