// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/generator_phrases.h"

namespace lockstep::props {
namespace {

/// Byte offsets in a page that accesses use. The first ones meet the entries
/// of a page that is also a table; the last ones never do, so that a fetch
/// there always executes a code cell. Entries of the engine (the last ones of
/// a page, and 3 in PAE roots) stay out.
constexpr unsigned low_offsets[] = {0x0, 0x8, 0x10, 0x28};
constexpr unsigned code_offsets[] = {0x100, 0x108, 0x900};

unsigned draw_offset(Sketch& sketch, AccessKind kind) {
  if (kind == AccessKind::fetch || sketch.draw.chance(50)) {
    return code_offsets[sketch.draw.below(std::size(code_offsets))];
  }
  return low_offsets[sketch.draw.below(std::size(low_offsets))];
}

AccessKind draw_kind(Sketch& sketch) {
  constexpr unsigned weights[] = {45, 40, 15};
  return static_cast<AccessKind>(sketch.draw.weighted(weights));
}

Cpl draw_cpl(Sketch& sketch) { return sketch.draw.chance(60) ? Cpl::user : Cpl::supervisor; }

bool paged(const Sketch& sketch) { return sketch.mode() != PagingMode::none; }
bool always(const Sketch&) { return true; }
bool two_vcpus(const Sketch& sketch) { return sketch.program.configuration.vcpus > 1; }
bool logs_in_rings(const Sketch& sketch) {
  return sketch.program.configuration.dirty_log == DirtyLogMode::ring;
}
bool logs_in_bitmaps(const Sketch& sketch) { return !logs_in_rings(sketch); }
bool has_pke(const Sketch& sketch) {
  return paged(sketch) && sketch.program.configuration.control.has(ControlBit::cr4_pke);
}

}  // namespace

unsigned draw_vcpu(Sketch& sketch) {
  return sketch.program.configuration.vcpus > 1 && sketch.draw.chance(35) ? 1 : 0;
}

Gva draw_page(Sketch& sketch) {
  return sketch.draw.chance(90) ? sketch.draw.of(sketch.linear) : sketch.draw_linear();
}

void access(Sketch& sketch, unsigned vcpu, Gva page, AccessKind kind, Cpl cpl) {
  auto& draw = sketch.draw;
  Access access{vcpu, kind, cpl, page + draw_offset(sketch, kind), 0, 8, false};
  if (!sketch.long_mode() && kind != AccessKind::fetch) access.size = 4;
  if (kind != AccessKind::fetch && draw.chance(25)) access.size = draw.of({1u, 2u, 4u});
  // Inside a code cell, a narrow store changes the immediate alone.
  if (access.size < 4) access.gva += access.size;
  if (kind == AccessKind::write) {
    const auto tag = draw.between(1, 200);
    switch (access.size) {
      case 8:
        access.value = code_cell(tag);
        break;
      case 4:
        access.value = code_cell(tag) & 0xffff'ffffull;
        break;
      default:
        access.value = tag;
        break;
    }
  }
  if (cpl == Cpl::supervisor && sketch.program.configuration.control.has(ControlBit::cr4_smap)) {
    access.ac = draw.chance(40);
  }
  sketch.emit(access);
}

void access(Sketch& sketch, unsigned vcpu, Gva page) {
  access(sketch, vcpu, page, draw_kind(sketch), draw_cpl(sketch));
}

std::optional<EntryPlace> change_path(Sketch& sketch, unsigned vcpu, Gva page) {
  return change_path(sketch, vcpu, sketch.vcpus[vcpu].root, page);
}

std::optional<EntryPlace> change_path(Sketch& sketch, unsigned vcpu, Gpa root, Gva page) {
  const auto places = sketch.path(root, page);
  if (places.empty()) return std::nullopt;
  // The leaf more often than the levels above.
  const auto index = sketch.draw.chance(55) ? places.size() - 1 : sketch.draw.below(places.size());
  const auto place = places[index];
  const auto old = sketch.entry(place);
  std::uint64_t value = 0;
  if (!old || *old == 0) {
    value = place.level == TableLevel::pt
                ? sketch.leaf_entry(place.level, sketch.draw.of(sketch.data))
                : sketch.table_entry(place.level, sketch.draw.of(sketch.tables));
  } else {
    value = sketch.mutated(place.level, *old);
  }
  sketch.set_entry(vcpu, place, value);
  return place;
}

namespace {

void load_cr3(Sketch& sketch, unsigned vcpu) {
  LoadCr3 load{vcpu, sketch.draw.of(sketch.program.configuration.roots), 0, false};
  if (sketch.vcpus[vcpu].control.has(ControlBit::cr4_pcide)) {
    load.pcid = sketch.draw.below(3);
    load.noflush = sketch.draw.chance(40);
  }
  sketch.vcpus[vcpu].root = load.root;
  sketch.emit(load);
}

void invpcid(Sketch& sketch, unsigned vcpu, Gva page) {
  Invpcid command{vcpu, static_cast<InvpcidType>(sketch.draw.below(4)), 0, 0};
  if (sketch.vcpus[vcpu].control.has(ControlBit::cr4_pcide)) command.pcid = sketch.draw.below(3);
  if (command.type == InvpcidType::all || command.type == InvpcidType::all_and_global) {
    command.pcid = 0;
  }
  if (command.type == InvpcidType::address) command.gva = page;
  sketch.emit(command);
}

bool may_invpcid(const Sketch& sketch) { return sketch.has(Feature::invpcid); }

void speak_access(Sketch& sketch) { access(sketch, draw_vcpu(sketch), draw_page(sketch)); }

void speak_twice(Sketch& sketch) {
  const auto vcpu = draw_vcpu(sketch);
  const auto page = draw_page(sketch);
  const auto cpl = draw_cpl(sketch);
  access(sketch, vcpu, page, AccessKind::read, cpl);
  access(sketch, vcpu, page, AccessKind::write, cpl);
  if (sketch.draw.chance(50)) access(sketch, vcpu, page, AccessKind::fetch, cpl);
}

/// Write through one linear page, read through every other one on its frame.
void speak_alias(Sketch& sketch) {
  const auto vcpu = draw_vcpu(sketch);
  const auto root = sketch.vcpus[vcpu].root;
  const auto page = draw_page(sketch);
  access(sketch, vcpu, page, AccessKind::write, draw_cpl(sketch));
  const auto gpa = sketch.resolve(root, page);
  if (!gpa) return;
  for (const auto other : sketch.linear) {
    if (other != page && sketch.resolve(root, other) == gpa) {
      access(sketch, draw_vcpu(sketch), other, AccessKind::read, draw_cpl(sketch));
    }
  }
}

/// Warm a translation, change what it came from, flush or not, use it again.
void speak_stale(Sketch& sketch) {
  const auto vcpu = draw_vcpu(sketch);
  const auto page = draw_page(sketch);
  const auto cpl = draw_cpl(sketch);
  const auto kind = draw_kind(sketch);
  access(sketch, vcpu, page, kind, cpl);
  const auto place = change_path(sketch, draw_vcpu(sketch), page);
  maybe_flush(sketch, vcpu, page);
  access(sketch, vcpu, page, sketch.draw.chance(60) ? kind : draw_kind(sketch), cpl);
  if (place && sketch.draw.chance(30)) {
    sketch.emit(
        Peek{place->table + place->index * entry_size(sketch.mode()), entry_size(sketch.mode())});
  }
}

/// What one vCPU has cached, the other changes.
void speak_two_vcpus(Sketch& sketch) {
  const auto page = draw_page(sketch);
  const auto cpl = draw_cpl(sketch);
  access(sketch, 0, page, draw_kind(sketch), cpl);
  access(sketch, 1, page, draw_kind(sketch), cpl);
  const auto writer = sketch.draw.below(2);
  change_path(sketch, writer, page);
  if (sketch.draw.chance(60)) maybe_flush(sketch, writer, page);
  access(sketch, 1 - writer, page, draw_kind(sketch), cpl);
  access(sketch, writer, page, draw_kind(sketch), cpl);
}

/// Clear A and D, access, look.
void speak_accessed_dirty(Sketch& sketch) {
  const auto vcpu = draw_vcpu(sketch);
  const auto page = draw_page(sketch);
  const auto places = sketch.path(sketch.vcpus[vcpu].root, page);
  if (places.empty()) return;
  const auto place =
      sketch.draw.chance(60) ? places.back() : places[sketch.draw.below(places.size())];
  const auto old = sketch.entry(place);
  const bool pdpte = sketch.mode() == PagingMode::pae && place.level == TableLevel::pdpt;
  if (old && !pdpte) {
    sketch.set_entry(vcpu, place, *old & ~(entry::accessed | entry::dirty));
  }
  maybe_flush(sketch, vcpu, page);
  access(sketch, vcpu, page, sketch.draw.chance(50) ? AccessKind::write : AccessKind::read,
         draw_cpl(sketch));
  sketch.emit(
      Peek{place.table + place.index * entry_size(sketch.mode()), entry_size(sketch.mode())});
}

void speak_peek(Sketch& sketch) {
  const auto places = sketch.path(sketch.vcpus[0].root, draw_page(sketch));
  if (places.empty() || sketch.draw.chance(40)) {
    sketch.emit(Peek{sketch.draw.of(sketch.data) + 0x100, 8});
    return;
  }
  const auto& place = sketch.draw.of(places);
  const auto size = entry_size(sketch.mode());
  sketch.emit(Peek{place.table + place.index * size, size});
}

void speak_poke(Sketch& sketch) {
  // Never a table: user space may not rewrite one that is live.
  const auto gpa = sketch.draw.of(sketch.data);
  if (gpa < 0x8'0000 || sketch.is_table(gpa)) return;
  sketch.emit(Poke{gpa + draw_offset(sketch, AccessKind::fetch),
                   code_cell(sketch.draw.between(1, 200)), 8, false});
  access(sketch, draw_vcpu(sketch), draw_page(sketch), AccessKind::read, draw_cpl(sketch));
}

void speak_entry(Sketch& sketch) { change_path(sketch, draw_vcpu(sketch), draw_page(sketch)); }

/// Change an entry and put it back: only the last value may be seen afterwards.
void speak_restore(Sketch& sketch) {
  const auto vcpu = draw_vcpu(sketch);
  const auto page = draw_page(sketch);
  const auto places = sketch.path(sketch.vcpus[vcpu].root, page);
  if (places.empty()) return;
  const auto place = sketch.draw.of(places);
  const auto old = sketch.entry(place);
  if (!old) return;
  access(sketch, vcpu, page);
  sketch.set_entry(vcpu, place, sketch.mutated(place.level, *old));
  maybe_flush(sketch, vcpu, page);
  if (sketch.draw.chance(50)) access(sketch, vcpu, page);
  sketch.set_entry(vcpu, place, *old);
  maybe_flush(sketch, vcpu, page);
  access(sketch, vcpu, page);
}

void speak_cr3(Sketch& sketch) {
  const auto vcpu = draw_vcpu(sketch);
  const auto page = draw_page(sketch);
  if (sketch.draw.chance(50)) access(sketch, vcpu, page);
  load_cr3(sketch, vcpu);
  access(sketch, vcpu, page);
}

/// Leave a root without a flush, change what it maps, invalidate from elsewhere, come
/// back without a flush: what previous roots are for.
void speak_switch(Sketch& sketch) {
  auto& draw = sketch.draw;
  const auto vcpu = draw_vcpu(sketch);
  const auto page = draw_page(sketch);
  const auto kind = draw_kind(sketch);
  const auto cpl = draw_cpl(sketch);
  const auto home = sketch.vcpus[vcpu].root;
  const auto away = draw.of(sketch.program.configuration.roots);
  const auto pcid = draw.below(3);
  sketch.emit(LoadCr3{vcpu, home, pcid, draw.chance(50)});
  access(sketch, vcpu, page, kind, cpl);
  sketch.emit(LoadCr3{vcpu, away, draw.chance(80) ? (pcid + 1) % 3 : pcid, draw.chance(80)});
  if (draw.chance(40)) access(sketch, vcpu, page, kind, cpl);
  change_path(sketch, vcpu, home, page);
  switch (draw.below(4)) {
    case 0:
      break;
    case 1:
      if (may_invpcid(sketch)) {
        const auto one = draw.chance(50);
        sketch.emit(
            Invpcid{vcpu, one ? InvpcidType::address : InvpcidType::single, pcid, one ? page : 0});
        break;
      }
      [[fallthrough]];
    default:
      sketch.emit(Invlpg{vcpu, page});
      break;
  }
  sketch.emit(LoadCr3{vcpu, home, pcid, draw.chance(85)});
  access(sketch, vcpu, page, kind, cpl);
}

bool has_pcids(const Sketch& sketch) {
  return paged(sketch) && sketch.program.configuration.control.has(ControlBit::cr4_pcide);
}

/// Without paging nothing is cached by linear address; the instruction is legal.
void speak_unpaged_flush(Sketch& sketch) {
  const auto vcpu = draw_vcpu(sketch);
  const auto page = draw_page(sketch);
  access(sketch, vcpu, page);
  invpcid(sketch, vcpu, page);
  access(sketch, vcpu, page);
}

void speak_flush(Sketch& sketch) {
  const auto vcpu = draw_vcpu(sketch);
  maybe_flush(sketch, vcpu, draw_page(sketch));
}

void speak_translate(Sketch& sketch) {
  sketch.emit(Translate{draw_vcpu(sketch), draw_page(sketch) + 0x100});
}

void speak_pkru(Sketch& sketch) {
  const auto vcpu = draw_vcpu(sketch);
  const auto page = draw_page(sketch);
  sketch.emit(SetPkru{vcpu, static_cast<std::uint32_t>(sketch.draw.word() & 0xff)});
  access(sketch, vcpu, page, draw_kind(sketch), draw_cpl(sketch));
}

void speak_control(Sketch& sketch) {
  const auto vcpu = draw_vcpu(sketch);
  auto& control = sketch.vcpus[vcpu].control;
  ControlBit bits[control_bit_count];
  unsigned count = 0;
  const auto offer = [&](ControlBit bit, bool possible) {
    if (possible) bits[count++] = bit;
  };
  offer(ControlBit::cr0_wp, true);
  offer(ControlBit::cr4_pse, sketch.mode() == PagingMode::bits32 && sketch.has(Feature::pse));
  offer(ControlBit::cr4_pge, sketch.has(Feature::pge));
  offer(ControlBit::cr4_smep, sketch.has(Feature::smep));
  offer(ControlBit::cr4_smap, sketch.has(Feature::smap));
  offer(ControlBit::cr4_pke, has_pke(sketch));
  offer(ControlBit::efer_nx, sketch.mode() != PagingMode::bits32 && sketch.has(Feature::nx));
  const auto bit = bits[sketch.draw.below(count)];
  const bool on = !control.has(bit);
  const auto page = draw_page(sketch);
  const auto kind = draw_kind(sketch);
  const auto cpl = sketch.draw.chance(65) ? Cpl::supervisor : Cpl::user;
  access(sketch, vcpu, page, kind, cpl);
  control.set(bit, on);
  sketch.emit(SetControl{vcpu, bit, on});
  access(sketch, vcpu, page, kind, cpl);
  if (sketch.draw.chance(50)) {
    control.set(bit, !on);
    sketch.emit(SetControl{vcpu, bit, !on});
    access(sketch, vcpu, page, kind, cpl);
  }
}

/// A supervisor's write that CR0.WP=0 lets through, and then every way in which a
/// page that gained W and lost U may be met under other control bits.
void speak_exchange(Sketch& sketch) {
  auto& draw = sketch.draw;
  const auto vcpu = draw_vcpu(sketch);
  const auto page = draw_page(sketch);
  auto& control = sketch.vcpus[vcpu].control;
  const auto set = [&](ControlBit bit, bool on) {
    if (control.has(bit) == on) return;
    control.set(bit, on);
    sketch.emit(SetControl{vcpu, bit, on});
  };
  const auto places = sketch.path(sketch.vcpus[vcpu].root, page);
  if (!places.empty() && draw.chance(70)) {
    const auto place = places.back();
    const auto old = sketch.entry(place);
    if (old && (*old & entry::present) != 0) {
      auto value = (*old | entry::user) & ~entry::writable;
      if (sketch.mode() != PagingMode::bits32) value &= ~entry::no_execute;
      sketch.set_entry(vcpu, place, value);
      maybe_flush(sketch, vcpu, page);
    }
  }
  set(ControlBit::cr0_wp, false);
  if (sketch.has(Feature::smep) && draw.chance(60)) set(ControlBit::cr4_smep, draw.chance(40));
  access(sketch, vcpu, page, AccessKind::write, Cpl::supervisor);
  for (unsigned i = 0; i < 2; ++i) {
    if (sketch.has(Feature::smep) && draw.chance(50)) {
      set(ControlBit::cr4_smep, !control.has(ControlBit::cr4_smep));
    }
    if (draw.chance(35)) set(ControlBit::cr0_wp, !control.has(ControlBit::cr0_wp));
    const auto kind = draw.chance(60) ? AccessKind::fetch : draw_kind(sketch);
    access(sketch, vcpu, page, kind, draw.chance(75) ? Cpl::supervisor : Cpl::user);
  }
}

/// An access that the guest makes to its own tables through a data mapping.
void speak_table_store(Sketch& sketch) {
  const auto vcpu = draw_vcpu(sketch);
  for (const auto page : sketch.linear) {
    const auto gpa = sketch.resolve(sketch.vcpus[vcpu].root, page);
    if (!gpa || *gpa < sketch.tables.front() || *gpa > sketch.tables.back()) continue;
    const auto index = sketch.draw.of({0u, 1u, 2u, 5u});
    const auto size = sketch.long_mode() ? 8u : 4u;
    const auto target = sketch.leaf_entry(TableLevel::pt, sketch.draw.of(sketch.data));
    sketch.emit(Access{vcpu, AccessKind::write, draw_cpl(sketch),
                       page + index * entry_size(sketch.mode()),
                       size == 8 ? target : target & 0xffff'ffffull, size, false});
    break;
  }
  access(sketch, vcpu, draw_page(sketch));
}

constexpr Phrase all[] = {
    {"access", 20, speak_access, always},
    {"twice", 8, speak_twice, always},
    {"alias", 8, speak_alias, always},
    {"stale", 14, speak_stale, paged},
    {"two vcpus", 8, speak_two_vcpus, two_vcpus},
    {"accessed dirty", 6, speak_accessed_dirty, paged},
    {"peek", 4, speak_peek, always},
    {"poke", 3, speak_poke, always},
    {"entry", 8, speak_entry, paged},
    {"restore", 5, speak_restore, paged},
    {"cr3", 5, speak_cr3, paged},
    {"flush", 3, speak_flush, paged},
    {"switch", 10, speak_switch, has_pcids},
    {"unpaged flush", 3, speak_unpaged_flush,
     [](const Sketch& sketch) { return !paged(sketch) && may_invpcid(sketch); }},
    {"translate", 4, speak_translate,
     [](const Sketch& sketch) { return sketch.has(Feature::translate); }},
    {"pkru", 8, speak_pkru, has_pke},
    {"control", 6, speak_control, paged},
    {"exchange", 5, speak_exchange, paged},
    {"table store", 5, speak_table_store, paged},
    {"slot cycle", 9, speak_slot_cycle, always},
    {"slot command", 5, speak_slot_command, always},
    {"dirty cycle", 9, speak_dirty_cycle, logs_in_bitmaps},
    {"split", 5, speak_split, may_split},
    {"dirty get", 3, speak_dirty_get, always},
    {"ring cycle", 9, speak_ring_cycle, logs_in_rings},
    {"mmu pages", 4, speak_mmu_pages, may_mmu_pages},
    {"host change", 7, speak_host_change, may_host_change},
    {"host protect", 4, speak_host_protect, may_host_protect},
    {"reclaim", 4, speak_reclaim, may_reclaim},
};

}  // namespace

void maybe_flush(Sketch& sketch, unsigned vcpu, Gva page) {
  if (sketch.mode() == PagingMode::none) return;
  const auto choice = sketch.draw.below(10);
  if (choice < 4) {
    sketch.emit(Invlpg{vcpu, page});
  } else if (choice < 6) {
    load_cr3(sketch, vcpu);
  } else if (choice < 7 && may_invpcid(sketch)) {
    invpcid(sketch, vcpu, page);
  }
}

std::span<const Phrase> phrases() { return all; }

}  // namespace lockstep::props
