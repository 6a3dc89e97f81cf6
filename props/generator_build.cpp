// SPDX-License-Identifier: GPL-2.0-or-later
/// Sketch::build(): slots, pools of pages, and the page-table graph.
#include <algorithm>

#include "props/generator_sketch.h"

namespace lockstep::props {
namespace {

constexpr Gpa table_base = 0x10000;
constexpr std::uint64_t table_slot_size = 0x20'0000;
/// Where the slot with a table of its own begins; slot 0 ends there then.
constexpr Gpa lone_slot = 0x10'0000;

}  // namespace

void Sketch::lay_slots() {
  const auto add = [&](const SlotAdd& slot) {
    emit(slot);
    slots.accept({slot.id, slot.gpa, slot.size, slot.hva, slot.log, slot.read_only});
  };
  // Now and then a slot that may go has a page table. Shadow pages are accounted
  // to the slot of their table: fcd1ec9cb59c.
  const bool lone = mode() != PagingMode::none && draw.chance(12);
  add({0, 0, lone ? lone_slot : table_slot_size, 0, draw.chance(25), false});
  const auto more = draw.below(lone ? 3 : 4);
  if (lone) {
    add({more + 1, lone_slot, 0x4'0000, lone_slot, draw.chance(25), false});
    lone_table = lone_slot + 3 * page_size;
  }
  std::vector<Gpa> bases = {0x20'0000, 0x40'0000, 0x80'0000, 0x4000'0000, 0x1'0000'0000};
  if (mode() == PagingMode::none) bases.pop_back();
  for (unsigned id = 1; id <= more; ++id) {
    const auto chosen = draw.below(bases.size());
    SlotAdd slot;
    slot.id = id;
    slot.gpa = bases[chosen];
    bases.erase(bases.begin() + chosen);
    slot.size = page_size * draw.of({1u, 2u, 16u, 64u, 100u, 512u, 512u});
    // Two slots over the same host pages now and then.
    slot.hva = draw.chance(25) ? 0x40'0000 : 0x20'0000 * (id + 1);
    slot.log = draw.chance(30);
    slot.read_only = has(Feature::read_only_slots) && draw.chance(15);
    add(slot);
  }
}

void Sketch::lay_pools() {
  const auto count = lone_table != 0 ? draw.between(2, 5) : draw.between(4, 12);
  for (unsigned i = 0; i < count; ++i) tables.push_back(table_base + i * page_size);
  if (lone_table != 0) tables.push_back(lone_table);
  large = {0, 0x20'0000, 0x40'0000};
  if (mode() == PagingMode::bits32) large = {0, 0x40'0000, 0x80'0000};
  data = {0x8'0000, 0x8'1000};
  for (unsigned id = 1; id < 4; ++id) {
    const auto* slot = slots.find(id);
    if (slot == nullptr) continue;
    const bool reachable = mode() != PagingMode::bits32 || slot->gpa < 0x1'0000'0000;
    if (!reachable) continue;
    data.push_back(slot->gpa);
    data.push_back(slot->gpa + slot->size - page_size);
    if (draw.chance(40)) data.push_back(slot->gpa + slot->size);
    if (draw.chance(30) && slot->size > 4 * page_size) data.push_back(slot->gpa + 2 * page_size);
  }
  if (draw.chance(60)) data.push_back(0x3000'0000);
  if (mode() != PagingMode::none && draw.chance(30)) data.push_back(draw.of(tables));
}

Gpa Sketch::child_table(TableLevel level) {
  std::vector<Gpa> same;
  for (const auto& [used_level, gpa] : used_) {
    if (used_level == level) same.push_back(gpa);
  }
  if (!same.empty() && draw.chance(35)) return draw.of(same);
  // Entries of a PAE root from index 3 up belong to the engine.
  if (mode() != PagingMode::pae && draw.chance(3)) return draw.of(program.configuration.roots);
  if (draw.chance(3)) return draw.of(tables);
  for (const auto gpa : tables) {
    const auto taken = [&](const auto& used) { return used.second == gpa; };
    if (std::none_of(used_.begin(), used_.end(), taken)) {
      used_.emplace_back(level, gpa);
      return gpa;
    }
  }
  return same.empty() ? draw.of(tables) : draw.of(same);
}

void Sketch::map(Gpa root, Gva gva) {
  // A graph with cycles may lead back; the levels bound the walk.
  for (unsigned depth = 0; depth < 5; ++depth) {
    const auto place = path(root, gva).back();
    if (entry(place)) return;
    const auto below = static_cast<TableLevel>(static_cast<unsigned>(place.level) - 1);
    if (place.level == TableLevel::pt) {
      set_entry(std::nullopt, place, leaf_entry(place.level, draw.of(data)));
      return;
    }
    if (large_at(place.level) && draw.chance(place.level == TableLevel::pd ? 22 : 8)) {
      const Gpa base = place.level == TableLevel::pd ? draw.of(large) : draw.of({0ull, 1ull << 30});
      set_entry(std::nullopt, place, leaf_entry(place.level, base));
      return;
    }
    auto value = table_entry(place.level, child_table(below));
    // PDPTEs of the first root are loaded before any command could observe it.
    if (mode() == PagingMode::pae && place.level == TableLevel::pdpt &&
        root != program.configuration.roots.front() && draw.chance(5)) {
      value |= entry::writable;
    }
    set_entry(std::nullopt, place, value);
  }
}

void Sketch::build() {
  for (auto& vcpu : vcpus) {
    vcpu.root = program.configuration.roots.front();
    vcpu.control = program.configuration.control;
  }
  lay_slots();
  lay_pools();
  const auto pages = draw.between(2, 6);
  for (unsigned i = 0; i < pages; ++i) linear.push_back(draw_linear());
  if (mode() == PagingMode::none) return;
  for (const auto root : program.configuration.roots) {
    for (const auto gva : linear) {
      if (root == program.configuration.roots.front() || draw.chance(70)) map(root, gva);
    }
  }
  // Two upper entries with different rights over one lower table: the shape
  // behind CVE-2021-38198.
  if (draw.chance(40)) {
    const auto root = program.configuration.roots.front();
    const auto gva = draw.of(linear);
    const auto places = path(root, gva);
    const auto& upper = places[draw.below(places.size())];
    const auto value = entry(upper);
    const auto other = draw.of({0u, 1u, 2u, 5u});
    const EntryPlace twin{upper.table, upper.level, other};
    const bool pdpte = mode() == PagingMode::pae && upper.level == TableLevel::pdpt;
    if (value && upper.level != TableLevel::pt && other != upper.index && !(pdpte && other > 2)) {
      const auto flip = pdpte ? 0 : draw.of({entry::writable, entry::user, entry::writable});
      set_entry(std::nullopt, twin, *value ^ flip);
      const auto bits = page_shift + (static_cast<unsigned>(upper.level) - 1) *
                                         (mode() == PagingMode::bits32 ? 10 : 9);
      const auto field = static_cast<Gva>(entries_per_table(mode()) - 1) << bits;
      auto alias = (gva & ~field) | (static_cast<Gva>(other) << bits);
      // An index this small is in the lower half: canonical means zeros above.
      if (long_mode() && upper.level == root_level(mode())) alias &= (1ull << (bits + 9)) - 1;
      linear.push_back(alias);
    }
  }
}

}  // namespace lockstep::props
