// SPDX-License-Identifier: GPL-2.0-or-later
/// The view: what stands inside an MMU between two steps, as plain values. A
/// hosted kernel and the implementation give the same structure, so one set of
/// invariants (spec/kvm/invariants.h) serves both.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "spec/vocabulary/address.h"

namespace lockstep::spec {

/// What the bits of a role say (union kvm_mmu_page_role).
struct ViewRole {
  std::uint32_t word = 0;  ///< as the MMU compares it
  unsigned level = 0;
  bool has_4_byte_gpte = false;
  unsigned quadrant = 0;
  bool direct = false;
  unsigned access = 0;
  bool invalid = false;
  bool efer_nx = false;
  bool cr0_wp = false;
  bool smep = false;  ///< smep_andnot_wp, cr4_smep
  bool smap = false;  ///< smap_andnot_wp
  bool ad_disabled = false;
  bool guest_mode = false;
  bool passthrough = false;
  bool is_mirror = false;
  unsigned smm = 0;
  bool operator==(const ViewRole&) const = default;
};

/// One entry of a page table: the table's frame, and the index.
struct ViewPlace {
  Hfn table = 0;
  unsigned index = 0;
  auto operator<=>(const ViewPlace&) const = default;
};

/// What the host's own page tables have behind a page of the guest.
struct ViewHostPage {
  Hfn frame = 0;
  bool writable = false;
  unsigned level = 1;  ///< of the largest mapping that the host has around it
};

/// One shadow page table entry.
struct ViewEntry {
  enum class Kind : std::uint8_t {
    not_present,  ///< with a value that is not ViewMasks::nonpresent
    mmio,
    leaf,
    link,   ///< to the table of the next level
    frozen  ///< the TDP MMU is about to change it
  };
  unsigned index = 0;
  Kind kind = Kind::not_present;
  std::uint64_t raw = 0;
  Hfn frame = 0;  ///< of a leaf, or of the child's table
  Gfn gfn = 0;    ///< that the leaf maps by the page's own records, or of MMIO
  unsigned access = 0;
  std::uint64_t generation = 0;  ///< of MMIO
  bool readable = false;
  bool writable = false;
  bool executable = false;
  bool user = false;
  bool large = false;
  bool host_writable = false;
  bool mmu_writable = false;
  bool accessed = false;
  bool dirty = false;
  /// Behind `gfn` of a leaf; none where nothing is there, or the engine does not tell.
  std::optional<ViewHostPage> host{};
};

struct ViewPage {
  Hfn table = 0;
  Gfn gfn = 0;
  ViewRole role;
  bool tdp_mmu = false;
  bool unsync = false;
  bool no_huge = false;   ///< nx_huge_page_disallowed
  bool obsolete = false;  ///< invalid, or of an older generation
  unsigned valid_generation = 0;
  long root_count = 0;  ///< tdp_mmu_root_count for the TDP MMU
  unsigned unsync_children = 0;
  /// Entries with something unsync below them, a bit each; none where the engine does not tell.
  std::optional<std::array<std::uint64_t, 8>> unsync_child_bitmap{};
  unsigned write_flooding = 0;
  std::vector<ViewEntry> entries;  ///< by index; one that lacks is `nonpresent`
  std::vector<ViewPlace> parents;  ///< parent_ptes; the one of the TDP MMU
};

/// What one list of reverse mappings holds.
struct ViewRmap {
  unsigned level = 1;
  Gfn gfn = 0;  ///< first of the list's
  std::vector<ViewPlace> places;
};

struct ViewSlot {
  /// A number of the slot's metadata that is not zero.
  struct Number {
    unsigned level = 1;
    Gfn gfn = 0;
    int number = 0;
  };
  unsigned address_space = 0;
  int id = 0;
  Gfn gfn = 0;
  std::uint64_t pages = 0;
  std::uint64_t address = 0;  ///< host virtual
  unsigned flags = 0;
  bool has_dirty_bitmap = false;
  bool has_rmaps = false;
  bool has_tracking = false;
  /// The dirty bitmap: what the next log would tell. Empty without one.
  std::vector<std::uint64_t> dirty;
  std::vector<Number> no_huge;  ///< lpage_info.disallow_lpage
  std::vector<Number> tracked;  ///< gfn_write_track
  std::vector<ViewRmap> rmaps;
};

struct ViewRoot {
  std::uint64_t guest_root = 0;  ///< pgd
  std::uint64_t root = 0;        ///< host physical address
};

struct ViewMmu {
  std::optional<ViewRoot> active;
  std::array<std::optional<ViewRoot>, 3> previous;
  ViewRole role;
  std::uint32_t cpu_role_extension = 0;  ///< cpu_role.ext, as the MMU compares it
  bool used = false;                     ///< the one that the vCPU runs with
  /// Entries of the table without shadow page that the active root is.
  std::optional<std::array<std::uint64_t, 4>> pae_root;
};

/// A stock of objects that a fault draws from (struct kvm_mmu_memory_cache).
struct ViewCache {
  std::string name;
  std::uint64_t objects = 0;
  std::uint64_t capacity = 0;  ///< 0 until it is filled for the first time
};

struct ViewVcpu {
  unsigned id = 0;
  std::uint64_t requests = 0;   ///< pending, by bit
  bool flushes = false;         ///< the next entry begins with a flush, whatever is requested
  std::array<ViewMmu, 2> mmus;  ///< of the guest, of the guest's guest
  std::vector<ViewCache> caches;
};

struct ViewLock {
  std::string name;
  bool shared = false;
};

/// Numbers that a kernel may not keep are absent.
struct ViewCounters {
  std::uint64_t used_pages = 0;
  std::optional<std::uint64_t> used_pages_everywhere;  ///< of every VM
  std::uint64_t max_pages = 0;
  std::uint64_t requested_pages = 0;
  std::uint64_t indirect_pages = 0;
  std::optional<std::uint64_t> tdp_pages;
  std::array<std::uint64_t, 3> leaves{};  ///< pages_4k, pages_2m, pages_1g
  std::uint64_t nx_splits = 0;
  std::uint64_t unsync_pages = 0;
  std::uint64_t zapped = 0;
  std::uint64_t recycled = 0;
  std::uint64_t flooded = 0;
  std::uint64_t pte_writes = 0;
  std::uint64_t cache_misses = 0;
  std::uint64_t longest_rmap = 0;
  std::uint64_t invalidations = 0;  ///< mmu_invalidate_seq
  std::int64_t invalidating = 0;    ///< mmu_invalidate_in_progress
};

/// Bits of entries, as the MMU was set up.
struct ViewMasks {
  std::uint64_t nonpresent = 0, frozen = 0, shadow_present = 0;
  std::uint64_t host_writable = 0, mmu_writable = 0, accessed = 0, dirty = 0;
  std::uint64_t present = 0, user = 0, executable = 0, no_execute = 0, access_track = 0;
  std::uint64_t mmio_value = 0, mmio_mask = 0, mmio_access = 0;
  std::uint64_t mmio_generation = 0;  ///< of the memslots' generation, what an entry keeps
  /// Bits of ViewRole::access; 0: the role says nothing of it.
  std::uint64_t access_writable = 2, access_user = 4, access_executable = 0;
  std::uint64_t encryption = 0, nonpresent_or_reserved = 0, lower_gfn = 0;
};

struct View {
  bool tdp = false;
  bool tdp_mmu = false;
  bool nx_huge_pages = false;     ///< kvm.nx_huge_pages: no huge page is executable
  bool logs_dirty_bits = false;   ///< small leaves are logged by their dirty bits
  bool logs_at_once = false;      ///< and what becomes dirty is in the log before the next step
  unsigned valid_generation = 0;  ///< mmu_valid_gen
  ViewMasks masks;
  ViewCounters counters;
  std::vector<std::uint64_t> slot_generations;  ///< by address space
  std::map<Hfn, ViewPage> pages;                ///< by table; zapped roots too
  std::vector<Hfn> same_table;                  ///< tables that two pages claim
  std::vector<Hfn> active;                      ///< active_mmu_pages, newest first
  std::vector<Hfn> recoverable;                 ///< pages that NX recovery may zap
  std::vector<ViewSlot> slots;                  ///< by address space, then gfn
  std::vector<ViewVcpu> vcpus;
  std::vector<ViewCache> caches;  ///< of the VM: for splits of huge pages
  int locks_held = 0;
  std::vector<ViewLock> locks;               ///< where their names are known
  std::map<unsigned, std::string> requests;  ///< names of request bits
};

/// The view as text for people, a line for each page, entry, slot and root;
/// hexadecimal, in the order of tables.
std::string print(const View& view);

}  // namespace lockstep::spec
