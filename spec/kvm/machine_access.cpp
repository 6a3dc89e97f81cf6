// SPDX-License-Identifier: GPL-2.0-or-later
/// What an access by guest code may show, and what it leaves behind.
#include <algorithm>
#include <cerrno>

#include "spec/kvm/state.h"
#include "spec/program.h"

namespace lockstep::spec {
namespace {

constexpr unsigned emulation_failure = 1;
constexpr Exception undefined_opcode{6, 0};

std::uint64_t truncate(std::uint64_t value, unsigned size) {
  return size == 8 ? value : value & ((1ull << (size * 8)) - 1);
}

/// Immediate of a code cell, if the bytes are one.
std::optional<std::uint32_t> immediate(std::uint64_t bytes) {
  const auto value = static_cast<std::uint32_t>(bytes >> 8);
  return bytes == code_cell(value) ? std::optional(value) : std::nullopt;
}

Loosenesses loosenesses_of(const Way& way) {
  if (!way.stale) return 0;
  return loose(way.cached_leaf ? Looseness::stale_translation : Looseness::stale_prefix);
}

bool matches(const Candidate& candidate, const Observation& shown) {
  if (candidate.observation == shown) return true;
  const auto* wanted = std::get_if<Value>(&candidate.observation);
  const auto* value = std::get_if<Value>(&shown);
  return wanted != nullptr && value != nullptr &&
         ((wanted->value ^ value->value) & ~candidate.maybe) == 0;
}

class AccessRules {
 public:
  AccessRules(const Machine::State& state, const Access& access, std::vector<Candidate>& out);
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
  void doubt_dirty(const PagingState& paging, Candidate& candidate, Gpa gpa) const;
  void mmio_refreshed(Candidate candidate, Gpa gpa);
  void no_slot(Candidate candidate, Gpa gpa);

