// SPDX-License-Identifier: GPL-2.0-or-later
/// In which ways the manual and KVM let an access be translated.
#include <algorithm>

#include "spec/kvm/access_rules.h"
#include "spec/kvm/state.h"

namespace lockstep::spec {

namespace {

Candidate not_canonical() {
  Candidate fault;
  fault.observation = Exception{13, 0};
  return fault;
}

}  // namespace

Candidates Machine::State::plain_candidates(const Access& access) const {
  const PagingState exact = paging(access.vcpu);
  if (!canonical(exact.mode, access.gva)) return std::vector{not_canonical()};
  std::vector<Candidate> out;
  AccessRules(*this, access, out)
      .add(exact, fresh_walk(processor_of(access.vcpu), exact, tables(), access.gva, now), 0);
  return out;
}

Candidates Machine::State::candidates(const Access& access) const {
  const PagingState exact = paging(access.vcpu);
  if (!canonical(exact.mode, access.gva)) return std::vector{not_canonical()};
  std::vector<Candidate> out;
  out.reserve(4);
  AccessRules rules(*this, access, out);
  const Processor& processor = processor_of(access.vcpu);
  bool met_reserved = false;
  PagingState wide = exact;
  wide.maxphyaddr = platform.host_maxphyaddr;
  const bool narrow = platform.tdp && configuration.maxphyaddr < platform.host_maxphyaddr;
  const auto enumerate = [&](const Processor& with, const PagingState& as, Loosenesses why) {
    static thread_local std::vector<Way> ways;
    ways.clear();
    if (!translations(with, as, tables(), access.gva, now, ways, &met_reserved)) return false;
    for (const Way& way : ways) rules.add(as, way, why);
    return true;
  };
  if (!enumerate(processor, exact, 0)) return std::nullopt;

  const Vcpu& vcpu = vcpus[access.vcpu];
  for (const Vcpu::MmioCache& cached : vcpu.mmio) {
    if (cached.page != (access.gva & page_mask)) continue;
    Way way;
    way.translation.page = cached.gpa;
    way.translation.size = page_size;
    way.translation.rights = cached.rights;
    way.maybe_dirty = true;
    // vcpu_mmio_gva_to_gpa() walks if the cached rights deny the access.
    const AccessRights rights{access.kind, access.cpl, access.ac};
    if (permission_fault(exact, rights, way.translation)) continue;
    rules.add(exact, way, loose(Looseness::mmio_cache));
  }
  constexpr Loosenesses narrowly = loose(Looseness::narrow_maxphyaddr);
  if (narrow && met_reserved && !enumerate(processor, wide, narrowly)) return std::nullopt;
  for (const Processor& reread : with_pdpte_reread(processor, access.gva)) {
    constexpr Loosenesses why = loose(Looseness::pdpte_reread);
    if (!enumerate(reread, exact, why)) return std::nullopt;
    if (narrow && met_reserved && !enumerate(reread, wide, why | narrowly)) return std::nullopt;
  }
  // Deviations of a KVM that shadows page tables. They may have happened even
  // where the manual explains what was shown, so they count for its effects.
  if (!platform.tdp && processor.doubts(access.gva)) {
    const Processor kept = processor.without_uncertain_drops();
    if (!enumerate(kept, exact, loose(Looseness::fault_keeps_entry))) return std::nullopt;
  }
  const std::vector<unsigned> others =
      platform.tdp ? std::vector<unsigned>() : processor.other_pcids();
  if (!others.empty()) {
    // Only page tables may be unsync (mmu_try_to_unsync_pages()): what leads to the leaf
    // entry under this root is as memory says, whatever another PCID used.
    const Way fresh = fresh_walk(processor, exact, tables(), access.gva, now);
    const Gpa leaf = fresh.levels == 0 ? 0 : fresh.reads[fresh.levels - 1u].address;
    // Faults under it may have dropped nothing either.
    const Processor kept = processor.without_uncertain_drops();
    for (const unsigned pcid : others) {
      std::vector<Way> ways;
      if (!translations(kept.as_pcid(pcid), exact, tables(), access.gva, now, ways,
                        &met_reserved)) {
        return std::nullopt;
      }
      for (const Way& way : ways) {
        if (way.levels == 0 || way.reads[way.levels - 1u].address != leaf) continue;
        rules.add(exact, way, loose(Looseness::pcid_shared));
      }
    }
  }
  if (!platform.tdp && no_execute_was_off) {
    const Processor kept = processor.without_uncertain_drops();
    for (const bool on : {false, true}) {
      if (!enumerate(kept.with_control(ControlBit::efer_nx, on), exact,
                     loose(Looseness::no_execute_kept))) {
        return std::nullopt;
      }
    }
  }
  if (!platform.tdp && page_size_changed) {
    const Processor kept = processor.without_uncertain_drops();
    for (const bool on : {false, true}) {
      PagingState as = exact;
      as.control.set(ControlBit::cr4_pse, on);
      if (!enumerate(kept.with_control(ControlBit::cr4_pse, on), as,
                     loose(Looseness::page_size_kept))) {
        return std::nullopt;
      }
    }
  }
  // Under TDP KVM walks by itself only to fetch what it emulates.
  const auto fetched_outside = [&](const Candidate& candidate) {
    const Translated& to = candidate.way.translation;
    return candidate.completed && !slots.backing(to.page | (access.gva & (to.size - 1)));
  };
  const bool emulates = platform.tdp && access.kind == AccessKind::fetch &&
                        std::any_of(out.begin(), out.end(), fetched_outside);
  if (exact.mode == PagingMode::bits32 && (!platform.tdp || emulates)) {
    PagingState shadow = exact;
    shadow.pse36_width = 36;
    if (emulates) {
      rules.kvm_walks();
      if (!enumerate(processor, exact, 0)) return std::nullopt;
    }
    if (configuration.maxphyaddr > 36 &&
        !enumerate(processor, shadow, loose(Looseness::pse36_width))) {
      return std::nullopt;
    }
  }
  return out;
}

}  // namespace lockstep::spec
