// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/kvm/view.h"

#include <fmt/format.h>

#include <iterator>

namespace lockstep::spec {
namespace {

using Kind = ViewEntry::Kind;

class Printer {
 public:
  std::string text() && { return fmt::to_string(text_); }

  void vm(const View& view) {
    const ViewCounters& c = view.counters;
    add("view: {}{}, generation {}, locks held {}\n", view.tdp ? "tdp" : "shadow",
        view.tdp_mmu ? ", TDP MMU" : "", view.valid_generation, view.locks_held);
    for (const ViewLock& lock : view.locks) {
      add("  holds {}{}\n", lock.name, lock.shared ? ", shared" : "");
    }
    add("  pages: used {} of {}", c.used_pages, c.max_pages);
    if (c.used_pages_everywhere) add(", of every VM {}", *c.used_pages_everywhere);
    if (c.requested_pages != 0) add(", requested {}", c.requested_pages);
    add(", indirect {}, unsync {}", c.indirect_pages, c.unsync_pages);
    if (c.tdp_pages) add(", TDP MMU {}", *c.tdp_pages);
    add("\n  leaves: 4k {}, 2m {}, 1g {}; NX splits {}, longest rmap {}\n", c.leaves[0],
        c.leaves[1], c.leaves[2], c.nx_splits, c.longest_rmap);
    add("  events: zapped {}, recycled {}, flooded {}, table writes {}, cache misses {}\n",
        c.zapped, c.recycled, c.flooded, c.pte_writes, c.cache_misses);
    add("  told by the host: {} times, {} now\n", c.invalidations, c.invalidating);
    caches(view.caches);
    add("  slot generations:");
    for (const std::uint64_t generation : view.slot_generations) add(" {:#x}", generation);
    add("\n");
    tables("active, newest first", view.active);
    tables("NX recovery may zap", view.recoverable);
    tables("claimed by two pages", view.same_table);
  }

  void slot(const ViewSlot& slot) {
    add("slot {}", slot.id);
    if (slot.address_space != 0) add(", address space {}", slot.address_space);
    add(": gfn {:#x} pages {:#x} flags {:#x}{}{}{}\n", slot.gfn, slot.pages, slot.flags,
        slot.has_dirty_bitmap ? ", dirty bitmap" : "", slot.has_rmaps ? ", rmaps" : "",
        slot.has_tracking ? ", write tracking" : "");
    for (const auto& [level, gfn, number] : slot.no_huge) {
      add("  no huge page of level {} at gfn {:#x}: {}\n", level, gfn, number);
    }
    for (const auto& [level, gfn, number] : slot.tracked) {
      add("  tracked gfn {:#x}: {}\n", gfn, number);
    }
    for (const ViewRmap& rmap : slot.rmaps) {
      add("  rmap level {} gfn {:#x}:", rmap.level, rmap.gfn);
      places(rmap.places);
    }
  }

  void vcpu(const View& view, const ViewVcpu& vcpu) {
    add("vcpu {}: requests", vcpu.id);
    for (unsigned bit = 0; bit < 64; ++bit) {
      if ((vcpu.requests >> bit & 1) == 0) continue;
      const auto name = view.requests.find(bit);
      add(" {}", bit);
      if (name != view.requests.end()) add("={}", name->second);
    }
    add("{}{}\n", vcpu.requests == 0 ? " none" : "", vcpu.flushes ? ", flushes first" : "");
    constexpr std::array<std::string_view, 2> names = {"mmu", "nested mmu"};
    for (std::size_t i = 0; i < names.size(); ++i) mmu(names[i], vcpu.mmus[i]);
    caches(vcpu.caches);
  }

  void page(const ViewPage& page) {
    add("page {:#x}: gfn {:#x}", page.table, page.gfn);
    role(page.role);
    add(", roots {}{}{}{}{}", page.root_count, page.tdp_mmu ? ", TDP MMU" : "",
        page.obsolete ? ", obsolete" : "", page.unsync ? ", unsync" : "",
        page.no_huge ? ", no huge page" : "");
    if (!page.tdp_mmu) add(", generation {}", page.valid_generation);
    if (page.unsync_children != 0) add(", unsync children {}", page.unsync_children);
    if (page.write_flooding != 0) add(", written {} times", page.write_flooding);
    add("\n");
    if (!page.parents.empty()) {
      add("  parents:");
      places(page.parents);
    }
    if (page.unsync_children != 0 && page.unsync_child_bitmap) {
      add("  unsync below:");
      for (unsigned i = 0; i < 512; ++i) {
        if (((*page.unsync_child_bitmap)[i / 64] >> (i % 64) & 1) != 0) add(" [{}]", i);
      }
      add("\n");
    }
    for (const ViewEntry& each : page.entries) entry(each);
  }

