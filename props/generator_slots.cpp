// SPDX-License-Identifier: GPL-2.0-or-later
/// Phrases about memory slots and dirty logging.
#include "props/generator_phrases.h"

namespace lockstep::props {
namespace {

constexpr unsigned last_slot = 3;
constexpr std::uint64_t huge_page = 0x20'0000;

/// A slot that may go: slot 0 holds the tables and stays.
const UserSlots::Region* draw_slot(Sketch& sketch) {
  const auto first = sketch.draw.below(last_slot);
  for (unsigned i = 0; i < last_slot; ++i) {
    if (const auto* slot = sketch.slots.find(1 + (first + i) % last_slot)) return slot;
  }
  return nullptr;
}

/// Whether the region keeps clear of every other one and of the engine's.
bool fits(const Sketch& sketch, unsigned id, Gpa gpa, std::uint64_t size) {
  for (unsigned other = 0; other <= last_slot; ++other) {
    const auto* slot = sketch.slots.find(other);
    if (slot == nullptr || other == id) continue;
    if (gpa < slot->gpa + slot->size && slot->gpa < gpa + size) return false;
  }
  return true;
}

/// Emit, and believe that it succeeded.
void apply(Sketch& sketch, const Command& command) {
  if (const auto region = sketch.slots.region(command)) sketch.slots.accept(*region);
  sketch.emit(command);
}

SlotAdd add_of(const UserSlots::Region& slot) {
  return {slot.id, slot.gpa, slot.size, slot.hva, slot.log, slot.read_only};
}

/// Accesses to linear pages that the slot backs, or to any.
void touch(Sketch& sketch, const UserSlots::Region& slot, AccessKind kind) {
  const auto vcpu = draw_vcpu(sketch);
  const auto cpl = sketch.draw.chance(50) ? Cpl::user : Cpl::supervisor;
  for (const auto page : sketch.linear) {
    const auto gpa = sketch.resolve(sketch.vcpus[vcpu].root, page);
    if (gpa && *gpa >= slot.gpa && *gpa < slot.gpa + slot.size) {
      access(sketch, vcpu, page, kind, cpl);
      if (sketch.draw.chance(60)) return;
    }
  }
  access(sketch, vcpu, draw_page(sketch), kind, cpl);
}

/// A legal DirtyClear most of the time: 64-page blocks, or up to the end.
DirtyClear draw_clear(Sketch& sketch, const UserSlots::Region& slot) {
  const auto pages = slot.size >> page_shift;
  DirtyClear clear{slot.id, 0, static_cast<std::uint32_t>(pages)};
  if (pages > 64 && sketch.draw.chance(40)) {
    clear.first = 64 * sketch.draw.below(static_cast<std::size_t>(pages / 64));
    clear.count = static_cast<std::uint32_t>(pages - clear.first);
    if (clear.count > 64 && sketch.draw.chance(50)) clear.count = 64;
  }
  if (sketch.draw.chance(4)) clear.first += 1;
  return clear;
}

}  // namespace

void speak_slot_cycle(Sketch& sketch) {
  const auto* found = draw_slot(sketch);
  if (found == nullptr) {
    speak_slot_command(sketch);
    return;
  }
  const auto slot = *found;
  touch(sketch, slot, sketch.draw.chance(50) ? AccessKind::write : AccessKind::read);
  switch (sketch.draw.below(4)) {
    case 0: {
      apply(sketch, SlotDelete{slot.id});
      touch(sketch, slot, sketch.draw.chance(50) ? AccessKind::write : AccessKind::read);
      auto again = add_of(slot);
      if (sketch.draw.chance(30)) again.hva = 0x20'0000 * sketch.draw.between(2, 5);
      if (sketch.draw.chance(80)) apply(sketch, again);
      break;
    }
    case 1: {
      const Gpa bases[] = {0x60'0000, 0x100'0000, 0x5000'0000, slot.gpa + page_size};
      const auto gpa = bases[sketch.draw.below(std::size(bases))];
      if (!fits(sketch, slot.id, gpa, slot.size)) return;
      apply(sketch, SlotMove{slot.id, gpa});
      touch(sketch, slot, AccessKind::read);
      if (sketch.draw.chance(70) && fits(sketch, slot.id, slot.gpa, slot.size)) {
        apply(sketch, SlotMove{slot.id, slot.gpa});
      }
      break;
    }
    case 2:
      // Toggling logging drops or splits large mappings.
      apply(sketch, SlotFlags{slot.id, !slot.log, slot.read_only});
      break;
    default: {
      // Delete and add again with the other read-only flag: it cannot change
      // on a living slot.
      apply(sketch, SlotDelete{slot.id});
      auto again = add_of(slot);
      again.read_only = sketch.has(Feature::read_only_slots) && !slot.read_only;
      apply(sketch, again);
      break;
    }
  }
  touch(sketch, slot, AccessKind::read);
  touch(sketch, slot, AccessKind::write);
}

void speak_slot_command(Sketch& sketch) {
  auto& draw = sketch.draw;
  const auto* found = draw_slot(sketch);
  if (found == nullptr || draw.chance(25)) {
    for (unsigned id = 1; id <= last_slot; ++id) {
      if (sketch.slots.find(id) != nullptr) continue;
      const Gpa gpa = draw.of({0x20'0000ull, 0x40'0000ull, 0x80'0000ull, 0x3000'0000ull});
      const auto size = page_size * draw.of({1u, 16u, 64u});
      if (!fits(sketch, id, gpa, size)) return;
      apply(sketch, SlotAdd{id, gpa, size, 0x20'0000 * (id + 1), draw.chance(30), false});
      return;
    }
  }
  if (found == nullptr) return;
  const auto slot = *found;
  // Mostly refused by the kernel, hence emitted without belief.
  switch (draw.below(6)) {
    case 0:
      sketch.emit(SlotAdd{4, slot.gpa, page_size, 0, false, false});
      break;
    case 1:
      sketch.emit(SlotAdd{4, slot.gpa + 0x800, page_size, 0, false, false});
      break;
    case 2:
      sketch.emit(
          SlotAdd{slot.id, slot.gpa, slot.size + page_size, slot.hva, slot.log, slot.read_only});
      break;
    case 3:
      if (sketch.has(Feature::read_only_slots)) {
        sketch.emit(SlotFlags{slot.id, slot.log, !slot.read_only});
      }
      break;
    case 4:
      sketch.emit(SlotMove{slot.id, 0x10'0000});
      break;
    default:
      sketch.emit(SlotDelete{9});
      break;
  }
}

void speak_dirty_cycle(Sketch& sketch) {
  auto& draw = sketch.draw;
  // Slot 0 too: it logs the page tables.
  const auto* found = draw.chance(25) ? sketch.slots.find(0) : draw_slot(sketch);
  if (found == nullptr) return;
  auto slot = *found;
  if (!slot.log) {
    if (draw.chance(50)) touch(sketch, slot, AccessKind::write);
    apply(sketch, SlotFlags{slot.id, true, slot.read_only});
    slot.log = true;
  }
  const bool manual = sketch.program.configuration.dirty_log != DirtyLogMode::plain;
  touch(sketch, slot, AccessKind::write);
  sketch.emit(DirtyGet{slot.id});
  if (manual && draw.chance(70)) sketch.emit(draw_clear(sketch, slot));
  touch(sketch, slot, draw.chance(70) ? AccessKind::write : AccessKind::read);
  if (slot.id == 0 && sketch.mode() != PagingMode::none) {
    change_path(sketch, draw_vcpu(sketch), draw_page(sketch));
  }
  sketch.emit(DirtyGet{slot.id});
  if (draw.chance(30)) {
    apply(sketch, SlotFlags{slot.id, false, slot.read_only});
    touch(sketch, slot, AccessKind::write);
  }
}

bool may_split(const Sketch& sketch) {
  for (unsigned id = 1; id <= last_slot; ++id) {
    const auto* slot = sketch.slots.find(id);
    if (slot != nullptr && slot->size >= huge_page) return true;
  }
  return false;
}

/// A huge page that the guest or the host keeps read-only, then a log that wants
/// small ones: what it is split into must be read-only, too.
void speak_split(Sketch& sketch) {
  auto& draw = sketch.draw;
  const auto* found = sketch.slots.find(1 + draw.below(last_slot));
  if (found == nullptr || found->size < huge_page) return;
  const auto slot = *found;
  if (slot.log) apply(sketch, SlotFlags{slot.id, false, slot.read_only});
  const bool refuses = sketch.has(Feature::host_protect) && draw.chance(40);
  if (refuses) sketch.emit(HostChange{HostAction::protect, slot.hva, huge_page});
  touch(sketch, slot, AccessKind::read);
  apply(sketch, SlotFlags{slot.id, true, slot.read_only});
  const auto mode = sketch.program.configuration.dirty_log;
  if (mode == DirtyLogMode::manual || mode == DirtyLogMode::manual_all_set) {
    sketch.emit(DirtyClear{slot.id, 64 * draw.below(8), 64});
  }
  touch(sketch, slot, AccessKind::write);
  touch(sketch, slot, AccessKind::write);
  if (refuses) sketch.emit(HostChange{HostAction::unprotect, slot.hva, huge_page});
  touch(sketch, slot, AccessKind::write);
}

void speak_ring_cycle(Sketch& sketch) {
  auto& draw = sketch.draw;
  const auto* found = draw.chance(25) ? sketch.slots.find(0) : draw_slot(sketch);
  if (found == nullptr) {
    sketch.emit(RingCollect{});
    return;
  }
  auto slot = *found;
  if (!slot.log) {
    apply(sketch, SlotFlags{slot.id, true, slot.read_only});
    slot.log = true;
  }
  touch(sketch, slot, AccessKind::write);
  if (draw.chance(60)) sketch.emit(RingCollect{});
  touch(sketch, slot, draw.chance(70) ? AccessKind::write : AccessKind::read);
  if (slot.id == 0 && sketch.mode() != PagingMode::none) {
    change_path(sketch, draw_vcpu(sketch), draw_page(sketch));
  }
  // What the rings hold outlives the slot and its logging.
  if (slot.id != 0 && draw.chance(20)) {
    apply(sketch, SlotDelete{slot.id});
    if (draw.chance(60)) apply(sketch, add_of(slot));
  } else if (draw.chance(25)) {
    apply(sketch, SlotFlags{slot.id, false, slot.read_only});
  }
  sketch.emit(RingCollect{});
}

void speak_dirty_get(Sketch& sketch) { sketch.emit(DirtyGet{sketch.draw.below(last_slot + 1)}); }

}  // namespace lockstep::props
