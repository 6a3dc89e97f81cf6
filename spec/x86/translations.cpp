// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/x86/translations.h"

#include <algorithm>

namespace lockstep::spec {
namespace {

constexpr Combined everything{};

/// The control bits that decide what an entry means when it is read.
ControlBits of_entries(ControlBits control) {
  ControlBits meaning;
  for (const ControlBit bit : {ControlBit::cr4_pse, ControlBit::cr4_pge, ControlBit::efer_nx}) {
    meaning.set(bit, control.has(bit));
  }
  return meaning;
}

/// Identity: no paging, no fault. SDM "Paging Modes and Control Bits".
Way unpaged(Gva gva) {
  Way way;
  way.translation.page = gva & 0xffff'f000ull;
  way.translation.size = page_size;
  way.translation.dirty = true;
  way.maybe_dirty = true;
  return way;
}

/// Whether two ways that are true now read the same entries.
bool same_reads(const Way& a, const Way& b) {
  const auto same = [](const LevelRead& x, const LevelRead& y) {
    return x.address == y.address && x.value == y.value && x.current == y.current;
  };
  return !b.stale && a.maybe_dirty == b.maybe_dirty &&
         std::equal(a.reads.begin(), a.reads.begin() + a.levels, b.reads.begin(),
                    b.reads.begin() + b.levels, same);
}

class Enumeration {
 public:
  Enumeration(const Processor& processor, const PagingState& state, const EntryHistory& memory,
              Gva gva, Moment now, std::vector<Way>& ways)
      : processor_(processor), state_(state), memory_(memory), gva_(gva), now_(now), ways_(ways) {
    versions_.clear();
  }

  /// A walk that reads every entry now.
  void fresh() {
    const Registers& registers = processor_.registers();
    wanted_ = Wanted::walk_now;
    pcid_ = registers.pcid;
    since_ = now_;
    from_root(registers, now_);
  }

  /// Walks now that begin behind a prefix read earlier.
  void from_prefixes() {
    wanted_ = Wanted::walk_from_prefix;
    pcid_ = processor_.registers().pcid;
    since_ = processor_.prefixes_since(pcid_, gva_);
    from_every_root();
  }

  /// Complete translations read at any time since they would have been dropped.
  void complete() {
    wanted_ = Wanted::complete;
    pcid_ = processor_.registers().pcid;
    since_ = processor_.translations_since(pcid_, gva_);
    from_every_root();
  }

  /// Complete global translations, which survive a change of CR3 or PCID.
  void complete_global() {
    wanted_ = Wanted::complete_global;
    std::vector<unsigned> done;
    for (const Registers& registers : processor_.history()) {
      if (std::find(done.begin(), done.end(), registers.pcid) != done.end()) continue;
      done.push_back(registers.pcid);
      pcid_ = registers.pcid;
      since_ = processor_.globals_since(pcid_, gva_);
      from_every_root();
    }
  }

  bool overflowed() const { return overflowed_; }
  bool met_reserved() const { return met_reserved_; }

 private:
  enum class Wanted { walk_now, walk_from_prefix, complete, complete_global };

  /// Walk from every root that the PCID had, at the earliest moment it had it:
  /// an earlier start admits every later read too.
  void from_every_root() {
    if (says_nothing_new()) return;
    const std::vector<Registers>& history = processor_.history();
    for (std::size_t i = 0; i < history.size(); ++i) {
      if (history[i].pcid != pcid_ || history[i].until <= since_) continue;
      const bool seen = std::any_of(
          history.begin(), history.begin() + static_cast<std::ptrdiff_t>(i),
          [&](const Registers& earlier) {
            return earlier.pcid == pcid_ && earlier.until > since_ &&
                   earlier.root == history[i].root && earlier.pdptes == history[i].pdptes;
          });
      if (!seen) from_root(history[i], std::max(since_, history[i].since));
    }
  }

  /// Whether every walk from `since_` on read what the walk now has read: add() would
  /// drop each of its ways.
  bool says_nothing_new() const {
    const Registers& present = processor_.registers();
    Moment begin = still_true;
    for (const Registers& earlier : processor_.history()) {
      if (earlier.pcid != pcid_ || earlier.until <= since_) continue;
      if (earlier.root != present.root || earlier.pdptes != present.pdptes ||
          of_entries(earlier.control) != of_entries(present.control)) {
        return false;
      }
      begin = std::min(begin, std::max(since_, earlier.since));
    }
    return newest_ <= begin;
  }

  void from_root(const Registers& registers, Moment at) {
    way_ = {};
    way_.stale = registers.root != processor_.registers().root;
    if (state_.mode != PagingMode::pae) {
      descend(root_level(state_.mode), registers.root, everything, at, /*now=*/at == now_);
      return;
    }
    // PDPTE registers stand in for the first level and have no flags to set.
    const std::uint64_t pdpte = registers.pdptes[(gva_ >> 30) & 3];
    const EntryRead read = read_entry(state_, TableLevel::pdpt, pdpte, everything);
    const Gpa address = entry_address(PagingMode::pae, TableLevel::pdpt, registers.root, gva_);
    way_.reads[way_.levels++] = {TableLevel::pdpt, address, pdpte, /*current=*/false, true};
    if (read.kind != EntryRead::Kind::table) {
      if (registers.until == still_true && wanted_ != Wanted::complete &&
          wanted_ != Wanted::complete_global) {
        add(way_,
            read.kind == EntryRead::Kind::reserved ? Way::Kind::reserved : Way::Kind::not_present);
      }
      return;
    }
    descend(TableLevel::pd, read.next, read.rights, at, /*now=*/at == now_);
  }