 private:
  template <typename... Arguments>
  void add(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Arguments>(arguments)...);
  }

  void caches(const std::vector<ViewCache>& list) {
    for (const ViewCache& cache : list) {
      add("  {}: {} of {}\n", cache.name, cache.objects, cache.capacity);
    }
  }

  void tables(std::string_view what, const std::vector<Hfn>& list) {
    if (list.empty()) return;
    add("  {}:", what);
    for (const Hfn table : list) add(" {:#x}", table);
    add("\n");
  }

  void places(const std::vector<ViewPlace>& list) {
    for (const ViewPlace& place : list) add(" {:#x}[{}]", place.table, place.index);
    add("\n");
  }

  void role(const ViewRole& role) {
    add(", role {:#x}: level {}, access {:#x}", role.word, role.level, role.access);
    if (role.has_4_byte_gpte) add(", 4-byte gpte, quadrant {}", role.quadrant);
    add("{}{}{}{}{}{}{}{}{}{}", role.direct ? ", direct" : "", role.invalid ? ", invalid" : "",
        role.efer_nx ? ", efer.nx" : "", role.cr0_wp ? ", cr0.wp" : "", role.smep ? ", smep" : "",
        role.smap ? ", smap" : "", role.ad_disabled ? ", no A/D" : "",
        role.guest_mode ? ", guest mode" : "", role.passthrough ? ", passthrough" : "",
        role.is_mirror ? ", mirror" : "");
    if (role.smm != 0) add(", smm {}", role.smm);
  }

  void mmu(std::string_view name, const ViewMmu& mmu) {
    const auto root = [this](const ViewRoot& root) {
      add(" {:#x} for guest root {:#x}", root.root, root.guest_root);
    };
    bool any = mmu.active.has_value();
    for (const auto& previous : mmu.previous) any = any || previous;
    if (!any && !mmu.used) return;
    add("  {}{}:", name, mmu.used ? "" : ", not used");
    if (mmu.active) {
      root(*mmu.active);
    } else {
      add(" no root");
    }
    role(mmu.role);
    add(", of the processor {:#x}\n", mmu.cpu_role_extension);
    if (mmu.pae_root) {
      add("    pae_root:");
      for (const std::uint64_t entry : *mmu.pae_root) add(" {:#x}", entry);
      add("\n");
    }
    for (const auto& previous : mmu.previous) {
      if (!previous) continue;
      add("    cached:");
      root(*previous);
      add("\n");
    }
  }

  void entry(const ViewEntry& entry) {
    add("  [{}] {:#018x}", entry.index, entry.raw);
    switch (entry.kind) {
      case Kind::not_present:
        add(" not present\n");
        return;
      case Kind::frozen:
        add(" frozen\n");
        return;
      case Kind::mmio:
        add(" mmio gfn {:#x} access {:#x} generation {:#x}\n", entry.gfn, entry.access,
            entry.generation);
        return;
      case Kind::link:
        add(" -> {:#x}", entry.frame);
        break;
      case Kind::leaf:
        add(" {}leaf gfn {:#x} frame {:#x}", entry.large ? "large " : "", entry.gfn, entry.frame);
        break;
    }
    add(" {}{}{}{}", entry.readable ? 'r' : '-', entry.writable ? 'w' : '-',
        entry.executable ? 'x' : '-', entry.user ? 'u' : '-');
    if (entry.kind == Kind::leaf) add(" access {:#x}", entry.access);
    if (entry.host && entry.host->frame != entry.frame) {
      add(" host's frame {:#x}", entry.host->frame);
    }
    add("{}{}{}{}\n", entry.accessed ? " accessed" : "", entry.dirty ? " dirty" : "",
        entry.host_writable ? " host-writable" : "", entry.mmu_writable ? " mmu-writable" : "");
  }

  fmt::memory_buffer text_;
};

}  // namespace

std::string print(const View& view) {
  Printer printer;
  printer.vm(view);
  for (const ViewVcpu& vcpu : view.vcpus) printer.vcpu(view, vcpu);
  for (const ViewSlot& slot : view.slots) printer.slot(slot);
  for (const auto& [table, page] : view.pages) printer.page(page);
  return std::move(printer).text();
}

}  // namespace lockstep::spec
