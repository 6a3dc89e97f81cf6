/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a kernel image tells of one VM (hosted_image.view): plain C, as
 * boundary.h. Pointers are good until the callback returns.
 *
 * Frames are host physical addresses in units of 4096 bytes. A place is one
 * entry of a page table: the frame of the table, and the index.
 */
#ifndef LOCKSTEP_HW_HOSTED_BOUNDARY_VIEW_H
#define LOCKSTEP_HW_HOSTED_BOUNDARY_VIEW_H

#include "hw/hosted/boundary.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HOSTED_VIEW_UNKNOWN (~0ull) /* a number that this kernel does not keep */

/* Bits of shadow page table entries, as the kernel was set up. */
struct hosted_view_masks {
  hosted_u64 nonpresent, frozen, shadow_present;
  hosted_u64 host_writable, mmu_writable, accessed, dirty;
  hosted_u64 present, user, executable, no_execute, access_track;
  hosted_u64 mmio_value, mmio_mask, mmio_access, mmio_generation;
  hosted_u64 encryption, nonpresent_or_reserved, lower_gfn;
  unsigned access_writable, access_user, access_executable; /* of roles: ACC_*_MASK */
};

/* Once, first. */
struct hosted_view_vm {
  struct hosted_view_masks masks;
  unsigned char tdp, tdp_mmu;
  unsigned char logs_dirty_bits; /* kvm_cpu_dirty_log_size(): small leaves stay writable */
  unsigned valid_generation;     /* mmu_valid_gen */
  hosted_u64 used_pages, used_pages_everywhere, max_pages, requested_pages;
  hosted_u64 indirect_pages, tdp_pages;
  hosted_u64 leaves[3]; /* stat.pages_4k, pages_2m, pages_1g */
  hosted_u64 nx_splits, unsync_pages, zapped, recycled, flooded, pte_writes, cache_misses;
  hosted_u64 longest_rmap;
  hosted_u64 invalidations;       /* mmu_invalidate_seq */
  long long invalidating;         /* mmu_invalidate_in_progress */
  hosted_u64 slot_generations[2]; /* by address space */
  unsigned address_spaces;
  int locks_held;
  const char* const* request_names; /* 64; null where the kernel has none */
};

/* The callbacks for its metadata follow before the next slot. */
struct hosted_view_slot {
  unsigned address_space;
  int id;
  hosted_u64 gfn, pages, address;
  unsigned flags;
  unsigned char rmaps, tracking; /* metadata is allocated */
  const hosted_u64* dirty;       /* a bit a page; null without a bitmap */
};

/* One number of a slot's metadata that is not zero. */
enum hosted_view_metadata {
  HOSTED_VIEW_NO_HUGE, /* lpage_info.disallow_lpage */
  HOSTED_VIEW_TRACKED  /* gfn_write_track */
};

struct hosted_view_place {
  hosted_u64 table;
  unsigned index;
};

struct hosted_view_role {
  unsigned word;
  unsigned char level, has_4_byte_gpte, quadrant, direct, access, invalid, efer_nx, cr0_wp;
  unsigned char smep, smap, ad_disabled, guest_mode, passthrough, is_mirror, smm;
};

enum hosted_view_kind {
  HOSTED_VIEW_NOT_PRESENT, /* of a value that is not the usual one */
  HOSTED_VIEW_MMIO,
  HOSTED_VIEW_LEAF,
  HOSTED_VIEW_LINK,
  HOSTED_VIEW_FROZEN
};
#define HOSTED_VIEW_READABLE 1u
#define HOSTED_VIEW_WRITABLE 2u
#define HOSTED_VIEW_EXECUTABLE 4u
#define HOSTED_VIEW_USER 8u
#define HOSTED_VIEW_LARGE 16u
#define HOSTED_VIEW_HOST_WRITABLE 32u
#define HOSTED_VIEW_MMU_WRITABLE 64u
#define HOSTED_VIEW_ACCESSED 128u
#define HOSTED_VIEW_DIRTY 256u

struct hosted_view_entry {
  unsigned short index, kind;
  unsigned bits; /* of leaves and links */
  hosted_u64 raw;
  hosted_u64 frame; /* a leaf's, or the child's table */
  hosted_u64 gfn;   /* a leaf's as kvm_mmu_page_get_gfn() says, or of MMIO */
  unsigned access;  /* of a leaf as it is shadowed, or of MMIO */
  hosted_u64 generation;
};

struct hosted_view_page {
  hosted_u64 table, gfn;
  struct hosted_view_role role;
  unsigned char tdp_mmu, unsync, no_huge, obsolete, valid_generation;
  int root_count;
  unsigned unsync_children, write_flooding;
  const hosted_u64* unsync_child_bitmap; /* 512 bits; null in pages of the TDP MMU */
  unsigned entry_count;
  const struct hosted_view_entry* entries; /* those that are not `nonpresent` */
};

struct hosted_view_root {
  hosted_u64 guest_root, root; /* pgd, hpa; ~0: none */
};
struct hosted_view_mmu {
  struct hosted_view_root active, previous[3];
  struct hosted_view_role role;
  unsigned cpu_role_extension; /* cpu_role.ext */
  unsigned char used;          /* vcpu->arch.mmu */
  unsigned char paired;        /* `pae_root` holds what the current root points to */
  hosted_u64 pae_root[4];
};
struct hosted_view_vcpu {
  unsigned id;
  hosted_u64 requests;
  unsigned char flushes;          /* the next entry begins with a flush */
  struct hosted_view_mmu mmus[2]; /* root_mmu, guest_mmu */
};

struct hosted_view_sink {
  void* context;
  void (*vm)(void* context, const struct hosted_view_vm* vm);
  void (*slot)(void* context, const struct hosted_view_slot* slot);
  /* Of the last slot; tracking has level 1. */
  void (*metadata)(void* context, unsigned kind, unsigned level, hosted_u64 gfn, int number);
  void (*rmap)(void* context, unsigned level, hosted_u64 gfn,
               const struct hosted_view_place* place);
  /* Every page of the hash (zapped roots too), every page of the TDP MMU. */
  void (*page)(void* context, const struct hosted_view_page* page);
  /* An entry that links to the last page. */
  void (*parent)(void* context, const struct hosted_view_place* place);
  /* A page on active_mmu_pages, the newest first. */
  void (*active)(void* context, hosted_u64 table);
  /* A page on the list of those that NX huge page recovery may zap. */
  void (*recoverable)(void* context, hosted_u64 table);
  void (*vcpu)(void* context, const struct hosted_view_vcpu* vcpu);
  /* A memory cache of the last vCPU, or of the VM before the first; the name is a literal. */
  void (*cache)(void* context, const char* name, hosted_u64 objects, hosted_u64 capacity);
  /* A lock that is held; names are known to kernels with lockdep. */
  void (*lock)(void* context, const char* name, int shared);
};

#ifdef __cplusplus
}
#endif
#endif
