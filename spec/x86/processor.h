// SPDX-License-Identifier: GPL-2.0-or-later
/// What one logical processor's registers were and are, and from when on its
/// caches may hold something: SDM volume 3, "Caching Translation Information".
///
/// No cache is modelled entry by entry. A translation may be cached if some
/// walk since the last invalidation that would have dropped it could have
/// produced it; so only the moments of invalidations are kept, and walks are
/// redone over the history of memory (spec/x86/translations).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "spec/command.h"
#include "spec/vocabulary/configuration.h"

namespace lockstep::spec {

/// A point in the model's time; every command moves it by one.
using Moment = std::uint64_t;
inline constexpr Moment still_true = ~0ull;

/// The registers that a walk depends on, constant over [since, until).
struct Registers {
  Moment since = 0;
  Moment until = still_true;
  Gpa root = 0;
  unsigned pcid = 0;
  ControlBits control;
  std::array<std::uint64_t, 4> pdptes{};  ///< PAE only: loaded, not in memory
};

class Processor {
 public:
  Processor() = default;
  /// Start with empty caches. `registers.since` is ignored.
  Processor(Moment now, Registers registers);

  const Registers& registers() const { return history_.back(); }
  /// Every register state since nothing older can be cached, oldest first.
  const std::vector<Registers>& history() const { return history_; }

  /// MOV to CR3. SDM "Operations that Invalidate TLBs and Paging-Structure
  /// Caches": drops the PCID's translations and prefixes, globals stay; with
  /// bit 63 set drops nothing.
  void load_cr3(Moment now, Gpa root, unsigned pcid, bool noflush,
                const std::array<std::uint64_t, 4>& pdptes);

  /// MOV to CR0 or CR4, WRMSR EFER: one bit changes. Drops everything if it
  /// changes CR4.PGE or clears CR4.PCIDE; drops the current PCID's if it sets
  /// CR4.SMEP; nothing otherwise.
  void set_control(Moment now, ControlBit bit, bool on, const std::array<std::uint64_t, 4>& pdptes);

  /// INVLPG: the page, globals included, and every prefix of the PCID. The
  /// caller leaves out non-canonical addresses, which do nothing.
  void invlpg(Moment now, Gva gva);

  /// INVPCID, by its four types.
  void invpcid(Moment now, InvpcidType type, unsigned pcid, Gva gva);

  /// #PF: whatever would translate the faulting address. SDM "Operations that
  /// Invalidate TLBs and Paging-Structure Caches": a page fault drops what is
  /// associated with the current PCID. A global translation is used under every PCID
  /// and associated with the one that made it.
  /// `certain`: not so on a KVM that shadows page tables and saw P=0 or RSVD=1.
  void page_fault(Moment now, Gva gva, bool certain);

  /// Whether an uncertain page fault may have dropped translations of `gva`.
  bool doubts(Gva gva) const;
  /// The same processor, had no uncertain page fault dropped anything.
  Processor without_uncertain_drops() const;
  /// The same processor, had the bit always been as given.
  Processor with_control(ControlBit bit, bool on) const;

  /// Whether another root was loaded under the current PCID since it was flushed.
  bool kept_another_root() const;
  /// PCIDs that may have something cached, the current one apart.
  std::vector<unsigned> other_pcids() const;
  /// The same processor, were its CR3 that PCID's.
  Processor as_pcid(unsigned pcid) const;

  /// Earliest moment at which an entry of a still cached, complete, non-global
  /// translation of `gva` under `pcid` may have been read.
  Moment translations_since(unsigned pcid, Gva gva) const;
  /// The same for a global translation that a walk under `pcid` made.
  Moment globals_since(unsigned pcid, Gva gva) const;
  /// The same for a paging-structure prefix.
  Moment prefixes_since(unsigned pcid, Gva gva) const;

 private:
  void change(Moment now, Registers next);
  void drop_all(Moment now);

  std::vector<Registers> history_;
  Moment all_ = 0;
  std::map<unsigned, Moment> pcid_;
  std::map<unsigned, Moment> prefixes_;
  std::map<std::pair<unsigned, Gva>, Moment> page_;
  std::map<Gva, Moment> global_page_;
  std::map<std::pair<unsigned, Gva>, Moment> faulted_;    ///< page faults that drop globals
  std::map<std::pair<unsigned, Gva>, Moment> uncertain_;  ///< page faults that may drop nothing
};

}  // namespace lockstep::spec