  /// Read the entry at this level at every moment from `at` on that the
  /// enumeration wants. `now`: an upper level was read now, so this one is too.
  void descend(TableLevel level, Gpa table, Combined before, Moment at, bool now) {
    if (overflowed_) return;
    const Gpa address = entry_address(state_.mode, level, table, gva_);
    const std::size_t first = versions_.size();
    memory_.versions(address, entry_size(state_.mode), at, versions_);
    const std::size_t last = versions_.size();
    for (std::size_t i = first; i < last; ++i) {
      const EntryVersion version = versions_[i];
      if (now && version.until != still_true) continue;
      // What is held is read as if it were now, and is not.
      if (wanted_ == Wanted::walk_now) {
        newest_ = std::max(newest_, version.held ? still_true : version.since);
      }
      read_under_each_control(level, address, version, before, at, now);
    }
    versions_.resize(first);
  }

  /// CR4.PSE and EFER.NX change what an entry means and drop nothing, so a
  /// version counts once for each meaning it could be read with.
  void read_under_each_control(TableLevel level, Gpa address, const EntryVersion& version,
                               Combined before, Moment at, bool now) {
    std::array<ControlBits, 8> meanings;
    std::size_t count = 0;
    for (const Registers& registers : processor_.history()) {
      if (registers.pcid != pcid_) continue;
      if (now && registers.until != still_true) continue;
      const Moment read_at = std::max({at, version.since, registers.since});
      if (read_at >= version.until || read_at >= registers.until) continue;
      const ControlBits meaning = of_entries(registers.control);
      if (std::find(meanings.begin(), meanings.begin() + count, meaning) !=
          meanings.begin() + count) {
        continue;
      }
      meanings.at(count++) = meaning;
      const bool stale = way_.stale;
      read(level, address, version, registers.control, before, now ? now_ : read_at, now);
      way_.stale = stale;
      --way_.levels;
    }
  }

  void read(TableLevel level, Gpa address, const EntryVersion& version, ControlBits control,
            Combined before, Moment at, bool now) {
    state_.control = control;
    const EntryRead read =
        version.backed ? read_entry(state_, level, version.value, before) : EntryRead{};
    const bool current = version.until == still_true &&
                         of_entries(control) == of_entries(processor_.registers().control);
    const bool in_memory = version.until == still_true && !version.held;
    way_.reads[way_.levels++] = {level, address, version.value, in_memory, version.backed};
    way_.stale = way_.stale || !in_memory;
    const bool may_end_now =
        current && (wanted_ == Wanted::walk_now || wanted_ == Wanted::walk_from_prefix);
    switch (read.kind) {
      case EntryRead::Kind::not_present:
        if (may_end_now) add(way_, Way::Kind::not_present);
        return;
      case EntryRead::Kind::reserved:
        met_reserved_ = true;
        if (may_end_now) add(way_, Way::Kind::reserved);
        return;
      case EntryRead::Kind::table: {
        const auto below = static_cast<TableLevel>(static_cast<unsigned>(level) - 1);
        descend(below, read.next, read.rights, at, now);
        return;
      }
      case EntryRead::Kind::leaf:
        break;
    }
    Way way = way_;
    if (wanted_ == Wanted::walk_now || wanted_ == Wanted::walk_from_prefix) {
      if (!current) return;
    } else {
      // INVLPG drops global translations whatever the PCID: they count apart.
      if ((wanted_ == Wanted::complete_global) != read.leaf.global) return;
      way.cached_leaf = true;
    }
    way.translation = read.leaf;
    way.maybe_dirty = read.leaf.dirty || (version.maybe & entry::dirty) != 0;
    add(way, Way::Kind::translated);
  }

  void add(const Way& way, Way::Kind kind) {
    // What is cached and still true says nothing that a walk now does not.
    if (!way.stale && std::any_of(ways_.begin(), ways_.end(), [&](const Way& other) {
          return other.kind == kind && same_reads(way, other);
        })) {
      return;
    }
    if (ways_.size() >= way_bound) {
      overflowed_ = true;
      return;
    }
    ways_.push_back(way);
    ways_.back().kind = kind;
  }

  const Processor& processor_;
  PagingState state_;
  const EntryHistory& memory_;
  const Gva gva_;
  const Moment now_;
  std::vector<Way>& ways_;
  /// Of every enumeration, one after another: what it holds is as old as one walk.
  static thread_local std::vector<EntryVersion> versions_;
  Way way_;  ///< as far as it has come
  Wanted wanted_ = Wanted::walk_now;
  unsigned pcid_ = 0;
  Moment since_ = 0;
  Moment newest_ = 0;  ///< since when every entry of the walk now is as it is
  bool overflowed_ = false;
  bool met_reserved_ = false;
};

thread_local std::vector<EntryVersion> Enumeration::versions_;

}  // namespace

bool translations(const Processor& processor, PagingState state, const EntryHistory& memory,
                  Gva gva, Moment now, std::vector<Way>& ways, bool* met_reserved) {
  if (state.mode == PagingMode::none) {
    ways.push_back(unpaged(gva));
    return true;
  }
  Enumeration enumeration(processor, state, memory, gva, now, ways);
  enumeration.fresh();
  enumeration.from_prefixes();
  enumeration.complete();
  if (processor.registers().control.has(ControlBit::cr4_pge)) enumeration.complete_global();
  if (met_reserved != nullptr) *met_reserved = *met_reserved || enumeration.met_reserved();
  return !enumeration.overflowed();
}

Way fresh_walk(const Processor& processor, PagingState state, const EntryHistory& memory, Gva gva,
               Moment now) {
  if (state.mode == PagingMode::none) return unpaged(gva);
  static thread_local std::vector<Way> ways;
  ways.clear();
  Enumeration(processor, state, memory, gva, now, ways).fresh();
  return ways.front();
}

}  // namespace lockstep::spec
