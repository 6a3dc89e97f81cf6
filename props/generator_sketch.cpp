// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/generator_sketch.h"

#include <algorithm>

namespace lockstep::props {
namespace {

/// Bits of the linear address below the index of a level.
unsigned shift(PagingMode mode, TableLevel level) {
  const auto below = static_cast<unsigned>(level) - 1;
  return page_shift + below * (mode == PagingMode::bits32 ? 10 : 9);
}

std::uint64_t address_bits(PagingMode mode, std::uint64_t value) {
  return value & (mode == PagingMode::bits32 ? entry::address32 : entry::address);
}

TableLevel below(TableLevel level) {
  return static_cast<TableLevel>(static_cast<unsigned>(level) - 1);
}

}  // namespace

unsigned entry_index(PagingMode mode, TableLevel level, Gva gva) {
  return static_cast<unsigned>(gva >> shift(mode, level)) & (entries_per_table(mode) - 1);
}

void Sketch::emit(Command command) {
  program.steps.push_back({std::move(command), std::nullopt, {}, {}});
}

void Sketch::set_entry(std::optional<unsigned> vcpu, EntryPlace place, std::uint64_t value) {
  if (mode() == PagingMode::bits32) value &= 0xffff'ffffull;
  // A table met at two levels may hold a large PDE where a PDPTE is meant.
  if (place.level == TableLevel::pdpt && long_mode() && !has(Feature::gigabyte_pages)) {
    value &= ~entry::page_size;
  }
  emit(EntrySet{vcpu, place.level, place.table, place.index, value});
  const auto same = [&](const Known& known) {
    return known.place.table == place.table && known.place.index == place.index;
  };
  if (const auto old = std::find_if(known_.begin(), known_.end(), same); old != known_.end()) {
    *old = {place, value};
  } else {
    known_.push_back({place, value});
  }
}

std::optional<std::uint64_t> Sketch::entry(EntryPlace place) const {
  for (const auto& known : known_) {
    if (known.place.table == place.table && known.place.index == place.index) return known.value;
  }
  return std::nullopt;
}

bool Sketch::is_table(Gpa page) const {
  return std::any_of(known_.begin(), known_.end(),
                     [&](const Known& known) { return known.place.table == page; });
}

bool Sketch::belongs_to_engine(const EntryPlace& place) const {
  const auto& roots = program.configuration.roots;
  return place.index >= harness_index(mode()) &&
         std::find(roots.begin(), roots.end(), place.table) != roots.end();
}

std::vector<EntryPlace> Sketch::path(Gpa root, Gva gva) const {
  std::vector<EntryPlace> places;
  if (mode() == PagingMode::none) return places;
  EntryPlace place{root, root_level(mode()), 0};
  for (;;) {
    place.index = entry_index(mode(), place.level, gva);
    if (belongs_to_engine(place)) return places;
    places.push_back(place);
    const auto value = entry(place);
    if (!value || (*value & entry::present) == 0 || place.level == TableLevel::pt) return places;
    if ((*value & entry::page_size) != 0 && large_at(place.level)) return places;
    place.table = address_bits(mode(), *value);
    place.level = below(place.level);
    // Guest stores to entries reach no further.
    if (place.table >= harness::window) return places;
  }
}

std::optional<Gpa> Sketch::resolve(Gpa root, Gva gva) const {
  if (mode() == PagingMode::none) return gva;
  const auto last = path(root, gva).back();
  const auto value = entry(last);
  if (!value || (*value & entry::present) == 0) return std::nullopt;
  // The path may end before a table that no guest store reaches.
  const bool leaf = last.level == TableLevel::pt || (*value & entry::page_size) != 0;
  if (!leaf) return std::nullopt;
  const auto offset = (1ull << shift(mode(), last.level)) - 1;
  return (address_bits(mode(), *value) & ~offset) | (gva & offset);
}

bool Sketch::large_at(TableLevel level) const {
  if (level == TableLevel::pd) {
    return mode() != PagingMode::bits32 || program.configuration.control.has(ControlBit::cr4_pse);
  }
  return level == TableLevel::pdpt && long_mode() && has(Feature::gigabyte_pages);
}

std::uint64_t Sketch::rights(TableLevel level, bool leaf) {
  const auto chance = [&](unsigned percent, std::uint64_t bits) {
    return draw.chance(percent) ? bits : 0;
  };
  // Four levels multiply: upper entries mostly grant, or nearly every access
  // would fault and never reach the MMU's own faults.
  std::uint64_t value = chance(leaf ? 95 : 98, entry::present);
  const bool pdpte = mode() == PagingMode::pae && level == TableLevel::pdpt;
  if (pdpte) return value | chance(5, entry::write_through) | chance(5, 1ull << 9);
  const unsigned grant = leaf ? 80 : 94;
  value |= chance(grant, entry::writable) | chance(grant, entry::user);
  value |= chance(40, entry::accessed);
  value |= chance(3, entry::cache_disable) | chance(4, 1ull << 10);
  if (leaf) value |= chance(40, entry::dirty) | chance(25, entry::global);
  if (mode() == PagingMode::bits32) return value;
  if (has(Feature::nx)) value |= chance(leaf ? 15 : 4, entry::no_execute);
  const auto width = program.configuration.maxphyaddr;
  // PAE has no ignored bits above the address (SDM, Paging, formats of PAE entries).
  const auto highest = mode() == PagingMode::pae ? 62u : 51u;
  if (width <= highest) value |= chance(leaf ? 3 : 1, 1ull << draw.between(width, highest));
  if (long_mode()) {
    value |= chance(4, 1ull << draw.between(52, 58));
    if (leaf && program.configuration.control.has(ControlBit::cr4_pke)) {
      value |= static_cast<std::uint64_t>(draw.below(4)) << entry::protection_key_shift;
    }
  }
  return value;
}

std::uint64_t Sketch::table_entry(TableLevel level, Gpa table) {
  return table | rights(level, false);
}

std::uint64_t Sketch::leaf_entry(TableLevel level, Gpa page) {
  auto value = page | rights(level, true);
  if (level != TableLevel::pt) {
    value |= entry::page_size;
    if (draw.chance(3)) value |= 1ull << (page_shift + 1);
  }
  return value;
}

std::uint64_t Sketch::mutated(TableLevel level, std::uint64_t value) {
  if (level == TableLevel::pdpt && mode() == PagingMode::pae) {
    return draw.chance(50) ? value ^ entry::present : table_entry(level, draw.of(tables));
  }
  const bool leaf = level == TableLevel::pt || (value & entry::page_size) != 0;
  switch (draw.below(10)) {
    case 0:
    case 1:
      return value ^ entry::writable;
    case 2:
      return value ^ entry::user;
    case 3:
      return value ^ entry::present;
    case 4:
      return value & ~(entry::accessed | entry::dirty);
    case 5:
      if (mode() != PagingMode::bits32 && has(Feature::nx)) return value ^ entry::no_execute;
      return value ^ entry::global;
    case 6:
      if (!leaf && large_at(level) && draw.chance(30)) return value ^ entry::page_size;
      return value ^ entry::dirty;
    case 7:
      return 0;
    default:
      break;
  }
  if (level == TableLevel::pt) return leaf_entry(level, draw.of(data));
  if (large_at(level) && draw.chance(25)) {
    return leaf_entry(level, level == TableLevel::pd ? draw.of(large) : 0);
  }
  return table_entry(level, draw.of(tables));
}

Gva Sketch::draw_linear() {
  if (mode() == PagingMode::none) return draw.of(data);
  // Index 3 stays out: in a PAE root it belongs to the engine, and a root may
  // be met at any level of a walk.
  // A table of 4-byte entries is shadowed in parts, one a quadrant: 512 and 256
  // begin the second part of a page table and of a page directory.
  const bool quadrants = mode() == PagingMode::bits32 && draw.chance(50);
  const auto any = [&] {
    return static_cast<Gva>(quadrants ? draw.of({0u, 1u, 512u, 513u})
                                      : draw.of({0u, 0u, 1u, 1u, 2u, 5u}));
  };
  const auto few = [&] {
    return static_cast<Gva>(quadrants ? draw.of({0u, 0u, 1u, 256u})
                                      : draw.of({0u, 0u, 0u, 1u, 2u}));
  };
  const auto pt = any() << shift(mode(), TableLevel::pt);
  const auto pd = few() << shift(mode(), TableLevel::pd);
  if (mode() == PagingMode::bits32) return pd | pt;
  const auto pdpt = static_cast<Gva>(draw.of({0u, 0u, 1u})) << shift(mode(), TableLevel::pdpt);
  if (mode() == PagingMode::pae) return pdpt | pd | pt;
  auto gva = pdpt | pd | pt;
  gva |= static_cast<Gva>(draw.of({0u, 0u, 1u, 2u})) << shift(mode(), TableLevel::pml4);
  const auto top = root_level(mode());
  if (mode() == PagingMode::level5) {
    gva |= static_cast<Gva>(draw.of({0u, 0u, 1u})) << shift(mode(), top);
  }
  // The kernel half of the address space: canonical means sign-extended.
  if (upper_half && draw.chance(15)) gva |= ~Gva{0} << (shift(mode(), top) + 8);
  return gva;
}

}  // namespace lockstep::props
