// SPDX-License-Identifier: GPL-2.0-or-later
/// Translations that a processor remembers. SDM "Caching Translation
/// Information"; entries leave only for the reasons that stand here.
#pragma once

#include <array>
#include <cstdint>

#include "spec/vocabulary/address.h"
#include "spec/x86/walk.h"

namespace lockstep::spec {

/// One cached translation of a 4-KiB piece of linear address space. A large
/// page is cached in such pieces, which INVLPG drops together.
struct TlbEntry {
  Translated guest;           ///< what the walked tables say, read when they were walked
  Hfn frame = 0;              ///< host frame of the piece
  Hfn root = 0;               ///< of the engine's tables that gave the frame
  bool host_writable = true;  ///< second dimension; true without one
  bool host_executable = true;
  bool host_readable = true;
};

/// Direct-mapped by linear page and context; tagged by PCID, except global translations, and by
/// what the second dimension was walked from (SDM "Information That May Be Cached": EP4TA; APM "TLB
/// Control": ASID), globals too.
class Tlb {
 public:
  /// `seed` decides which entries an eviction hits.
  explicit Tlb(std::uint64_t seed) : random_(seed | 1) {}

  /// The entry for the page of `gva`; null if none.
  TlbEntry* find(Gva gva, unsigned pcid) {
    Slot& slot = slots_[index(gva)];
    const bool here = live(slot) && slot.context == context_ && slot.page == gva >> page_shift;
    return here && matches(slot, pcid) ? &slot.entry : nullptr;
  }
  /// Translations are found and remembered for this context from here on.
  void enter(std::uint64_t context) { context_ = context; }
  /// Remember a translation, forgetting another one if need be.
  void insert(Gva gva, unsigned pcid, const TlbEntry& entry) {
    slots_[index(gva)] = {gva >> page_shift, generation_, context_, pcid, entry};
  }
  /// Forget one page in this context, as a #PF on it does.
  void drop(Gva gva) { slots_[index(gva)].generation = 0; }

  /// INVLPG and INVPCID type 0: every piece of the page that holds `gva`;
  /// globals too if asked.
  void invalidate_page(Gva gva, unsigned pcid, bool globals);
  /// INVLPGA, single-address INVVPID: every piece of the page, whatever its PCID.
  void invalidate_page(Gva gva);
  /// Every translation of one PCID but globals.
  void flush_pcid(unsigned pcid);
  /// Every translation but globals, of all PCIDs.
  void flush_nonglobal();
  /// Every translation of one context: INVEPT and INVVPID of one, TLB_CONTROL of an ASID.
  void flush_context(std::uint64_t context);
  /// Everything.
  void flush() { ++generation_; }
  /// Begin again, empty, with another seed.
  void reset(std::uint64_t seed) {
    random_ = seed | 1;
    flush();
  }
  /// Call function(gva of the piece, pcid, entry) for each translation of this context.
  template <typename Function>
  void each(Function&& function) const {
    for (const Slot& slot : slots_) {
      if (!live(slot) || slot.context != context_) continue;
      function(static_cast<Gva>(slot.page << page_shift), slot.pcid, slot.entry);
    }
  }
  /// Forget some entry, at random: a processor may at any time.
  void evict_one() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    slots_[random_ % slots_.size()].generation = 0;
  }

 private:
  struct Slot {
    std::uint64_t page = 0;
    std::uint64_t generation = 0;
    std::uint64_t context = 0;
    unsigned pcid = 0;
    TlbEntry entry;
  };
  static constexpr std::size_t size = 256;

  /// Of what a context remembers of a page; two contexts do not take each other's place.
  std::size_t index(Gva gva) const {
    const std::uint64_t page = gva >> page_shift ^ gva >> 21 ^ gva >> 30 ^ gva >> 39;
    return (page ^ context_ ^ context_ >> page_shift) % size;
  }
  bool live(const Slot& slot) const { return slot.generation == generation_; }
  static bool matches(const Slot& slot, unsigned pcid) {
    return slot.entry.guest.global || slot.pcid == pcid;
  }

  std::uint64_t random_;
  std::uint64_t generation_ = 1;
  std::uint64_t context_ = 0;
  std::array<Slot, size> slots_{};
};

}  // namespace lockstep::spec
