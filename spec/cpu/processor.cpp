// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/cpu/processor.h"

#include <fmt/format.h>

namespace lockstep::spec {

namespace {

/// How the second dimension reads its entries: NX on, full width, rights of the
/// leaf judged by the caller.
PagingState host_state(const ProcessorState& processor) {
  PagingState state;
  state.mode = processor.root_mode;
  state.control.set(ControlBit::efer_nx, true);
  state.maxphyaddr = processor.host_maxphyaddr;
  return state;
}

/// An access that the second dimension's entries forbid, or that found none.
NestedFault nested_fault(const HostWalk& walked, Gpa gpa, AccessKind kind, bool table_walk) {
  NestedFault fault{.gpa = gpa, .kind = kind, .table_walk = table_walk};
  if (const auto* miss = std::get_if<HostMiss>(&walked)) {
    fault.present = fault.reserved = miss->reserved;
    fault.log_full = miss->log_full;
    fault.rights = miss->rights;
  } else if (const auto* leaf = std::get_if<HostLeaf>(&walked)) {
    fault.present = true;
    fault.rights = leaf->translation.rights;
  }
  return fault;
}

std::optional<std::uint32_t> denied(const ProcessorState& state, const AccessRights& access,
                                    const TlbEntry& entry) {
  if (state.paging.mode == PagingMode::none) return std::nullopt;
  return permission_fault(state.paging, access, entry.guest);
}

bool host_allows(const AccessRights& access, const TlbEntry& entry) {
  if (access.kind == AccessKind::write) return entry.host_writable;
  return access.kind == AccessKind::fetch ? entry.host_executable : entry.host_readable;
}

/// One guest entry that a walk has read, with its level's way to mark it.
struct Visited {
  Gpa at = 0;
  std::uint64_t value = 0;
};

}  // namespace

std::string print(const Stale& stale) {
  return fmt::format(
      "invariant 41: the TLB maps {} {:#x} to frame {:#x}, no entry does any more, and no flush "
      "came",
      stale.linear ? "gva" : "gpa", stale.gpa, stale.frame);
}

SoftwareCpu::SoftwareCpu(PhysicalMemory& memory, std::uint64_t seed)
    : memory_(&memory), tlb_(seed), evict_(seed != 0) {}

void SoftwareCpu::reset(std::uint64_t seed) {
  tlb_.reset(seed);
  evict_ = seed != 0;
}

/// A usable cached translation. One that forbids the access, or that a write
/// must first mark dirty, is dropped and walked again.
TlbEntry* SoftwareCpu::lookup(const ProcessorState& state, const AccessRights& access, Gva gva) {
  if (evict_) tlb_.evict_one();
  TlbEntry* entry = tlb_.find(gva, state.pcid);
  if (entry == nullptr) return nullptr;
  const bool marks_dirty = access.kind == AccessKind::write && !entry->guest.dirty;
  if (!marks_dirty && host_allows(access, *entry) && !denied(state, access, *entry)) return entry;
  tlb_.drop(gva);
  return nullptr;
}

Outcome SoftwareCpu::access_shadow(const ProcessorState& state, const AccessRights& access,
                                   Gva gva) {
  if (const TlbEntry* entry = lookup(state, access, gva)) return Allowed{entry->frame, true};
  const auto fault = [&](bool present, bool reserved) {
    return Fault{fault_code(state.paging, access, present, reserved)};
  };
  if (!state.root) return fault(false, false);
  const HostWalk walked = walk_host(state.paging, *memory_, *state.root, gva,
                                    access.kind == AccessKind::write, /*accessed_dirty=*/true);
  if (const auto* broken = std::get_if<HostBroken>(&walked)) return Broken{broken->frame};
  if (const auto* miss = std::get_if<HostMiss>(&walked)) {
    return fault(miss->reserved, miss->reserved);
  }
  const auto& leaf = std::get<HostLeaf>(walked);
  TlbEntry entry;
  entry.guest = leaf.translation;
  entry.frame = leaf.frame;
  entry.root = *state.root;
  entry.guest.dirty |= access.kind == AccessKind::write;
  if (const auto code = permission_fault(state.paging, access, entry.guest)) return Fault{*code};
  tlb_.insert(gva, state.pcid, entry);
  return Allowed{entry.frame, false};
}

/// Host frame of a guest table.
SoftwareCpu::GuestFrame SoftwareCpu::table_frame(const ProcessorState& state, Gpa at,
                                                 EntryUse use) {
  // SDM "Accessed and Dirty Flags for EPT": with them, a guest walk's accesses count as
  // writes; loads of PDPTE registers are reads all the same.
  const bool ept = state.nested == NestedFormat::ept;
  const bool walk_writes =
      ept ? state.ept_accessed_dirty && use != EntryUse::load : state.guest_walk_writes;
  const bool write = use == EntryUse::mark || walk_writes;
  const AccessKind kind = write ? AccessKind::write : AccessKind::read;
  const bool register_load = ept && use == EntryUse::load;
  if (!state.root) {
    return NestedFault{.gpa = at, .kind = kind, .table_walk = true, .register_load = register_load};
  }
  const HostWalk walked = walk_second(state, at, write);
  if (const auto* broken = std::get_if<HostBroken>(&walked)) return Broken{broken->frame};
  const auto* leaf = std::get_if<HostLeaf>(&walked);
  if (leaf == nullptr || !leaf->translation.rights.user ||
      (write && !leaf->translation.rights.writable)) {
    NestedFault fault = nested_fault(walked, at, kind, true);
    fault.register_load = register_load;
    return fault;
  }
  return leaf->frame;
}

/// The second dimension's translation of a guest physical address.
HostWalk SoftwareCpu::walk_second(const ProcessorState& state, Gpa gpa, bool write, bool mark) {
  if (state.nested == NestedFormat::ept) {
    return walk_ept(*memory_, *state.root, static_cast<unsigned>(root_level(state.root_mode)), gpa,
                    write, mark && state.ept_accessed_dirty, state.host_maxphyaddr,
                    mark ? state.log : nullptr);
  }
  return walk_host(host_state(state), *memory_, *state.root, gpa, write, mark);
}

Outcome SoftwareCpu::from_tlb(const ProcessorState& state, const AccessRights& access, Gva gva,
                              const TlbEntry& entry) {
  const bool ages_by_rights = state.nested == NestedFormat::ept && !state.ept_accessed_dirty;
  if (!ages_by_rights && !state.others_run && state.root) {
    const Gpa gpa = entry.guest.page | (gva & (entry.guest.size - 1));
    const HostWalk host = walk_second(state, gpa, access.kind == AccessKind::write, false);
    const auto* leaf = std::get_if<HostLeaf>(&host);
    if (leaf == nullptr || leaf->frame != entry.frame) return Stale{gpa, entry.frame};
    const Combined& rights = leaf->translation.rights;
    const bool granted = access.kind == AccessKind::write   ? rights.writable
                         : access.kind == AccessKind::fetch ? rights.executable
                                                            : rights.user;
    if (!granted) return Stale{gpa, entry.frame};
  }
  return Allowed{entry.frame, true};
}

/// The tables at state.root grant all that the cached translation does.
bool SoftwareCpu::grants(const ProcessorState& state, Gva gva, const TlbEntry& entry) {
  const auto leads = [&](const HostWalk& walked) -> const Combined* {
    const auto* const leaf = std::get_if<HostLeaf>(&walked);
    return leaf != nullptr && leaf->frame == entry.frame ? &leaf->translation.rights : nullptr;
  };
  if (state.cr3_is_engines) {
    const HostWalk walked = walk_host(state.paging, *memory_, *state.root, gva, /*write=*/false,
                                      /*accessed_dirty=*/false);
    const Combined* const now = leads(walked);
    const Combined& then = entry.guest.rights;
    if (now == nullptr) return false;
    // U and X go with the guest's own entries, for which the guest has to flush, or for W where
    // CR0.WP is clear (FNAME(page_fault)): mmu_spte_update() flushes for a lost W alone. A write
    // through an entry that is not dirty walks again.
    return now->writable || !then.writable || !entry.guest.dirty;
  }
  const Gpa gpa = entry.guest.page | (gva & (entry.guest.size - 1));
  const HostWalk walked = walk_second(state, gpa, /*write=*/false, /*mark=*/false);
  const Combined* const now = leads(walked);
  return now != nullptr && (now->writable || !entry.host_writable) &&
         (now->user || !entry.host_readable) && (now->executable || !entry.host_executable);
}

std::optional<Stale> SoftwareCpu::overdue(const ProcessorState& state) {
  const bool shadow = state.cr3_is_engines;
  const bool ages_by_rights =
      !shadow && state.nested == NestedFormat::ept && !state.ept_accessed_dirty;
  if (!state.root || ages_by_rights) return std::nullopt;
  std::optional<Stale> found;
  tlb_.each([&](Gva gva, unsigned pcid, const TlbEntry& entry) {
    if (found || entry.root != *state.root || (shadow && pcid != state.pcid)) return;
    if (grants(state, gva, entry)) return;
    const Gpa gpa = entry.guest.page | (gva & (entry.guest.size - 1));
    found = Stale{.gpa = shadow ? gva : gpa, .frame = entry.frame, .linear = shadow};
  });
  return found;
}

std::variant<std::uint64_t, NestedFault, Broken> SoftwareCpu::load_physical(
    const ProcessorState& state, Gpa at) {
  const GuestFrame frame = table_frame(state, at, EntryUse::load);
  if (const auto* fault = std::get_if<NestedFault>(&frame)) return *fault;
  if (const auto* broken = std::get_if<Broken>(&frame)) return *broken;
  return memory_->load(std::get<Hfn>(frame), static_cast<unsigned>(at & ~page_mask), 8);
}

std::variant<TlbEntry, Fault, NestedFault, Broken> SoftwareCpu::walk_guest(
    const ProcessorState& state, const AccessRights& access, Gva gva) {
  const PagingState& paging = state.paging;
  if (paging.mode == PagingMode::none) {
    TlbEntry identity;
    identity.guest.page = gva & page_mask;
    identity.guest.size = page_size;
    identity.guest.dirty = true;
    return identity;
  }
  const unsigned bytes = entry_size(paging.mode);
  std::array<Visited, 5> path{};
  unsigned visited = 0;
  Combined rights;
  auto level = static_cast<unsigned>(root_level(paging.mode));
  Gpa table = state.cr3 & (bytes == 4 ? entry::address32 : entry::address);
  if (paging.mode == PagingMode::pae) {
    const EntryRead read =
        read_entry(paging, TableLevel::pdpt, state.pdptes[(gva >> 30) & 3], rights);
    if (read.kind != EntryRead::Kind::table) {
      const bool reserved = read.kind == EntryRead::Kind::reserved;
      return Fault{fault_code(paging, access, /*present=*/reserved, reserved)};
    }
    table = read.next;
    rights = read.rights;
    --level;
  }
  for (;; --level) {
    const Gpa at = entry_address(paging.mode, static_cast<TableLevel>(level), table, gva);
    const GuestFrame frame = table_frame(state, at, EntryUse::walk);
    if (const auto* fault = std::get_if<NestedFault>(&frame)) return *fault;
    if (const auto* broken = std::get_if<Broken>(&frame)) return *broken;
    const std::uint64_t value =
        memory_->load(std::get<Hfn>(frame), static_cast<unsigned>(at & ~page_mask), bytes);
    path[visited++] = {at, value};
    const EntryRead read = read_entry(paging, static_cast<TableLevel>(level), value, rights);
    if (read.kind == EntryRead::Kind::not_present || read.kind == EntryRead::Kind::reserved) {
      const bool reserved = read.kind == EntryRead::Kind::reserved;
      return Fault{fault_code(paging, access, reserved, reserved)};
    }
    if (read.kind == EntryRead::Kind::table) {
      table = read.next;
      rights = read.rights;
      continue;
    }
    TlbEntry entry;
    entry.guest = read.leaf;
    if (const auto code = denied(state, access, entry)) return Fault{*code};
    const bool write = access.kind == AccessKind::write;
    for (unsigned i = 0; i < visited; ++i) {
      const std::uint64_t wanted = entry::accessed | (write && i + 1 == visited ? entry::dirty : 0);
      if ((path[i].value & wanted) == wanted) continue;
      const GuestFrame marked = table_frame(state, path[i].at, EntryUse::mark);
      if (const auto* fault = std::get_if<NestedFault>(&marked)) return *fault;
      if (const auto* broken = std::get_if<Broken>(&marked)) return *broken;
      const auto offset = static_cast<unsigned>(path[i].at & ~page_mask);
      // The flag is set by a locked operation: of an entry that another processor has changed
      // meanwhile nothing is known.
      if (memory_->load(std::get<Hfn>(marked), offset, bytes) != path[i].value) {
        return walk_guest(state, access, gva);
      }
      memory_->store(std::get<Hfn>(marked), offset, bytes, path[i].value | wanted);
    }
    entry.guest.dirty |= write;
    return entry;
  }
}

Outcome SoftwareCpu::access_nested(const ProcessorState& state, const AccessRights& access,
                                   Gva gva) {
  if (const TlbEntry* entry = lookup(state, access, gva)) {
    return from_tlb(state, access, gva, *entry);
  }
  auto walked = walk_guest(state, access, gva);
  if (const auto* fault = std::get_if<Fault>(&walked)) return *fault;
  if (const auto* fault = std::get_if<NestedFault>(&walked)) return *fault;
  if (const auto* broken = std::get_if<Broken>(&walked)) return *broken;
  TlbEntry& entry = std::get<TlbEntry>(walked);
  const Gpa gpa = entry.guest.page | (gva & (entry.guest.size - 1));
  const bool write = access.kind == AccessKind::write;
  if (!state.root) return NestedFault{gpa, access.kind, false};
  const HostWalk host = walk_second(state, gpa, write);
  if (const auto* broken = std::get_if<HostBroken>(&host)) return Broken{broken->frame};
  const auto* leaf = std::get_if<HostLeaf>(&host);
  if (leaf == nullptr) return nested_fault(host, gpa, access.kind, false);
  // An NPT walk is a user access; EPT's read bit stands in the same place.
  const Combined& rights = leaf->translation.rights;
  const bool npt = state.nested == NestedFormat::npt;
  entry.frame = leaf->frame;
  entry.root = *state.root;
  entry.host_readable = rights.user;
  // A write through an entry whose dirty flag is clear walks again, to set it.
  const bool marks = npt || state.ept_accessed_dirty;
  const bool dirty = !marks || leaf->translation.dirty || write;
  entry.host_writable = rights.writable && rights.user && dirty;
  entry.host_executable = rights.executable && (rights.user || !npt);
  if (!host_allows(access, entry)) return nested_fault(host, gpa, access.kind, false);
  tlb_.insert(gva, state.pcid, entry);
  return Allowed{entry.frame, false};
}

}  // namespace lockstep::spec
