// SPDX-License-Identifier: GPL-2.0-or-later
/// What an access shows if it is translated in one given way. Private to
/// spec/kvm.
#pragma once

#include <vector>

#include "spec/kvm/state.h"

namespace lockstep::spec {

class AccessRules {
 public:
  AccessRules(const Machine::State& state, const Access& access, std::vector<Candidate>& out);
  /// Append what the access may show, and why, if it takes this way.
  void add(const PagingState& paging, const Way& way, Loosenesses loosenesses);
  /// Walks from here on are KVM's own, whatever hardware saw.
  void kvm_walks() { kvm_walks_ = true; }

 private:
  void data(const Candidate& base, Gpa gpa);
  void host_refuses(Candidate candidate, Gpa gpa);
  void fault(const PagingState& paging, Candidate candidate, std::uint32_t code);
  bool walk_left_memory(const Way& way) const;
  bool meets_read_only(const Way& way) const;
  void table_as_target(const Candidate& base);
  void read_only_table(const Candidate& base);
  bool exchanged(const PagingState& paging, const Way& way) const;
  bool passes_clean(const PagingState& paging, const Way& way, Gpa gpa) const;
  bool leaves_four_levels(const Way& way, Loosenesses loosenesses) const;
  void doubt_dirty(const PagingState& paging, Candidate& candidate, Gpa gpa) const;
  void mmio_refreshed(const Candidate& base, Gpa gpa);
  void no_slot(Candidate candidate, Gpa gpa);
  void at(Candidate candidate, Gpa gpa, Hva hva);

  const Machine::State& state_;
  const Access& access_;
  const AccessRights rights_;
  std::vector<Candidate>& out_;
  bool kvm_walks_ = false;
  bool kvm_emulates_ = false;  ///< a walk of hardware may have left memory
};

}  // namespace lockstep::spec
