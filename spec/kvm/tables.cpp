// SPDX-License-Identifier: GPL-2.0-or-later
/// Page tables in guest memory: how walks read them, and the accessed and dirty
/// flags that walks leave in them.
#include <algorithm>
#include <boost/container/small_vector.hpp>
#include <boost/container/static_vector.hpp>

#include "spec/kvm/state.h"

namespace lockstep::spec {

void TablesOfGuest::versions(Gpa gpa, unsigned size, Moment since,
                             std::vector<EntryVersion>& out) const {
  slots_.backing_since(gpa, since, [&](const Memslots::BackedInterval& interval) {
    if (!interval.hva) {
      out.push_back({interval.since, interval.until, 0, 0, /*backed=*/false});
      return;
    }
    // KVM does not see stores through the hva: whatever a poked table held
    // may stay in shadow pages, past any flush.
    const bool poked = poked_.contains(*interval.hva >> page_shift);
    const std::size_t first = out.size();
    memory_.versions(*interval.hva, size, poked ? 0 : since, poked ? 0 : interval.since,
                     interval.until, out);
    if (poked) {
      for (std::size_t i = first; i < out.size(); ++i) {
        out[i].held = out[i].until != still_true;
        out[i].until = still_true;
      }
    }
  });
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
  std::uint64_t maybe = 0;
};
/// One for each level at most.
using FlagsOfWay = boost::container::static_vector<Flags, 5>;

/// Flags that memory holds once this way was taken. A cached entry had its
/// accessed flag set when it was cached, and a write its dirty flag; so both
/// show in memory as long as memory still holds what was cached.
FlagsOfWay flags_of(PagingMode mode, const Way& way, bool write, bool dirty_doubt) {
  FlagsOfWay flags;
  for (std::size_t i = 0; i < way.levels; ++i) {
    const LevelRead& read = way.reads[i];
    if (!read.current || !has_accessed_flag(mode, read.level)) continue;
    const bool leaf = i + 1u == way.levels;
    flags.push_back({read.address,
                     entry::accessed | (leaf && write && !dirty_doubt ? entry::dirty : 0),
                     leaf && dirty_doubt ? entry::dirty : 0});
  }
  return flags;
}

std::uint64_t bits_at(const FlagsOfWay& flags, Gpa address) {
  std::uint64_t bits = 0;
  for (const Flags& f : flags) {
    if (f.entry == address) bits |= f.bits;
  }
  return bits;
}

std::uint64_t maybe_at(const FlagsOfWay& flags, Gpa address) {
  std::uint64_t bits = 0;
  for (const Flags& f : flags) {
    if (f.entry == address) bits |= f.maybe;
  }
  return bits;
}

}  // namespace

void Machine::State::apply_flags(std::span<const Candidate* const> consistent, bool write,
                                 bool certain) {
  boost::container::small_vector<FlagsOfWay, 4> each;
  boost::container::small_vector<Gpa, 16> entries;
  for (const Candidate* candidate : consistent) {
    each.push_back(flags_of(configuration.paging, candidate->way, write, candidate->dirty_doubt));
    for (const Flags& f : each.back()) entries.push_back(f.entry);
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
      may |= bits_at(flags, address) | maybe_at(flags, address);
    }
    // A fact about memory at the moment the entry was read; if several values
    // are possible, the walk used only one of them.
    const Memory::Possibles before = memory.load(backing->hva, size);
    if (before.size() > 1 || !certain) {
      may |= must;
      must = 0;
    }
    bool newly = false;
    bool known = true;
    for (const Memory::Possible& p : before) {
      newly = newly || (must & ~(p.value | p.maybe)) != 0;
      known = known && ((must | may) & ~p.value) == 0;
    }
    if (known) continue;
    memory.set_flags(backing->hva, must, may);
    // Setting a flag is a write to the table's page.
    if (newly) log_write(address, /*certain=*/true);
  }
}

