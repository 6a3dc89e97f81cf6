// SPDX-License-Identifier: GPL-2.0-or-later
/// Whether what an access showed is admitted, and what it leaves behind.
#include <algorithm>
#include <boost/container/small_vector.hpp>

#include "spec/kvm/state.h"
#include "spec/program.h"

namespace lockstep::spec {
namespace {

using Pointers = boost::container::small_vector<const Candidate*, 8>;
std::span<const Candidate* const> all_of(const Pointers& pointers) {
  return {pointers.data(), pointers.size()};
}

bool matches(const Candidate& candidate, const Observation& shown) {
  if (candidate.observation == shown) return true;
  const auto* wanted = std::get_if<Value>(&candidate.observation);
  const auto* value = std::get_if<Value>(&shown);
  return wanted != nullptr && value != nullptr &&
         ((wanted->value ^ value->value) & ~candidate.maybe) == 0;
}

}  // namespace

bool Machine::State::on_pvm() const {
  const auto& known = platform.deviations;
  return std::find(known.begin(), known.end(), "kvm_pvm") != known.end();
}

Judgement Machine::State::judge(const Access& access, const Observation& shown,
                                const Candidates& all) {
  if (!all) return out_of_bounds("more than " + std::to_string(way_bound) + " ways to translate");

  if (std::any_of(all->begin(), all->end(),
                  [](const Candidate& candidate) { return candidate.undefined; })) {
    // With EPT, KVM does not support a guest MAXPHYADDR below the host's
    // (allow_smaller_maxphyaddr): the guest's reserved bits are not checked.
    return undecided("the walk may leave the 48 bits that four levels of EPT reach");
  }
  Pointers consistent;
  bool unknown = false;
  const auto consider = [&](const std::vector<Candidate>& candidates) {
    for (const Candidate& candidate : candidates) {
      if (candidate.unknown) {
        unknown = true;
      } else if (matches(candidate, shown)) {
        consistent.push_back(&candidate);
      }
    }
  };
  consider(*all);
  for (const Candidate& candidate : *all) {
    for (std::size_t i = 0; i < candidate.way.levels; ++i) {
      remember_table(candidate.way.reads[i].address, candidate.way.reads[i].level);
    }
  }
  const bool user_fault = std::holds_alternative<PageFault>(shown) && access.cpl == Cpl::user;
  if (consistent.empty() && user_fault && (access.gva >> 63) != 0 && on_pvm()) {
    use(loose(Looseness::pvm_upper_half));
    return admit();
  }
  if (consistent.empty()) {
    if (all->empty()) return undecided("the model finds no way to translate");
    if (unknown) return undecided("bytes that are no code cell, or entries of the engine");
    std::vector<std::string> texts;
    for (const Candidate& candidate : *all) {
      std::string text = print(candidate.observation);
      if (std::find(texts.begin(), texts.end(), text) == texts.end()) {
        texts.push_back(std::move(text));
      }
    }
    std::string why = texts.front();
    for (std::size_t i = 1; i < texts.size(); ++i) why += " or " + texts[i];
    return refuse(why);
  }
  // Count what was needed; every consistent candidate may still have happened.
  const auto fewest = *std::min_element(
      consistent.begin(), consistent.end(), [](const Candidate* a, const Candidate* b) {
        return __builtin_popcount(a->loosenesses) < __builtin_popcount(b->loosenesses);
      });
  use(fewest->loosenesses);
  Vcpu& vcpu = vcpus[access.vcpu];
  if (std::holds_alternative<PageFault>(shown)) {
    const std::uint32_t code = std::get<PageFault>(shown).code;
    const bool drops =
        (code & lockstep::fault::present) != 0 && (code & lockstep::fault::reserved) == 0;
    // kvm_inject_emulated_page_fault() drops the address from the current root alone.
    const bool certain = platform.tdp || (drops && !vcpu.processor->kept_another_root());
    vcpu.processor->page_fault(now, access.gva, certain);
    tables_synchronized();
    apply_possible_flags(all_of(consistent), /*write=*/false);
    return admit();
  }
  // kvm_mmu_find_get_shadow_page() synchronizes the table that an access links.
  tables_synchronized();
  const bool write = access.kind == AccessKind::write;
  const bool refused =
      std::any_of(consistent.begin(), consistent.end(),
                  [](const Candidate* candidate) { return candidate->host_refused; });
  if (!fewest->completed && !refused) {
    // Whatever ended it, the processor may have walked: entries above the one that stopped it
    // have their accessed flags.
    if (configuration.paging != PagingMode::none) {
      apply_possible_flags(all_of(consistent), /*write=*/false);
    }
    return admit();
  }

  if (configuration.paging != PagingMode::none) apply_flags(all_of(consistent), write, !refused);
  const bool from_mmio_cache =
      std::any_of(consistent.begin(), consistent.end(), [](const Candidate* candidate) {
        return (candidate->loosenesses & loose(Looseness::mmio_cache)) != 0;
      });
  const bool protects = vcpu.processor->registers().control.has(ControlBit::cr0_wp);
  const auto note_exchange = [&](const Candidate& candidate) {
    if (write && !platform.tdp && !protects && !candidate.way.translation.rights.writable &&
        candidate.way.levels > 0) {
      exchanged.insert(candidate.way.reads[candidate.way.levels - 1u].address);
    }
  };
  if (from_mmio_cache) {
    // The fault walked and mapped, and only then the emulator took the address that it knew.
    Pointers walks;
    for (const Candidate& candidate : *all) {
      if (!candidate.completed) continue;
      walks.push_back(&candidate);
      note_exchange(candidate);
    }
    apply_possible_flags(all_of(walks), write);
  }
  for (const Candidate* candidate : consistent) {
    const Translated& to = candidate->way.translation;
    const Gpa gpa = to.page | (access.gva & (to.size - 1));
    Combined rights = to.rights;
    rights.writable = rights.writable && (write || candidate->way.maybe_dirty);
    const Vcpu::MmioCache entry{access.gva & page_mask, gpa & page_mask, rights};
    // Under TDP the cache holds no linear address: handle_mmio_page_fault().
    if (candidate->completed && !platform.tdp && !slots.backing(gpa) &&
        std::find(vcpu.mmio.begin(), vcpu.mmio.end(), entry) == vcpu.mmio.end()) {
      vcpu.mmio.push_back(entry);
    }
    if (candidate->completed && !platform.tdp && !slots.backing(gpa)) {
      note_mmio_leaf(candidate->way);
    }
  }
  if (!std::holds_alternative<Done>(shown) && !std::holds_alternative<Value>(shown)) {
    return admit();
  }

  boost::container::small_vector<Hva, 4> places;
  boost::container::small_vector<Gpa, 4> gpas;
  for (const Candidate* candidate : consistent) {
    const Translated& to = candidate->way.translation;
    const Gpa gpa = to.page | (access.gva & (to.size - 1));
    gpas.push_back(gpa);
    if (candidate->hva) places.push_back(*candidate->hva);
    // A clean or read-only entry is shadowed read-only: protect_clean_gpte().
    const bool writable = to.rights.writable && candidate->way.maybe_dirty;
    if (platform.tdp || write || writable) log_map(gpa);
    if ((write || writable) && candidate->hva && candidate->way.levels > 0 &&
        mmio_leaves.contains(candidate->way.reads[candidate->way.levels - 1u].address) &&
        table_pages.contains(*candidate->hva >> page_shift)) {
      unprotected.insert(*candidate->hva >> page_shift);
    }
    note_exchange(*candidate);
  }
  for (auto* const some : {&places, &gpas}) {
    std::sort(some->begin(), some->end());
    some->erase(std::unique(some->begin(), some->end()), some->end());
  }
  const bool certain = places.size() == 1;
  if (write) {
    for (const Hva hva : places) {
      if (certain) {
        memory.write(now, hva, access.size, access.value);
      } else if (!memory.maybe_write(now, hva, access.size, access.value)) {
        return out_of_bounds("too many contents are possible after ambiguous writes");
      }
    }
    for (const Gpa gpa : gpas) {
      if (const auto backing = slots.backing(gpa)) note_store(gpa, backing->hva);
      log_write(gpa, /*certain=*/gpas.size() == 1);
    }
  } else if (access.kind == AccessKind::read && certain) {
    const std::uint64_t value = std::get<Value>(shown).value;
    memory.learn(places.front(), access.size, value, accessed_flags(places.front(), access.size));
  }
  return admit();
}

}  // namespace lockstep::spec
