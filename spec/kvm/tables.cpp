// SPDX-License-Identifier: GPL-2.0-or-later
/// Page tables in guest memory: how walks read them, and the accessed and dirty
/// flags that walks leave in them.
#include <algorithm>

#include "spec/kvm/state.h"

namespace lockstep::spec {

void TablesOfGuest::versions(Gpa gpa, unsigned size, Moment since,
                             std::vector<EntryVersion>& out) const {
  std::vector<Memslots::BackedInterval> intervals;
  slots_.backing_since(gpa, since, intervals);
  for (const Memslots::BackedInterval& interval : intervals) {
    if (!interval.hva) {
      out.push_back({interval.since, interval.until, 0, 0, /*backed=*/false});
      continue;
    }
    // KVM does not see stores through the hva: whatever a poked table held
    // may stay in shadow pages, past any flush.
    const bool poked = poked_.contains(*interval.hva >> page_shift);
    const std::size_t first = out.size();
    memory_.versions(*interval.hva, size, poked ? 0 : since, poked ? 0 : interval.since,
                     interval.until, out);
    if (poked) {
      for (std::size_t i = first; i < out.size(); ++i) out[i].until = still_true;
    }
  }
}

namespace {

/// SDM "Accessed and Dirty Flags": entries of every level but PAE's PDPTEs,
/// which are registers.
bool has_accessed_flag(PagingMode mode, TableLevel level) {
  return !(mode == PagingMode::pae && level == TableLevel::pdpt);
}

struct Flags {
  Gpa entry = 0;
  std::uint64_t bits = 0;
};

/// Flags that memory holds once this way was taken. A cached entry had its
/// accessed flag set when it was cached, and a write its dirty flag; so both
/// show in memory as long as memory still holds what was cached.
std::vector<Flags> flags_of(PagingMode mode, const Way& way, bool write) {
  std::vector<Flags> flags;
  for (std::size_t i = 0; i < way.levels; ++i) {
    const LevelRead& read = way.reads[i];
    if (!read.current || !has_accessed_flag(mode, read.level)) continue;
    const bool leaf = i + 1u == way.levels;
    flags.push_back({read.address, entry::accessed | (leaf && write ? entry::dirty : 0)});
  }
  return flags;
}

std::uint64_t bits_at(const std::vector<Flags>& flags, Gpa address) {
  std::uint64_t bits = 0;
  for (const Flags& f : flags) {
    if (f.entry == address) bits |= f.bits;
  }
  return bits;
}

}  // namespace

void Machine::State::apply_flags(const std::vector<const Candidate*>& consistent, bool write) {
  std::vector<std::vector<Flags>> each;
  std::vector<Gpa> entries;
  for (const Candidate* candidate : consistent) {
    each.push_back(flags_of(configuration.paging, candidate->way, write));
    for (const Flags& f : each.back()) entries.push_back(f.entry);
    for (std::size_t i = 0; i < candidate->way.levels; ++i) {
      remember_table(candidate->way.reads[i].address);
    }
  }
  std::sort(entries.begin(), entries.end());
  entries.erase(std::unique(entries.begin(), entries.end()), entries.end());

  const unsigned size = entry_size(configuration.paging);
  for (const Gpa address : entries) {
    const auto backing = slots.backing(address);
    // walk_addr_generic(): tables in read-only slots keep their flags.
    if (!backing || backing->slot->read_only) continue;
    std::uint64_t must = ~0ull;
    std::uint64_t may = 0;
    for (const auto& flags : each) {
      must &= bits_at(flags, address);
      may |= bits_at(flags, address);
    }
    // A fact about memory at the moment the entry was read; if several values
    // are possible, the walk used only one of them.
    const std::vector<Memory::Possible> before = memory.load(backing->hva, size);
    if (before.size() > 1) {
      may |= must;
      must = 0;
    }
    bool newly = false;
    for (const Memory::Possible& p : before) {
      newly = newly || (must & ~(p.value | p.maybe)) != 0;
    }
    memory.set_flags(backing->hva, must, may);
    // Setting a flag is a write to the table's page.
    if (newly) log_write(address, /*certain=*/true);
  }
}

std::uint64_t Machine::State::flags_set_at(const Way& way, Hva hva, unsigned size) const {
  if (!table_pages.contains(hva >> page_shift)) return 0;
  std::uint64_t bits = 0;
  for (const Flags& flags : flags_of(configuration.paging, way, /*write=*/false)) {
    const auto backing = slots.backing(flags.entry);
    if (!backing || backing->slot->read_only) continue;
    // The flags stand in the lowest byte of the entry.
    if (backing->hva >= hva && backing->hva < hva + size) {
      bits |= flags.bits << ((backing->hva - hva) * 8);
    }
  }
  return bits;
}

std::uint64_t Machine::State::accessed_flags(Hva hva, unsigned size) const {
  if (!table_pages.contains(hva >> page_shift)) return 0;
  std::uint64_t flags = 0;
  for (unsigned offset = 0; offset < size; offset += entry_size(configuration.paging)) {
    flags |= entry::accessed << (offset * 8);
  }
  return flags;
}

std::uint64_t Machine::State::speculative_flags(Hva hva, unsigned size, std::uint64_t value) const {
  // Entry by entry: the present bit stands five below the accessed flag.
  const std::uint64_t of_present_entries = (value & (accessed_flags(hva, size) >> 5)) << 5;
  return of_present_entries & ~value;
}

bool Machine::State::mapped_writable_by_some_table(Gpa gpa) const {
  // Only asked for pages that nothing else explains; walks every known table.
  const unsigned size = entry_size(configuration.paging);
  for (const Hfn page : table_pages) {
    for (unsigned index = 0; index < entries_per_table(configuration.paging); ++index) {
      const Hva hva = (page << page_shift) + static_cast<Hva>(index) * size;
      std::vector<EntryVersion> versions;
      memory.versions(hva, size, 0, 0, still_true, versions);
      for (const EntryVersion& version : versions) {
        const std::uint64_t rights = entry::present | entry::writable;
        if ((version.value & rights) != rights) continue;
        const std::uint64_t mask = (version.value & entry::page_size) != 0
                                       ? ~((1ull << 30) - 1) & entry::address
                                       : entry::address;
        if ((version.value & mask) == (gpa & mask)) return true;
      }
    }
  }
  return false;
}

}  // namespace lockstep::spec
