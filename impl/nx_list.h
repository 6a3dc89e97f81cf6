// SPDX-License-Identifier: GPL-2.0-or-later
/// Pages that map small what could be mapped huge, because code runs there: the
/// iTLB multihit mitigation (CVE-2018-12207). From time to time the oldest go,
/// and a huge page may come back.
#pragma once

#include <cstdint>
#include <mutex>

#include "impl/mutants.h"
#include "impl/shadow_page.h"

namespace lockstep::impl {

/// KVM: possible_nx_huge_pages. Thread-safe; owns no page, and each page leaves
/// the list before it goes.
class NxList {
 public:
  /// KVM: account_huge_nx_page().
  void add(ShadowPage& page) {
    const std::scoped_lock lock(mutex_);
    if (page.no_huge) return;
    page.no_huge = true;
    page.recoverable = Token(count_);
    page.nx_next = nullptr;
    page.nx_previous = last_;
    (last_ != nullptr ? last_->nx_next : first_) = &page;
    last_ = &page;
  }
  void remove(ShadowPage& page) {
    const std::scoped_lock lock(mutex_);
    if (!page.no_huge || mutant(Mutant::nx_recovery_keeps_list)) return;
    page.no_huge = false;
    page.recoverable = Token{};
    (page.nx_previous != nullptr ? page.nx_previous->nx_next : first_) = page.nx_next;
    (page.nx_next != nullptr ? page.nx_next->nx_previous : last_) = page.nx_previous;
    page.nx_next = page.nx_previous = nullptr;
  }
  /// The oldest page, or null; the others follow through nx_next.
  ShadowPage* first() const { return first_; }
  std::uint64_t size() const { return count_.value(); }

 private:
  std::mutex mutex_;
  ShadowPage* first_ = nullptr;
  ShadowPage* last_ = nullptr;
  TokenCount count_;
};

}  // namespace lockstep::impl