/// SDM "Accessed and Dirty Flags": whether a walk that ends in a fault sets the
/// accessed flags of what it read is the processor's affair.
void Machine::State::apply_possible_flags(std::span<const Candidate* const> walks, bool write) {
  for (const Candidate* walk : walks) {
    for (const Flags& flags : flags_of(configuration.paging, walk->way, write, walk->dirty_doubt)) {
      const auto backing = slots.backing(flags.entry);
      if (!backing || backing->slot->read_only) continue;
      const std::uint64_t may = flags.bits | flags.maybe;
      bool newly = false;
      bool present = true;
      for (const Memory::Possible& p :
           memory.load(backing->hva, entry_size(configuration.paging))) {
        present = present && (p.value & entry::present) != 0;
        newly = newly || (may & ~(p.value | p.maybe)) != 0;
      }
      if (!present) continue;  // where nothing is set
      memory.set_flags(backing->hva, 0, may);
      if (newly) log_write(flags.entry, /*certain=*/false);
    }
  }
}

std::uint64_t Machine::State::flags_set_at(const Way& way, Hva hva, unsigned size) const {
  std::uint64_t bits = 0;
  for (const Flags& flags : flags_of(configuration.paging, way, /*write=*/false,
                                     /*dirty_doubt=*/false)) {
    // Whatever backs it, its place in the page must be the access'.
    if (((flags.entry - hva) & ~page_mask) >= size) continue;
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
  const unsigned inside = static_cast<unsigned>(hva & (entry_size(configuration.paging) - 1));
  if (inside != 0 || !table_pages.contains(hva >> page_shift)) return 0;
  std::uint64_t flags = 0;
  for (unsigned offset = 0; offset < std::min(size, 8u);
       offset += entry_size(configuration.paging)) {
    flags |= entry::accessed << (offset * 8);
  }
  return flags;
}

std::uint64_t Machine::State::speculative_flags(Hva hva, unsigned size, std::uint64_t value) const {
  // Entry by entry: the present bit stands five below the accessed flag.
  const std::uint64_t of_present_entries = (value & (accessed_flags(hva, size) >> 5)) << 5;
  return of_present_entries & ~value;
}

bool Machine::State::mapped_writable_by_some_table(Gpa gpa, Moment since) const {
  // Only shadow paging maps what nobody accessed, and only through entries
  // that are writable and dirty: protect_clean_gpte().
  if (platform.tdp) return false;
  const PagingMode mode = configuration.paging;
  const unsigned size = entry_size(mode);
  constexpr std::uint64_t rights = entry::present | entry::writable | entry::dirty;
  std::vector<EntryVersion> versions;
  for (const auto& [page, table] : table_pages) {
    // What was never written is a code cell: no present entry, in either half.
    for (const Hva cell : memory.written_in(page)) {
      versions.clear();
      for (Hva entry = cell; entry < cell + sizeof(std::uint64_t); entry += size) {
        memory.versions(entry, size, since, 0, still_true, versions);
      }
      for (const EntryVersion& version : versions) {
        if (((version.value | version.maybe) & rights) != rights) continue;
        for (const TableLevel level : table.levels) {
          const bool large = (version.value & entry::page_size) != 0;
          if (level != TableLevel::pt && !large) continue;
          const unsigned shift =
              level == TableLevel::pt
                  ? 12
                  : (mode == PagingMode::bits32 ? 22 : (level == TableLevel::pd ? 21 : 30));
          if (((version.value & entry::address) >> shift) == (gpa >> shift)) return true;
        }
      }
    }
  }
  return false;
}

bool Machine::State::engines_own(Hva hva, unsigned size) const {
  if (configuration.paging == PagingMode::none) return false;
  const unsigned bytes = entry_size(configuration.paging);
  for (const Gpa root : configuration.roots) {
    const auto backing = slots.backing(root);
    if (!backing) continue;
    const Hva first = backing->hva + harness_index(configuration.paging) * bytes;
    const Hva last = backing->hva + entries_per_table(configuration.paging) * bytes;
    // A PAE root has four entries; the rest of its page is the program's.
    const Hva end = configuration.paging == PagingMode::pae ? first + bytes : last;
    if (hva < end && hva + size > first) return true;
  }
  return false;
}

}  // namespace lockstep::spec
