// SPDX-License-Identifier: GPL-2.0-or-later
/// Every way in which one processor may translate an address now: a fresh walk,
/// a walk from a cached prefix, or a complete cached translation.
///
/// SDM volume 3, "Caching Translation Information": entries are cached as they
/// were when a walk read them; a walk reads from the root down, so the moments
/// of its reads never decrease; not-present and reserved entries are not
/// cached, so a walk that ends at one read it now.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "spec/x86/processor.h"
#include "spec/x86/walk.h"

namespace lockstep::spec {

/// What an entry of a page table may have held over [since, until).
struct EntryVersion {
  Moment since = 0;
  Moment until = still_true;
  std::uint64_t value = 0;
  /// Accessed and dirty flags that are clear in `value` but may have been set.
  std::uint64_t maybe = 0;
  /// No memory slot backs the entry: it reads as not present
  /// (walk_addr_generic() in arch/x86/kvm/mmu/paging_tmpl.h).
  bool backed = true;
  /// Memory holds something newer, but a walk may still meet this.
  bool held = false;
};

/// Memory as page walks see it.
class EntryHistory {
 public:
  virtual ~EntryHistory() = default;
  /// Append every version of the entry at `gpa` (`size` bytes) that was true at
  /// `since` or later, oldest first.
  virtual void versions(Gpa gpa, unsigned size, Moment since,
                        std::vector<EntryVersion>& out) const = 0;
};

/// One entry of a walk, for dumps and for accessed and dirty flags.
struct LevelRead {
  TableLevel level = TableLevel::pt;
  Gpa address = 0;
  std::uint64_t value = 0;
  bool current = false;  ///< memory still holds this version
  bool backed = true;
};

/// One admitted way to translate.
struct Way {
  enum class Kind : std::uint8_t {
    translated,
    not_present,  ///< the last entry read is not present
    reserved      ///< the last entry read has a reserved bit set
  };
  Kind kind = Kind::translated;
  Translated translation;
  bool cached_leaf = false;  ///< used without a read of the leaf now
  bool stale = false;        ///< an entry that it used has changed since
  bool maybe_dirty = false;  ///< the leaf's dirty flag may have been set when read
  std::uint8_t levels = 0;   ///< entries in `reads`
  std::array<LevelRead, 5> reads{};
};

/// How many ways are enumerated before the model gives up.
inline constexpr std::size_t way_bound = 256;

/// Append every way to translate `gva` on the processor at `now`. The first is
/// the fresh walk. False if there are more than way_bound.
/// `state.control` is taken from the processor's history, not from `state`.
/// `met_reserved`, if given, is set if some entry had a reserved bit set: without
/// one, other reserved bits give the same ways as long as they are fewer.
bool translations(const Processor& processor, PagingState state, const EntryHistory& memory,
                  Gva gva, Moment now, std::vector<Way>& ways, bool* met_reserved = nullptr);

/// The fresh walk alone.
Way fresh_walk(const Processor& processor, PagingState state, const EntryHistory& memory, Gva gva,
               Moment now);

}  // namespace lockstep::spec
