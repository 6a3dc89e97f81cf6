// SPDX-License-Identifier: GPL-2.0-or-later
/// What KVM answers when the host asks whether pages are young: MMU notifiers test_young,
/// clear_young and clear_flush_young (struct mmu_notifier_ops). The host trusts it: a page
/// that is old is taken away first.
///
/// Hardware sets accessed bits, entries without them lose their rights to be accessed
/// (mark_spte_for_access_track()), so what the entries say is what was accessed since they
/// were cleared or made. Freedoms of KVM, which the entries show and nothing here forbids: an
/// entry that is zapped takes its accessed bit along (kvm_set_pfn_accessed() tells the host
/// then, if at all), and one that is prefetched or made for a fault is young at once
/// (make_spte()).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "spec/kvm/view.h"
#include "spec/vocabulary/address.h"

namespace lockstep::spec {

/// Answers to one aging of a range, while no guest ran.
struct AgingAnswers {
  bool first_young = false;  ///< test_young of the first page, before
  bool young = false;        ///< clear_young or clear_flush_young of the range
  bool still_young = false;  ///< test_young of the first page, behind it
};

/// How the rmaps of a range are walked.
enum class AgingWalk : std::uint8_t {
  each_leaf,  ///< what KVM owes
  /// kvm_rmap_age_gfn_range() goes from the first page by the size of a leaf: a huge leaf in
  /// which the range ends is passed over if the range begins deeper in its leaf than it ends.
  by_steps
};

/// What is wrong with answers that contradict one another; none if nothing is.
std::optional<std::string> judge_aging(const AgingAnswers& answers);

/// The same against the entries before and behind it. The range begins at a host virtual
/// address, as slots have it.
std::optional<std::string> judge_aging(const AgingAnswers& answers, const View& before,
                                       const View& after, Hva address, std::uint64_t pages,
                                       AgingWalk walk = AgingWalk::each_leaf);

}  // namespace lockstep::spec
