// SPDX-License-Identifier: GPL-2.0-or-later
/// Memory slots: which guest frames exist, and what user space may ask for.
/// Documentation/virt/kvm/api.rst, KVM_SET_USER_MEMORY_REGION; the errno of
/// each refusal from __kvm_set_memory_region() in virt/kvm/kvm_main.c.
#pragma once

#include <boost/container/flat_map.hpp>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <vector>

#include "spec/engine.h"
#include "spec/x86/processor.h"

namespace lockstep::spec {

struct Slot {
  Gpa gpa = 0;
  std::uint64_t size = 0;  ///< bytes, a multiple of the page size
  Hva hva = 0;
  bool log = false;
  bool read_only = false;

  bool contains(Gpa address) const { return address >= gpa && address - gpa < size; }
};

/// What a request does to the slot that it names.
enum class SlotChange : std::uint8_t { none, create, remove, move, flags };

class Memslots {
 public:
  explicit Memslots(Gfn max_gfn) : max_gfn_(max_gfn) { layouts_.push_back({}); }

  /// What the request does, or the errno of its refusal.
  struct Answer {
    SlotChange change = SlotChange::none;
    int error = 0;
  };
  Answer consider(const UserSlots::Region& request) const;

  /// Carry out an accepted request.
  void apply(Moment now, const UserSlots::Region& request, SlotChange change);

  using ById = boost::container::flat_map<unsigned, Slot>;
  /// Slots as they are now.
  const ById& current() const { return layouts_.back().slots; }
  const Slot* find(unsigned id) const;
  /// Slot that holds the gpa, with its id; slots never overlap.
  struct Backing {
    unsigned id = 0;
    const Slot* slot = nullptr;
    Hva hva = 0;
  };
  std::optional<Backing> backing(Gpa gpa) const { return backing_in(layouts_.size() - 1, gpa); }

  /// Until told otherwise, look up as if this slot of now were not there: it is about
  /// to go. KVM: KVM_MEMSLOT_INVALID.
  void hide(std::optional<unsigned> id) { hidden_ = id; }

  /// Which hva backed the gpa, if any, over each interval since `since`;
  /// neighbours with the same answer are one interval.
  struct BackedInterval {
    Moment since = 0;
    Moment until = still_true;
    std::optional<Hva> hva;
  };
  template <typename Take>
  void backing_since(Gpa gpa, Moment since, Take take) const {
    std::optional<BackedInterval> last;
    for (std::size_t i = 0; i < layouts_.size(); ++i) {
      const Moment until = i + 1 < layouts_.size() ? layouts_[i + 1].since : still_true;
      if (until <= since) continue;
      const std::optional<Backing> found = backing_in(i, gpa);
      const std::optional<Hva> hva = found ? std::optional(found->hva) : std::nullopt;
      if (last && last->hva == hva) {
        last->until = until;
        continue;
      }
      if (last) take(*last);
      last = BackedInterval{layouts_[i].since, until, hva};
    }
    if (last) take(*last);
  }

 private:
  struct Layout {
    Moment since = 0;
    ById slots;
  };
  std::optional<Backing> backing_in(std::size_t layout, Gpa gpa) const {
    const bool now = layout + 1 == layouts_.size();
    for (const auto& [id, slot] : layouts_[layout].slots) {
      if (now && hidden_ == id) continue;
      if (slot.contains(gpa)) return Backing{id, &slot, slot.hva + (gpa - slot.gpa)};
    }
    return std::nullopt;
  }

  Gfn max_gfn_;
  std::vector<Layout> layouts_;  ///< oldest first, never empty
  std::optional<unsigned> hidden_;
};

}  // namespace lockstep::spec