  const Machine::State& state_;
  const Access& access_;
  const AccessRights rights_;
  std::vector<Candidate>& out_;
  bool kvm_walks_ = false;
};

AccessRules::AccessRules(const Machine::State& state, const Access& access,
                         std::vector<Candidate>& out)
    : state_(state), access_(access), rights_{access.kind, access.cpl, access.ac}, out_(out) {}

void AccessRules::add(const PagingState& paging, const Way& way, Loosenesses loosenesses) {
  Candidate candidate;
  candidate.way = way;
  candidate.loosenesses = loosenesses | loosenesses_of(way);
  // walk_addr_generic() fails as a page fault where it cannot set an accessed
  // flag, a walk by hardware under TDP as EFAULT: see HostChange.
  for (std::size_t i = 0; i < way.levels; ++i) {
    const auto backing = state_.slots.backing(way.reads[i].address);
    candidate.unknown = candidate.unknown || (backing && state_.host_protects(backing->hva));
  }
  read_only_table(candidate);
  table_as_target(candidate);
  if (way.kind != Way::Kind::translated) {
    const bool reserved = way.kind == Way::Kind::reserved;
    fault(paging, candidate, fault_code(paging, rights_, /*present=*/reserved, reserved));
    return;
  }
  for (std::size_t i = 0; i < way.levels; ++i) {
    const auto backing = state_.slots.backing(way.reads[i].address);
    const bool owned = backing && state_.engines_own(backing->hva, entry_size(paging.mode));
    candidate.unknown = candidate.unknown || owned;
  }
  if (const auto code = permission_fault(paging, rights_, way.translation)) {
    if (way.cached_leaf && way.stale) candidate.loosenesses |= loose(Looseness::spurious_fault);
    fault(paging, candidate, *code);
    if (!exchanged(paging, way)) return;
    candidate.loosenesses |= loose(Looseness::wp_exchange);
  }
  const Gpa gpa = way.translation.page | (access_.gva & (way.translation.size - 1));
  // SDM "Accessed and Dirty Flags": a write through a cached translation whose
  // dirty flag was clear walks again, and the walk sees memory as it is.
  if (access_.kind == AccessKind::write && way.cached_leaf && !way.maybe_dirty &&
      !passes_clean(paging, way, gpa)) {
    return;
  }
  candidate.completed = true;
  doubt_dirty(paging, candidate, gpa);
  data(candidate, gpa);
  mmio_refreshed(candidate, gpa);
}

/// An entry that KVM still takes for MMIO: see the looseness' reason.
void AccessRules::mmio_refreshed(Candidate candidate, Gpa gpa) {
  const Way& way = candidate.way;
  if (state_.platform.tdp || way.levels == 0 || !state_.slots.backing(gpa)) return;
  const auto leaf = state_.mmio_leaves.find(way.reads[way.levels - 1u].address);
  if (leaf == state_.mmio_leaves.end() || !leaf->second.refreshed) return;
  candidate.loosenesses |= loose(Looseness::mmio_refreshed);
  no_slot(candidate, gpa);
}

/// Whether a write passes an MMIO entry without a walk: Looseness::mmio_clean_write.
bool AccessRules::passes_clean(const PagingState& paging, const Way& way, Gpa gpa) const {
  return !state_.platform.tdp && way.levels != 0 && !state_.slots.backing(gpa) &&
         access_.kind == AccessKind::write && access_.cpl == Cpl::supervisor &&
         !paging.control.has(ControlBit::cr0_wp) &&
         state_.mmio_leaves.contains(way.reads[way.levels - 1u].address);
}

/// Where KVM emulates an access without memory slot, whether it walks as a write
/// is its own affair: see the reasons of both loosenesses.
void AccessRules::doubt_dirty(const PagingState& paging, Candidate& candidate, Gpa gpa) const {
  const Way& way = candidate.way;
  if (state_.platform.tdp || way.levels == 0 || state_.slots.backing(gpa)) return;
  const bool write = access_.kind == AccessKind::write;
  if (passes_clean(paging, way, gpa)) {
    candidate.dirty_doubt = true;
    candidate.loosenesses |= loose(Looseness::mmio_clean_write);
  }
  const AccessRights as_write{AccessKind::write, access_.cpl, access_.ac};
  if (!write && (access_.gva & page_mask) == 0 &&
      !permission_fault(paging, as_write, way.translation)) {
    candidate.dirty_doubt = true;
    candidate.loosenesses |= loose(Looseness::mmio_page_zero);
  }
}

/// Whether the last entry that the walk read is in no slot.
bool AccessRules::walk_left_memory(const Way& way) const {
  return way.levels != 0 && !state_.slots.backing(way.reads[way.levels - 1u].address);
}

/// Whether a table that the walk read stands in a read-only slot.
bool AccessRules::meets_read_only(const Way& way) const {
  return std::any_of(way.reads.data(), way.reads.data() + way.levels, [&](const LevelRead& read) {
    const auto backing = state_.slots.backing(read.address);
    return backing && backing->slot->read_only;
  });
}

/// Under TDP a walk that meets a table outside every slot, or one in a read-only
/// slot, exits to KVM, which emulates the access at the entry's address:
/// PFERR_GUEST_PAGE_MASK is not asked.
void AccessRules::table_as_target(const Candidate& base) {
  if (!state_.platform.tdp || access_.kind == AccessKind::fetch) return;
  for (std::size_t i = 0; i < base.way.levels; ++i) {
    const Gpa entry = base.way.reads[i].address;
    const auto backing = state_.slots.backing(entry);
    if ((backing && !backing->slot->read_only) || ((entry ^ access_.gva) & ~page_mask) != 0) {
      continue;
    }
    Candidate candidate = base;
    candidate.loosenesses |= loose(Looseness::table_as_target);
    data(candidate, entry);
  }
}

void AccessRules::fault(const PagingState& paging, Candidate candidate, std::uint32_t code) {
  candidate.observation = PageFault{code, access_.gva};
  out_.push_back(candidate);
  if (paging.mode != PagingMode::bits32 || access_.kind != AccessKind::fetch ||
      !paging.control.has(ControlBit::efer_nx)) {
    return;
  }
  // Under TDP KVM walks only where it emulates: no memory, or none to write.
  if (state_.platform.tdp && !kvm_walks_ && !walk_left_memory(candidate.way) &&
      !meets_read_only(candidate.way)) {
    return;
  }
  candidate.loosenesses |= loose(Looseness::fetch_flag_32bit);
  candidate.observation = PageFault{code | lockstep::fault::fetch, access_.gva};
  out_.push_back(candidate);
}

/// Under TDP processors treat reads of guest tables as writes (AMD64 APM "Nested
/// versus Guest Page Faults", SDM "Accessed and Dirty Flags for EPT"). In a
/// read-only slot they fault for ever: kvm_mmu_page_fault() unprotects and retries.
void AccessRules::read_only_table(const Candidate& base) {
  if (!state_.platform.tdp || !meets_read_only(base.way)) return;
  Candidate candidate = base;
  candidate.loosenesses |= loose(Looseness::read_only_table);
  candidate.observation = Livelock{livelock_bound};
  out_.push_back(candidate);
}

/// Whether only SMAP denies the access, to a page that shadow paging may have
/// turned into a kernel page for an earlier write with CR0.WP=0.
bool AccessRules::exchanged(const PagingState& paging, const Way& way) const {
  if (way.levels == 0 || !state_.exchanged.contains(way.reads[way.levels - 1u].address)) {
    return false;
  }
  AccessRights with_ac = rights_;
  with_ac.ac = true;
  return !permission_fault(paging, with_ac, way.translation);
}

/// api.rst, KVM_EXIT_MMIO and KVM_MEM_READONLY. KVM cannot fetch from MMIO:
/// handle_emulation_failure() blames user code or gives up.
void AccessRules::no_slot(Candidate candidate, Gpa gpa) {
  const bool write = access_.kind == AccessKind::write;
  if (access_.kind == AccessKind::fetch) {
    if (access_.cpl == Cpl::user) {
      candidate.observation = undefined_opcode;
      out_.push_back(candidate);
    }
    candidate.observation = InternalError{emulation_failure};
  } else {
    candidate.observation =
        Mmio{write, gpa, access_.size, write ? truncate(access_.value, access_.size) : 0};
  }
  out_.push_back(candidate);
}

void AccessRules::data(const Candidate& base, Gpa gpa) {
  Candidate candidate = base;
  const auto backing = state_.slots.backing(gpa);
  const bool write = access_.kind == AccessKind::write;
  if (!backing || (write && backing->slot->read_only)) {
    no_slot(candidate, gpa);
    return;
  }
  candidate.hva = backing->hva;
  if (write && state_.host_protects(backing->hva)) {
    host_refuses(candidate, gpa);
    return;
  }
  if (write) {
    candidate.observation = Done{};
    out_.push_back(candidate);
    return;
  }
  candidate.unknown = candidate.unknown || state_.engines_own(backing->hva, access_.size);
  const std::uint64_t set = state_.flags_set_at(candidate.way, backing->hva, access_.size);
  for (Memory::Possible p : state_.memory.load(backing->hva, access_.size)) {
    p.value |= set;
    p.maybe &= ~set;
    Candidate one = candidate;
    if (access_.kind == AccessKind::fetch) {
      const auto value = immediate(p.value);
      one.unknown = one.unknown || !value || p.maybe != 0;
      one.observation = Value{value.value_or(0)};
    } else {
      const std::uint64_t flags = state_.speculative_flags(backing->hva, access_.size, p.value);
      one.observation = Value{p.value};
      one.maybe = p.maybe;
      if ((flags & ~(p.value | p.maybe)) != 0) {
        Candidate speculative = one;
        speculative.maybe |= flags;
        speculative.loosenesses |= loose(Looseness::speculative_accessed);
        out_.push_back(one);
        out_.push_back(speculative);
        continue;
      }
    }
    out_.push_back(one);
  }
}

/// A store to a page that the slot lets write and the host does not:
/// kvm_handle_error_pfn() fails KVM_RUN with EFAULT. What KVM emulates becomes
/// an MMIO write: stores to shadowed tables, stores that meet a shadow entry which
/// still says MMIO, and on kvm_pvm those of ring 0 and of a guest without paging.
void AccessRules::host_refuses(Candidate candidate, Gpa gpa) {
  candidate.completed = false;
  candidate.host_refused = true;
  candidate.observation = Errno{EFAULT};
  out_.push_back(candidate);
  const bool table = state_.table_pages.contains(*candidate.hva >> page_shift);
  const bool unpaged = state_.configuration.paging == PagingMode::none;
  const bool interpreted = state_.on_pvm() && (access_.cpl == Cpl::supervisor || unpaged);
  const Way& way = candidate.way;
  const bool was_mmio =
      way.levels != 0 && state_.mmio_leaves.contains(way.reads[way.levels - 1u].address);
  if (!table && !interpreted && !was_mmio) return;
  candidate.loosenesses |= loose(Looseness::emulated_host_write);
  candidate.observation =
      Mmio{/*write=*/true, gpa, access_.size, truncate(access_.value, access_.size)};
  out_.push_back(candidate);
}

}  // namespace

Candidates Machine::State::candidates(const Access& access) const {
  std::vector<Candidate> out;
  const PagingState exact = paging(access.vcpu);
  if (!canonical(exact.mode, access.gva)) {
    Candidate fault;
    fault.observation = Exception{13, 0};
    out.push_back(fault);
    return out;
  }
  AccessRules rules(*this, access, out);
  const Processor& processor = processor_of(access.vcpu);
  const auto enumerate = [&](const Processor& with, const PagingState& as, Loosenesses why) {
    std::vector<Way> ways;
    if (!translations(with, as, tables(), access.gva, now, ways)) return false;
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
  if (platform.tdp && configuration.maxphyaddr < platform.host_maxphyaddr) {
    PagingState wide = exact;
    wide.maxphyaddr = platform.host_maxphyaddr;
    if (!enumerate(processor, wide, loose(Looseness::narrow_maxphyaddr))) return std::nullopt;
  }
  for (const Processor& reread : with_pdpte_reread(processor, access.gva)) {
    if (!enumerate(reread, exact, loose(Looseness::pdpte_reread))) return std::nullopt;
  }
  // Deviations of a KVM that shadows page tables. They may have happened even
  // where the manual explains what was shown, so they count for its effects.
  if (!platform.tdp && processor.doubts(access.gva)) {
    const Processor kept = processor.without_uncertain_drops();
    if (!enumerate(kept, exact, loose(Looseness::fault_keeps_entry))) return std::nullopt;
  }
  if (!platform.tdp) {
    for (const unsigned pcid : processor.other_pcids()) {
      if (!enumerate(processor.as_pcid(pcid), exact, loose(Looseness::pcid_shared))) {
        return std::nullopt;
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

bool Machine::State::on_pvm() const {
  const auto& known = platform.deviations;
  return std::find(known.begin(), known.end(), "kvm_pvm") != known.end();
}

Judgement Machine::State::judge(const Access& access, const Observation& shown,
                                const Candidates& all) {
  if (!all) return undecided("more than " + std::to_string(way_bound) + " ways to translate");

  std::vector<const Candidate*> consistent;
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
    vcpu.processor->page_fault(now, access.gva, /*certain=*/platform.tdp || drops);
    tables_synchronized();
    apply_possible_flags(consistent, /*write=*/false);
    return admit();
  }
  // kvm_mmu_find_get_shadow_page() synchronizes the table that an access links.
  tables_synchronized();
  const bool write = access.kind == AccessKind::write;
  const bool refused =
      std::any_of(consistent.begin(), consistent.end(),
                  [](const Candidate* candidate) { return candidate->host_refused; });
  if (!fewest->completed && !refused) return admit();

  if (configuration.paging != PagingMode::none) apply_flags(consistent, write, !refused);
  const bool from_mmio_cache =
      std::any_of(consistent.begin(), consistent.end(), [](const Candidate* candidate) {
        return (candidate->loosenesses & loose(Looseness::mmio_cache)) != 0;
      });
  if (from_mmio_cache) {
    // The fault walked, and only then the emulator took the address that it knew.
    std::vector<const Candidate*> walks;
    for (const Candidate& candidate : *all) {
      if (candidate.completed) walks.push_back(&candidate);
    }
    apply_possible_flags(walks, write);
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
    if (candidate->completed && !platform.tdp && candidate->way.levels != 0 &&
        !slots.backing(gpa)) {
      const Gpa leaf = candidate->way.reads[candidate->way.levels - 1u].address;
      mmio_leaves.try_emplace(leaf, MmioLeaf{.unsync = stored_tables.contains(gpa_to_gfn(leaf))});
    }
  }
  if (!std::holds_alternative<Done>(shown) && !std::holds_alternative<Value>(shown)) {
    return admit();
  }

  std::vector<Hva> places;
  std::set<Gpa> gpas;
  const bool protects = vcpu.processor->registers().control.has(ControlBit::cr0_wp);
  for (const Candidate* candidate : consistent) {
    const Translated& to = candidate->way.translation;
    const Gpa gpa = to.page | (access.gva & (to.size - 1));
    gpas.insert(gpa);
    if (candidate->hva) places.push_back(*candidate->hva);
    // A clean or read-only entry is shadowed read-only: protect_clean_gpte().
    const bool writable = to.rights.writable && candidate->way.maybe_dirty;
    if (platform.tdp || write || writable) log_map(gpa);
    if (write && !platform.tdp && !protects && !to.rights.writable && candidate->way.levels > 0) {
      exchanged.insert(candidate->way.reads[candidate->way.levels - 1u].address);
    }
  }
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  const bool certain = places.size() == 1;
  if (write) {
    for (const Hva hva : places) {
      if (certain) {
        memory.write(now, hva, access.size, access.value);
      } else if (!memory.maybe_write(now, hva, access.size, access.value)) {
        return undecided("too many contents are possible after ambiguous writes");
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
