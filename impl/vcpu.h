// SPDX-License-Identifier: GPL-2.0-or-later
/// One virtual CPU as its MMU sees it: registers, roots, caches and faults.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <variant>

#include "impl/guest_walk.h"
#include "impl/memory_cache.h"
#include "impl/mutex.h"
#include "impl/roots.h"
#include "impl/vm.h"
#include "impl/walk_tables.h"

namespace lockstep::impl {

/// A mapping was installed: the guest may retry.
struct Fixed {};
/// The guest gets #PF with this error code.
struct InjectPageFault {
  std::uint32_t code = 0;
};
/// No mapping can serve the access: see Vcpu::emulate().
struct NeedsEmulation {};
/// KVM_RUN returns this error.
struct RunError {
  Error error = Error::no_memory;
};
using FaultOutcome = std::variant<Fixed, InjectPageFault, NeedsEmulation, RunError>;

struct Loaded {
  std::uint64_t value = 0;
};
struct Stored {};
/// The gpa has no slot (or the slot is read-only, and it was a write).
struct MmioExit {
  Gpa gpa = 0;
};
using Emulated = std::variant<Loaded, Stored, InjectPageFault, MmioExit>;

/// Registers of a vCPU that its MMU reads.
struct VcpuState {
  PagingRegisters paging;
  std::uint64_t cr3 = 0;  ///< without bit 63
  std::array<std::uint64_t, 4> pdptes{};
  std::uint32_t pkru = 0;
};

/// What a vCPU must do before it enters the guest again, in this order.
/// KVM: vcpu_enter_guest().
enum class Request : std::uint8_t { free_obsolete_roots, sync, load_root, flush_guest };

/// How faults of this vCPU ended.
struct FaultEvents {
  std::uint64_t fast = 0;           ///< write access given back without the lock
  std::uint64_t mmio_cached = 0;    ///< MMIO told by an entry, without a walk
  std::uint64_t mmio_stale = 0;     ///< ... of an older generation
  std::uint64_t huge = 0;           ///< huge leaves installed
  std::uint64_t fast_switches = 0;  ///< MOV to CR3 that found an earlier root
};

/// KVM: struct kvm_vcpu with its struct kvm_mmu.
class Vcpu final : private GuestTables {
 public:
  /// `vm` outlives the vCPU. Bit `cr4_pke` needs TDP, as KVM clears PKU without.
  /// `cr3` is taken as KVM_SET_SREGS does: PDPTEs that cannot be loaded are not
  /// present, and nothing fails.
  Vcpu(Vm& vm, const PagingRegisters& paging, std::uint64_t cr3);
  ~Vcpu() override;
  Vcpu(const Vcpu&) = delete;
  Vcpu& operator=(const Vcpu&) = delete;

  // Register writes; false means #GP(0) and nothing changed.

  /// MOV to CR3; bit 63 is legal while CR4.PCIDE is set. PAE loads the PDPTEs.
  bool set_cr3(std::uint64_t value);
  /// One bit of CR0, CR4 or EFER. Reloads PDPTEs where the SDM says so ("PDPTE
  /// Registers").
  bool set_control(ControlBit bit, bool on);
  void set_pkru(std::uint32_t value) { state_.pkru = value; }
  const VcpuState& state() const { return state_; }

  // Invalidation by the guest; under TDP hardware does it alone.

  void invlpg(Gva gva);
  /// INVPCID of one PCID. KVM: kvm_invalidate_pcid().
  void invalidate_pcid(unsigned pcid);
  /// Every translation: INVPCID types 2 and 3. KVM: kvm_vcpu_flush_tlb_guest().
  void flush_guest();

  /// Whether the next guest entry drops the roots that became obsolete:
  /// KVM_REQ_MMU_FREE_OBSOLETE_ROOTS is pending, as a bit or as a generation that
  /// this vCPU has not seen.
  bool drops_obsolete_roots() const;
  /// ... and whether it loads a root: KVM_REQ_LOAD_MMU_PGD.
  bool loads_root() const {
    return ((requests_ >> static_cast<unsigned>(Request::load_root)) & 1u) != 0;
  }
  /// Service requests and have a root; to be called before each guest entry.
  /// KVM: vcpu_enter_guest(), kvm_mmu_reload().
  Expected<void> prepare_entry();
  /// Frame of the root table; none if CR3 points to no memory.
  std::optional<Hfn> root_frame() const;
  /// Level of that table.
  unsigned root_level() const { return hardware_levels_; }
  /// A CPU must flush its whole TLB when this value changes.
  std::uint64_t flush_generation() const { return flushes_ + vm_->flush_generation(); }

  /// A #PF that hardware took on the shadow tables; `reserved` if an entry had a
  /// reserved bit. KVM: kvm_mmu_page_fault(), FNAME(page_fault)().
  FaultOutcome page_fault(Gva gva, const GuestAccess& access, bool reserved = false);
  /// A nested fault on the direct tables. KVM: direct_page_fault().
  FaultOutcome tdp_fault(Gpa gpa, AccessKind kind, bool reserved = false);
  /// Perform the access of `size` bytes in software. KVM: x86_emulate_instruction().
  Emulated emulate(Gva gva, const GuestAccess& access, unsigned size, std::uint64_t value);
  enum class Window : std::uint8_t { done, mmio, refused };
  /// A store of the guest's through a mapping that the engine keeps: KVM sees it
  /// if the page is a table that it follows, else the page is simply written.
  /// refused where the host write-protects the page (EFAULT).
  Window window_store(Gpa gpa, unsigned size, std::uint64_t value);
  /// KVM_TRANSLATE. Sets accessed flags as a supervisor read does.
  std::optional<Gpa> translate(Gva gva);

