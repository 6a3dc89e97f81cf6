// SPDX-License-Identifier: GPL-2.0-or-later
/// The software processor: translates one access through a TLB and tables.
///
/// Without a second dimension it walks the engine's shadow tables with hardware's
/// registers; with one it walks the guest's tables and, for each guest physical
/// address, the engine's direct tables.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "spec/cpu/ept_walk.h"
#include "spec/cpu/host_walk.h"
#include "spec/cpu/memory.h"
#include "spec/cpu/tlb.h"
#include "spec/x86/walk.h"

namespace lockstep::spec {

/// The access may go on at this host frame.
struct Allowed {
  Hfn frame = 0;
  bool from_tlb = false;
};
/// A page fault of the tables that CR3 points to.
struct Fault {
  std::uint32_t code = 0;
};
/// A fault of the second dimension.
struct NestedFault {
  Gpa gpa = 0;
  AccessKind kind = AccessKind::read;
  bool table_walk = false;  ///< while reading or marking a guest entry
  bool present = false;     ///< an entry forbids the access
  bool log_full = false;    ///< no entry does: the page-modification log has no room
  /// The entry was to be loaded into a PDPTE register by MOV to CR, without a linear address.
  bool register_load = false;
  bool reserved = false;  ///< an entry has a reserved bit set (EPT: is misconfigured)
  /// What the entries grant together; `user` stands for EPT's read bit.
  Combined rights{.writable = false, .user = false, .executable = false};
};
/// Tables led to a frame that holds none.
struct Broken {
  Hfn frame = 0;
};
/// A cached translation served the access, and the second dimension's tables no longer
/// grant it: whoever took it away did not flush before the guest went on (invariant 41).
struct Stale {
  Gpa gpa = 0;
  Hfn frame = 0;
  bool linear = false;  ///< shadow paging: `gpa` is a guest linear address
};
/// As findings tell it.
std::string print(const Stale& stale);
using Outcome = std::variant<Allowed, Fault, NestedFault, Broken, Stale>;

/// Format of the second dimension's tables.
enum class NestedFormat : std::uint8_t {
  npt,  ///< AMD: that of ordinary 64-bit paging
  ept   ///< Intel: SDM "The Extended Page Table Mechanism (EPT)"
};

/// What hardware's registers hold at an access.
struct ProcessorState {
  PagingState paging;                     ///< mode none walks nothing in the first dimension
  std::uint64_t cr3 = 0;                  ///< guest CR3; unused without a second dimension
  std::array<std::uint64_t, 4> pdptes{};  ///< under PAE
  unsigned pcid = 0;
  bool cr3_is_engines = false;  ///< one dimension: state.root is what CR3 points to
  std::optional<Hfn> root;      ///< of the engine's tables
  PagingMode root_mode = PagingMode::level4;
  NestedFormat nested = NestedFormat::npt;
  unsigned host_maxphyaddr = 52;  ///< bits; second dimension only
  bool ept_accessed_dirty = false;
  PageModificationLog* log = nullptr;  ///< EPT with A/D: this processor's, which fills it
  /// AMD64 APM "Nested versus Guest Page Faults, Fault Ordering": the walk of guest
  /// tables counts as writing them. Off for processors that only mark flags.
  bool guest_walk_writes = false;
  /// Another CPU may be between taking a right and the flush that belongs to it: what the TLB
  /// has is used, and not compared with the tables.
  bool others_run = false;
};

class SoftwareCpu {
 public:
  /// `seed` 0: the TLB forgets only what it is told to, and what collides.
  SoftwareCpu(PhysicalMemory& memory, std::uint64_t seed);

  /// Translate by the shadow tables at state.root.
  Outcome access_shadow(const ProcessorState& state, const AccessRights& access, Gva gva);
  /// Translate by guest tables and the direct tables at state.root. What the TLB gives
  /// is compared with those tables, which no guest may change; not under EPT without
  /// A/D bits, where KVM ages entries by taking their rights (kvm_age_gfn()).
  Outcome access_nested(const ProcessorState& state, const AccessRights& access, Gva gva);

  /// Load 8 bytes at a guest physical address, as a load of the PDPTE registers does.
  std::variant<std::uint64_t, NestedFault, Broken> load_physical(const ProcessorState& state,
                                                                 Gpa at);

  /// A translation of the TLB's context that came from state.root, and grants what the tables
  /// there no longer do; none if every one may stay. Ask where no flush is due before the
  /// guest goes on: nothing there may be in use but what a flush must still take (invariant
  /// 41). Under shadow paging the shadow tables judge, never the guest's, and those of
  /// state.pcid alone.
  std::optional<Stale> overdue(const ProcessorState& state);

  Tlb& tlb() { return tlb_; }
  /// The TLB is empty, and evicts by another seed, as the constructor's.
  void reset(std::uint64_t seed);

 private:
  HostWalk walk_second(const ProcessorState& state, Gpa gpa, bool write, bool mark = true);
  Outcome from_tlb(const ProcessorState& state, const AccessRights& access, Gva gva,
                   const TlbEntry& entry);
  bool grants(const ProcessorState& state, Gva gva, const TlbEntry& entry);
  using GuestFrame = std::variant<Hfn, NestedFault, Broken>;
  /// What the processor wants of a guest entry: follow it, mark it, or keep it in a register.
  enum class EntryUse : std::uint8_t { walk, mark, load };
  GuestFrame table_frame(const ProcessorState& state, Gpa at, EntryUse use);
  std::variant<TlbEntry, Fault, NestedFault, Broken> walk_guest(const ProcessorState& state,
                                                                const AccessRights& access,
                                                                Gva gva);
  TlbEntry* lookup(const ProcessorState& state, const AccessRights& access, Gva gva);

  PhysicalMemory* memory_;
  Tlb tlb_;
  bool evict_;
};

}  // namespace lockstep::spec
