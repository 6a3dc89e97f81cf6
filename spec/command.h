// SPDX-License-Identifier: GPL-2.0-or-later
/// The command alphabet: everything that a program can do to a virtual machine.
/// Plain data; the text form is spec/program, the meaning spec/machine.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "spec/vocabulary/address.h"
#include "spec/vocabulary/configuration.h"
#include "spec/vocabulary/paging.h"

namespace lockstep {

/// KVM_SET_USER_MEMORY_REGION with a new slot. Sizes in bytes; any value is
/// allowed, the illegal ones expect their errno.
struct SlotAdd {
  unsigned id = 0;
  Gpa gpa = 0;
  std::uint64_t size = 0;
  Hva hva = 0;
  bool log = false;
  bool read_only = false;
  bool operator==(const SlotAdd&) const = default;
};

/// KVM_SET_USER_MEMORY_REGION with size 0.
struct SlotDelete {
  unsigned id = 0;
  bool operator==(const SlotDelete&) const = default;
};

/// Same slot, other gpa. Size, hva and flags are what user space last set with
/// success (one page at hva 0 without flags, if it never did).
struct SlotMove {
  unsigned id = 0;
  Gpa gpa = 0;
  bool operator==(const SlotMove&) const = default;
};

/// Same slot, other flags; the rest as in SlotMove.
struct SlotFlags {
  unsigned id = 0;
  bool log = false;
  bool read_only = false;
  bool operator==(const SlotFlags&) const = default;
};

/// User space stores through the hva that backs the gpa (EFAULT where no slot
/// does). Legal on a page-table page only before the first vCPU command; later
/// only with `host_poke`, which admits any value the entry ever had.
struct Poke {
  Gpa gpa = 0;
  std::uint64_t value = 0;
  unsigned size = 8;  ///< bytes: 4 or 8
  bool host_poke = false;
  bool operator==(const Poke&) const = default;
};

/// User space loads through the hva that backs the gpa.
struct Peek {
  Gpa gpa = 0;
  unsigned size = 8;  ///< bytes: 4 or 8
  bool operator==(const Peek&) const = default;
};

/// Store of one page-table entry: by user space before the first vCPU command
/// (`entry ...`), or by a vCPU at CPL 3 through the harness window
/// (`v0 entry ...`): then it is a guest write, tracked by KVM.
struct EntrySet {
  std::optional<unsigned> vcpu;
  TableLevel level = TableLevel::pt;  ///< how the value is printed, nothing else
  Gpa table = 0;                      ///< gpa of the table page, below harness::window
  unsigned index = 0;
  std::uint64_t value = 0;
  bool operator==(const EntrySet&) const = default;
};

/// Sugar for setup: map one page at `gva`, taking table pages from
/// Configuration::tables in order. Lowered to EntrySet before engines see it.
struct Map {
  Gva gva = 0;
  Gpa gpa = 0;
  TableLevel level = TableLevel::pt;  ///< pt: 4 KiB; pd, pdpt: the large page of that level
  std::uint64_t rights = 0;           ///< entry bits, without address and PS
  bool operator==(const Map&) const = default;
};

/// Sugar for setup: root entry `index` refers to the table that root entry
/// `of` refers to, with rights of its own.
struct AliasTable {
  unsigned index = 0;
  unsigned of = 0;
  std::uint64_t rights = 0;
  bool operator==(const AliasTable&) const = default;
};

/// One access by guest code, aligned to its size.
struct Access {
  unsigned vcpu = 0;
  AccessKind kind = AccessKind::read;
  Cpl cpl = Cpl::user;
  Gva gva = 0;
  std::uint64_t value = 0;  ///< stored by a write
  unsigned size = 8;        ///< bytes: 1, 2, 4 or 8 (8 in 64-bit modes only); a fetch has 8
  bool ac = false;          ///< RFLAGS.AC: with CPL 0, lifts SMAP
  bool operator==(const Access&) const = default;
};

/// MOV to CR3. `root` is one of Configuration::roots.
struct LoadCr3 {
  unsigned vcpu = 0;
  Gpa root = 0;
  unsigned pcid = 0;
  bool noflush = false;  ///< bit 63; needs CR4.PCIDE
  bool operator==(const LoadCr3&) const = default;
};

struct Invlpg {
  unsigned vcpu = 0;
  Gva gva = 0;
  bool operator==(const Invlpg&) const = default;
};

/// SDM "INVPCID": the four types, in the order of their numbers.
enum class InvpcidType : std::uint8_t { address, single, all_and_global, all };

struct Invpcid {
  unsigned vcpu = 0;
  InvpcidType type = InvpcidType::address;
  unsigned pcid = 0;
  Gva gva = 0;
  bool operator==(const Invpcid&) const = default;
};

/// MOV to CR0 or CR4, or WRMSR EFER, that changes one bit.
struct SetControl {
  unsigned vcpu = 0;
  ControlBit bit = ControlBit::cr0_wp;
  bool on = false;
  bool operator==(const SetControl&) const = default;
};

/// WRPKRU.
struct SetPkru {
  unsigned vcpu = 0;
  std::uint32_t value = 0;
  bool operator==(const SetPkru&) const = default;
};

/// KVM_TRANSLATE.
struct Translate {
  unsigned vcpu = 0;
  Gva gva = 0;
  bool operator==(const Translate&) const = default;
};

/// KVM_GET_DIRTY_LOG.
struct DirtyGet {
  unsigned id = 0;
  bool operator==(const DirtyGet&) const = default;
};

/// KVM_CLEAR_DIRTY_LOG of pages [first, first + count), every bit set.
struct DirtyClear {
  unsigned id = 0;
  std::uint64_t first = 0;
  std::uint32_t count = 0;
  bool operator==(const DirtyClear&) const = default;
};

/// Take every entry out of the dirty rings of all vCPUs, then
/// KVM_RESET_DIRTY_RINGS. Needs `dirty-log=ring`. Documentation/virt/kvm/api.rst,
/// KVM_CAP_DIRTY_LOG_RING.
struct RingCollect {
  bool operator==(const RingCollect&) const = default;
};

/// KVM_SET_NR_MMU_PAGES: at most this many shadow pages, the oldest of the rest
/// go. EINVAL below least_mmu_pages.
struct MmuPages {
  std::uint64_t pages = 0;
  bool operator==(const MmuPages&) const = default;
};

/// KVM_MIN_ALLOC_MMU_PAGES.
inline constexpr std::uint64_t least_mmu_pages = 64;

/// What the host may do to the memory behind a program's pages; KVM hears of it
/// through its MMU notifier. Documentation/mm, include/linux/mmu_notifier.h.
enum class HostAction : std::uint8_t {
  migrate,    ///< other frames, same contents: invalidate_range_start() and _end()
  protect,    ///< mprotect(PROT_READ)
  unprotect,  ///< mprotect(PROT_READ | PROT_WRITE)
  age,        ///< clear_flush_young(): was the range accessed of late?
  split,      ///< huge pages become small ones
  collapse,   ///< small pages become huge ones: khugepaged, MADV_COLLAPSE
  discard     ///< contents are those of fresh pages again: MADV_DONTNEED
};
inline constexpr unsigned host_action_count = 7;

/// The host acts on the pages [hva, hva + size). Always Done; what follows:
/// - protect: a guest store through a writable slot makes KVM_RUN fail with
///   EFAULT, or becomes an MMIO write where KVM emulates it; so does user
///   space's own (poke, entry). Loads and fetches go on. A page walk that reads
///   an entry there is not modelled (`no verdict`): the update of its accessed
///   flag fails, which KVM reports as #PF or EFAULT, depending on the MMU.
/// - discard: user space rewrites live tables in the range as `poke host-poke`
///   does.
/// - the others change nothing that anyone may observe.
struct HostChange {
  HostAction action = HostAction::migrate;
  Hva hva = 0;             ///< page-aligned
  std::uint64_t size = 0;  ///< bytes, whole pages, inside Configuration::memory
  bool operator==(const HostChange&) const = default;
};

/// The memory shrinker asks KVM to scan so many shadow pages:
/// mmu_shrink_scan(). Kernels from 6.13 on have none.
struct Shrink {
  std::uint64_t objects = 0;
  bool operator==(const Shrink&) const = default;
};

/// One pass of the worker that takes back small pages made for the iTLB
/// multihit mitigation: kvm_recover_nx_huge_pages().
struct NxRecover {
  bool operator==(const NxRecover&) const = default;
};

using Command =
    std::variant<SlotAdd, SlotDelete, SlotMove, SlotFlags, Poke, Peek, EntrySet, Map, AliasTable,
                 Access, LoadCr3, Invlpg, Invpcid, SetControl, SetPkru, Translate, DirtyGet,
                 DirtyClear, RingCollect, MmuPages, HostChange, Shrink, NxRecover>;

/// The vCPU that executes the command; none for user space's own.
std::optional<unsigned> vcpu_of(const Command& command);

}  // namespace lockstep