  const Roots& roots() const { return roots_; }
  const TdpRootRef& tdp_root() const { return tdp_root_; }
  /// The role that its roots have, or would have.
  Role root_role() const;
  MemoryCache& cache() { return caches_.pages; }
  const FaultCaches& caches() const { return caches_; }
  DirtyMarker& dirty() { return dirty_; }
  const FaultEvents& events() const { return events_; }
  /// Give back cached objects, unless a fault uses them now; how many pages.
  std::size_t purge_caches();
  /// Drop roots and cached pages. KVM: kvm_mmu_unload(), mmu_free_memory_caches().
  void unload();

 private:
  /// vcpu->arch.mmio_gva, mmio_access, mmio_gfn, mmio_gen.
  struct MmioCache {
    std::optional<Gva> page;  ///< absent under TDP
    Gfn gfn = 0;
    Rights access = 0;
    std::uint64_t generation = 0;
  };

  /// Slots that are looked up stay as long as the section. KVM: kvm_vcpu_srcu_read_lock().
  [[nodiscard]] SlotReaders::Section reading_slots() { return {vm_->slot_readers(), number_}; }

  bool can_judge(const Role& role) const override;
  std::optional<GuestLeaf> leaf(const ShadowPage& page, unsigned entry) override;

  FaultContext context() { return {caches_, dirty_, *this}; }
  void request(Request what) { requests_ |= 1u << static_cast<unsigned>(what); }
  bool take_request(Request what);
  GuestWalk walk(Gva gva, const GuestAccess& access);
  void set_accessed_dirty(GuestWalk& walk, bool write);
  bool set_entry_bits(Gpa at, std::uint64_t bits);
  std::optional<std::array<std::uint64_t, 4>> read_pdptes(std::uint64_t cr3);
  void registers_changed();
  Role base_role() const;
  Role child_role(const GuestWalk& walk, unsigned level, Gva gva, Rights leaf_access) const;
  Expected<void> load_roots(const GuardedMmu::Exclusive& held);
  Expected<void> load_quarter(ShadowMmu& mmu, Gva gva);
  Expected<void> stock();
  void sync_roots(bool earlier);
  void injected(Gva gva, std::uint32_t code);
  bool shadow_paging() const { return !vm_->settings().tdp; }
  bool direct() const { return base_.direct; }

  void cache_mmio(std::optional<Gva> page, Gfn gfn, Rights access);
  bool mmio_cached(const MmioCache& cache) const;
  std::optional<std::uint64_t> lockless_spte(std::uint64_t address, unsigned& level) const;
  std::optional<FaultOutcome> mmio_fault(std::uint64_t address, bool is_gpa);
  FaultOutcome direct_fault(Gpa gpa, AccessKind kind, bool reserved);
  bool fast_fault(Gpa gpa, AccessKind kind);
  FaultOutcome no_slot(const GuestWalk* walk, Gva gva, Gpa gpa);
  /// What the fault found before the lock was taken.
  struct Target {
    MemorySlot* slot = nullptr;
    Gfn gfn = 0;
    Hva hva = 0;
    Rights access = 0;
    AccessKind kind = AccessKind::read;
    std::uint64_t invalidations = 0;
    bool host_writable = true;
  };
  enum class Installed : std::uint8_t { done, write_denied, retry };
  unsigned goal_level(const Target& target, unsigned most, unsigned& could_be) const;
  Mapping mapping_of(const Target& target, unsigned level);
  // With the MMU lock held: the references say so.
  bool entry_changed(const GuestWalk& walk, unsigned level) const;
  Expected<Installed> install(ShadowMmu& mmu, const GuestWalk& walk, Gva gva, const Target& target);
  Expected<Installed> install_direct(ShadowMmu& mmu, const Target& target);
  Expected<Installed> install_tdp(TdpMmu& tdp, const Target& target);
  Expected<ShadowPage*> descend_shadow(ShadowMmu& mmu, ShadowPage& from, unsigned entry, Gfn gfn,
                                       const Role& role);
  Expected<ShadowPage*> descend_direct(ShadowMmu& mmu, ShadowPage& from, unsigned entry, Gfn gfn,
                                       const Role& role);
  Expected<ShadowMmu::Mapped> finish(ShadowMmu& mmu, ShadowPage& page, unsigned entry,
                                     const Target& target);

  Vm* vm_;
  std::size_t number_;
  VcpuState state_;
  WalkTables tables_;
  Role base_;
  unsigned hardware_levels_ = 4;
  Mutex caches_mutex_{"caches-lock"};  ///< held from filling the caches to the fault's end
  FaultCaches caches_;
  DirtyMarker dirty_;
  Roots roots_;
  TdpRootRef tdp_root_;
  MmioCache mmio_;
  FaultEvents events_;
  std::uint32_t requests_ = 1u << static_cast<unsigned>(Request::load_root);
  std::uint64_t seen_obsolete_ = 0;
  std::uint64_t flushes_ = 0;
};

}  // namespace lockstep::impl
