// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/kvm/access_rules.h"

#include <algorithm>
#include <cerrno>
#include <utility>

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

}  // namespace

AccessRules::AccessRules(const Machine::State& state, const Access& access,
                         std::vector<Candidate>& out)
    : state_(state), access_(access), rights_{access.kind, access.cpl, access.ac}, out_(out) {}

void AccessRules::add(const PagingState& paging, const Way& way, Loosenesses loosenesses) {
  Candidate candidate;
  candidate.way = way;
  candidate.loosenesses = loosenesses | loosenesses_of(way);
  candidate.undefined = leaves_four_levels(way, loosenesses);
  // walk_addr_generic() fails as a page fault where it cannot set an accessed
  // flag, a walk by hardware under TDP as EFAULT: see HostChange.
  const bool translates = way.kind == Way::Kind::translated;
  bool owned = false;
  for (std::size_t i = 0; i < way.levels; ++i) {
    const auto backing = state_.slots.backing(way.reads[i].address);
    if (!backing) continue;
    candidate.unknown = candidate.unknown || state_.host_protects(backing->hva);
    owned = owned || (translates && state_.engines_own(backing->hva, entry_size(paging.mode)));
  }
  kvm_emulates_ = kvm_emulates_ || (state_.platform.tdp && walk_left_memory(way));
  read_only_table(candidate);
  table_as_target(candidate);
  if (!translates) {
    const bool reserved = way.kind == Way::Kind::reserved;
    fault(paging, std::move(candidate),
          fault_code(paging, rights_, /*present=*/reserved, reserved));
    return;
  }
  candidate.unknown = candidate.unknown || owned;
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
void AccessRules::mmio_refreshed(const Candidate& base, Gpa gpa) {
  const Way& way = base.way;
  if (state_.platform.tdp || way.levels == 0 || !state_.slots.backing(gpa)) return;
  const auto leaf = state_.mmio_leaves.find(way.reads[way.levels - 1u].address);
  if (leaf == state_.mmio_leaves.end()) return;
  const auto& mmio = leaf->second;
  // Where the guest has stored to an entry above, the access itself may link the unsync table
  // anew, or load a root whose page was zapped: kvm_mmu_find_shadow_page() and
  // kvm_mmu_sync_roots() synchronize.
  const bool relinked =
      std::any_of(way.reads.begin(), way.reads.begin() + way.levels - 1,
                  [&](const auto& read) { return state_.stored_entries.contains(read.address); });
  // A table becomes unsync when KVM maps it writable, before any store.
  const bool refreshed =
      mmio.refreshed || (mmio.unsync && relinked) ||
      (mmio.synchronized && state_.mapped_writable_by_some_table(leaf->first & page_mask, 0));
  if (!refreshed) return;
  Candidate candidate = base;
  candidate.loosenesses |= loose(Looseness::mmio_refreshed);
  no_slot(std::move(candidate), gpa);
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
  out_.push_back(std::move(candidate));
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

/// Whether a walk under the host's reserved bits leaves the 48 bits that four levels of EPT
/// reach. KVM maps such an address in the place of the one without the upper bits: what another
/// access meets there is anybody's guess.
bool AccessRules::leaves_four_levels(const Way& way, Loosenesses loosenesses) const {
  if ((loosenesses & loose(Looseness::narrow_maxphyaddr)) == 0 || !state_.platform.four_level_ept ||
      state_.configuration.maxphyaddr > 48) {
    return false;
  }
  const auto beyond = [](Gpa gpa) { return gpa >> 48 != 0; };
  return (way.kind == Way::Kind::translated && beyond(way.translation.page)) ||
         std::any_of(way.reads.begin(), way.reads.begin() + way.levels,
                     [&](const LevelRead& read) { return beyond(read.address); });
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
  out_.push_back(std::move(candidate));
}

void AccessRules::data(const Candidate& base, Gpa gpa) {
  const auto backing = state_.slots.backing(gpa);
  if (backing && !(access_.kind == AccessKind::write && backing->slot->read_only)) {
    at(base, gpa, backing->hva);
    return;
  }
  no_slot(base, gpa);
  if (const auto kept = backing ? std::nullopt : state_.kept_by_alias(gpa)) {
    Candidate candidate = base;
    candidate.loosenesses |= loose(Looseness::alias_rmap);
    at(std::move(candidate), gpa, *kept);
  }
}

/// Data at the hva, which the translation reaches.
void AccessRules::at(Candidate candidate, Gpa gpa, Hva hva) {
  const bool write = access_.kind == AccessKind::write;
  candidate.hva = hva;
  if (write && state_.host_protects(hva)) {
    host_refuses(std::move(candidate), gpa);
    return;
  }
  if (write) {
    candidate.observation = Done{};
    out_.push_back(std::move(candidate));
    return;
  }
  candidate.unknown = candidate.unknown || state_.engines_own(hva, access_.size);
  const std::uint64_t set = state_.flags_set_at(candidate.way, hva, access_.size);
  for (Memory::Possible p : state_.memory.load(hva, access_.size)) {
    p.value |= set;
    p.maybe &= ~set;
    Candidate one = candidate;
    if (access_.kind == AccessKind::fetch) {
      const auto value = immediate(p.value);
      one.unknown = one.unknown || !value || p.maybe != 0;
      one.observation = Value{value.value_or(0)};
    } else {
      const std::uint64_t flags = state_.speculative_flags(hva, access_.size, p.value);
      one.observation = Value{p.value};
      one.maybe = p.maybe;
      if ((flags & ~(p.value | p.maybe)) != 0) {
        Candidate speculative = one;
        speculative.maybe |= flags;
        speculative.loosenesses |= loose(Looseness::speculative_accessed);
        out_.push_back(std::move(one));
        out_.push_back(std::move(speculative));
        continue;
      }
    }
    out_.push_back(std::move(one));
  }
}

/// A store to a page that the slot lets write and the host does not:
/// kvm_handle_error_pfn(), in 6.1 kvm_handle_bad_page(), fails KVM_RUN with EFAULT. What KVM
/// emulates becomes an MMIO write: stores to shadowed tables, stores that meet a shadow entry which
/// still says MMIO, those through tables in a read-only slot under TDP or where hardware's walk
/// may leave memory while KVM's own, which reads other entries, does not, all to read-only pages
/// without references (hva_to_pfn_remapped(): KVM_PFN_ERR_RO_FAULT, as for a read-only slot), and
/// on kvm_pvm those of ring 0 and of a guest without paging.
void AccessRules::host_refuses(Candidate candidate, Gpa gpa) {
  candidate.completed = false;
  candidate.host_refused = true;
  candidate.observation = Errno{EFAULT};
  out_.push_back(candidate);
  const bool table = state_.table_pages.contains(*candidate.hva >> page_shift);
  const bool pfnmap = state_.configuration.host.pfnmap.value_or(false);
  const bool unpaged = state_.configuration.paging == PagingMode::none;
  const bool interpreted = state_.on_pvm() && (access_.cpl == Cpl::supervisor || unpaged);
  const Way& way = candidate.way;
  const bool was_mmio =
      way.levels != 0 && state_.mmio_leaves.contains(way.reads[way.levels - 1u].address);
  // Under TDP the walk of a table in a read-only slot faults, and KVM emulates the access.
  const bool read_only_walk =
      state_.platform.tdp &&
      std::any_of(way.reads.begin(), way.reads.begin() + way.levels, [&](const LevelRead& read) {
        const auto backing = state_.slots.backing(read.address);
        return backing && backing->slot->read_only;
      });
  if (!table && !pfnmap && !interpreted && !was_mmio && !read_only_walk && !kvm_emulates_) return;
  candidate.loosenesses |= loose(Looseness::emulated_host_write);
  candidate.observation =
      Mmio{/*write=*/true, gpa, access_.size, truncate(access_.value, access_.size)};
  out_.push_back(std::move(candidate));
}

}  // namespace lockstep::spec
