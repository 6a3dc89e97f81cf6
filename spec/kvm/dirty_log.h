// SPDX-License-Identifier: GPL-2.0-or-later
/// The dirty bitmap of one slot, as far as user space may rely on it:
/// Documentation/virt/kvm/api.rst, KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG and
/// KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2.
///
/// The bitmap is a superset of the pages written. A page that is mapped
/// writable is logged at once, written or not (make_spte() in
/// arch/x86/kvm/mmu/spte.c), so reads may log too.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "spec/x86/processor.h"

namespace lockstep::spec {

class DirtyLog {
 public:
  /// `all_set`: KVM_DIRTY_LOG_INITIALLY_SET, every page starts dirty.
  DirtyLog(Moment now, std::uint64_t pages, bool all_set);

  /// When all pages were last write-protected: nothing mapped writable before
  /// explains a bit.
  Moment protected_since() const { return protected_since_; }

  std::uint64_t pages() const { return pages_; }
  /// A write to the page completed: its bit must show.
  void wrote(std::uint64_t page);
  /// Something may have mapped the page writable: its bit may show.
  void may_map_writable(std::uint64_t page);

  /// The slot moved: what was mapped where it stood explains bits too, until all
  /// pages are protected again.
  void moved(Gpa from) { earlier_.push_back(from); }
  const std::vector<Gpa>& earlier() const { return earlier_; }

  /// Bits that must show, and that may, a word per 64 pages.
  const std::vector<std::uint64_t>& must() const { return must_; }
  const std::vector<std::uint64_t>& may() const { return may_; }

  /// KVM_GET_DIRTY_LOG returned `words`, of which only `pages` count, a bit each. Plain
  /// mode clears the bitmap and protects the pages; manual mode leaves both for
  /// KVM_CLEAR_DIRTY_LOG, so what showed must show again.
  void got(const std::vector<std::uint64_t>& pages, const std::vector<std::uint64_t>& words,
           bool manual);
  /// Every page is write-protected now: the end of KVM_GET_DIRTY_LOG in plain mode.
  void all_protected(Moment now);

  /// Errno of KVM_CLEAR_DIRTY_LOG with this range, 0 if it is accepted.
  int clear_error(std::uint64_t first, std::uint64_t count) const;
  void clear(std::uint64_t first, std::uint64_t count);
  /// The same of these pages, a bit each.
  void clear(const std::vector<std::uint64_t>& pages);

 private:
  Moment protected_since_;
  std::uint64_t pages_;
  std::vector<std::uint64_t> must_;
  std::vector<std::uint64_t> may_;
  std::vector<Gpa> earlier_;  ///< where the slot stood
};

}  // namespace lockstep::spec
