// SPDX-License-Identifier: GPL-2.0-or-later
/// The program's host memory, with its history: every aligned 8 bytes remember
/// what they held and when, because a processor may have cached what a page
/// walk read there.
#pragma once

#include <array>
#include <boost/container/small_vector.hpp>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "spec/x86/translations.h"

namespace lockstep::spec {

/// How many contents of 8 bytes may be possible before the model gives up.
inline constexpr std::size_t possible_bound = 64;

class Memory {
 public:
  /// Store `size` bytes at an aligned hva; true from `now` on.
  void write(Moment now, Hva hva, unsigned size, std::uint64_t value);

  /// A store that may or may not have happened here: both contents are possible
  /// until a load tells. False if that makes too many contents possible.
  bool maybe_write(Moment now, Hva hva, unsigned size, std::uint64_t value);

  /// The pages [hva, hva + size) hold from `now` on what fresh pages hold.
  void discard(Moment now, Hva hva, std::uint64_t size);

  /// A processor set (`must`) or may have set (`may`) flags of the entry at hva.
  void set_flags(Hva hva, std::uint64_t must, std::uint64_t may);

  /// Every value that a load of `size` bytes may return, each with the bits
  /// that may be set besides.
  struct Possible {
    std::uint64_t value = 0;
    std::uint64_t maybe = 0;
  };
  using Possibles = boost::container::small_vector<Possible, 1>;
  Possibles load(Hva hva, unsigned size) const;

  /// A load returned `value`: forget what contradicts it. `flags` are bits that
  /// may differ for a reason that the caller knows.
  void learn(Hva hva, unsigned size, std::uint64_t value, std::uint64_t flags);

  /// Versions of the entry at hva that were true at `since` or later, oldest
  /// first, cut to [from, until).
  void versions(Hva hva, unsigned size, Moment since, Moment from, Moment until,
                std::vector<EntryVersion>& out) const;

  /// The aligned 8 bytes of a page that do not hold what fresh pages do, or did not
  /// always; in any order.
  std::span<const Hva> written_in(Hfn page) const;

 private:
  /// One value, but after stores that may not have happened.
  using Values = boost::container::small_vector<std::uint64_t, 1>;
  struct Version {
    Moment since = 0;
    Values values;            ///< any of them
    std::uint64_t maybe = 0;  ///< bits that may be set besides
  };
  /// Oldest first, never empty. Most cells are stored to once or never.
  using Cell = boost::container::small_vector<Version, 2>;

  /// Cells that were looked for last: a command asks for the same few again and
  /// again. Cells never move and never go; a copy has cells of its own.
  class Recent {
   public:
    Recent() = default;
    Recent(const Recent&) {}
    Recent& operator=(const Recent&) {
      slots_ = {};
      return *this;
    }
    Cell* find(Hva cell) const {
      const Slot& slot = slots_[index(cell)];
      return slot.at == cell ? slot.cell : nullptr;
    }
    void keep(Hva at, Cell& cell) { slots_[index(at)] = {at, &cell}; }

   private:
    struct Slot {
      Hva at = ~0ull;
      Cell* cell = nullptr;
    };
    static std::size_t index(Hva at) { return (at >> 3 ^ at >> 12) % 64; }
    std::array<Slot, 64> slots_{};
  };

  Cell& cell(Hva hva);
  /// Null if the 8 bytes were never written.
  Cell* find(Hva cell) const;
  static Version fresh(Hva hva);
  static void sort_unique(Values& values);

  std::unordered_map<Hva, Cell> cells_;
  mutable Recent recent_;
  /// Keys of cells_, by page.
  std::unordered_map<Hfn, boost::container::small_vector<Hva, 2>> written_;
};

}  // namespace lockstep::spec
