/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM as its own data structures are, read between two ioctls: nothing is
 * locked, nothing is changed. SPTEs are decoded by the tree's own helpers.
 */
#include <linux/hashtable.h>
#include <linux/kvm_host.h>
#include "mmu.h"
#include "mmu/mmu_internal.h"
#include "mmu/spte.h"
#include "mmu/tdp_mmu.h"
#ifndef HOSTED_TREE_WRITE_TRACK
#include <asm/kvm_page_track.h>
#endif
#include "shim.h"
#include "hw/hosted/boundary_view.h"

#ifdef CONFIG_PROVE_LOCKING
extern const char *hosted_held_lock(int at, int *shared);
#endif

extern int hosted_svm_flushes(struct kvm_vcpu *vcpu);

#define LEVELS 3 /* page sizes with rmaps: KVM_NR_PAGE_SIZES */

/* ---- requests */
#define REQUEST(name) request_names[(KVM_REQ_##name) & KVM_REQUEST_MASK] = #name
static const char *request_names[64];
static void name_requests(void) {
  REQUEST(TLB_FLUSH);
  REQUEST(VM_DEAD);
  REQUEST(UNBLOCK);
#ifdef KVM_REQ_DIRTY_RING_SOFT_FULL
  REQUEST(DIRTY_RING_SOFT_FULL);
#endif
  REQUEST(TRIPLE_FAULT);
  REQUEST(MMU_SYNC);
  REQUEST(CLOCK_UPDATE);
  REQUEST(LOAD_MMU_PGD);
  REQUEST(EVENT);
  REQUEST(STEAL_UPDATE);
  REQUEST(NMI);
  REQUEST(MASTERCLOCK_UPDATE);
  REQUEST(SCAN_IOAPIC);
#ifdef KVM_REQ_GLOBAL_CLOCK_UPDATE
  REQUEST(GLOBAL_CLOCK_UPDATE);
#endif
  REQUEST(APIC_PAGE_RELOAD);
  REQUEST(LOAD_EOI_EXITMAP);
  REQUEST(APICV_UPDATE);
  REQUEST(TLB_FLUSH_CURRENT);
  REQUEST(TLB_FLUSH_GUEST);
#ifdef KVM_REQ_MSR_FILTER_CHANGED
  REQUEST(MSR_FILTER_CHANGED);
#endif
#ifdef KVM_REQ_RECALC_INTERCEPTS
  REQUEST(RECALC_INTERCEPTS);
#endif
  REQUEST(UPDATE_CPU_DIRTY_LOGGING);
  REQUEST(MMU_FREE_OBSOLETE_ROOTS);
#ifdef KVM_REQ_HV_TLB_FLUSH
  REQUEST(HV_TLB_FLUSH);
#endif
}

/* ---- what trees write in different ways */
static int spte_is_mmio(struct kvm *kvm, u64 spte) {
#ifdef HOSTED_TREE_MMIO_PER_VM
  return is_mmio_spte(kvm, spte);
#else
  return is_mmio_spte(spte);
#endif
}
static u64 mmio_value(struct kvm *kvm) {
#ifdef HOSTED_TREE_MMIO_PER_VM
  return kvm->arch.shadow_mmio_value;
#else
  return shadow_mmio_value;
#endif
}
#ifdef SHADOW_NONPRESENT_VALUE
#define NONPRESENT SHADOW_NONPRESENT_VALUE
#else
#define NONPRESENT 0ull
#endif
#ifdef HOSTED_TREE_FROZEN
#define FROZEN FROZEN_SPTE
#else
#define FROZEN REMOVED_SPTE
#endif
#ifdef HOSTED_TREE_NX_DISALLOWED
#define NO_HUGE(sp) ((sp)->nx_huge_page_disallowed)
#define NX_LINK possible_nx_huge_page_link
#else
#define NO_HUGE(sp) ((sp)->lpage_disallowed)
#define NX_LINK lpage_disallowed_link
#endif
#ifdef HOSTED_TREE_WRITE_TRACK
#define TRACKING(slot) ((slot)->arch.gfn_write_track)
#else
#define TRACKING(slot) ((slot)->arch.gfn_track[KVM_PAGE_TRACK_WRITE])
#endif
#ifdef HOSTED_TREE_ADDRESS_SPACES
#define ADDRESS_SPACES(kvm) kvm_arch_nr_memslot_as_ids(kvm)
#else
#define ADDRESS_SPACES(kvm) KVM_ADDRESS_SPACE_NUM
#endif

static struct hosted_view_place place_of(const u64 *sptep) {
  struct hosted_view_place place = {.table = __pa(sptep) >> PAGE_SHIFT,
                                    .index = ((unsigned long)sptep & ~PAGE_MASK) / sizeof(*sptep)};
  return place;
}

static struct hosted_view_role role_of(union kvm_mmu_page_role role) {
  struct hosted_view_role to = {.word = role.word,
                                .level = role.level,
                                .has_4_byte_gpte = role.has_4_byte_gpte,
                                .quadrant = role.quadrant,
                                .direct = role.direct,
                                .access = role.access,
                                .invalid = role.invalid,
                                .efer_nx = role.efer_nx,
                                .cr0_wp = role.cr0_wp,
                                .smap = role.smap_andnot_wp,
                                .ad_disabled = role.ad_disabled,
                                .guest_mode = role.guest_mode,
                                .passthrough = role.passthrough,
                                .smm = role.smm};
#ifdef HOSTED_TREE_ROLE_SMEP_ANDNOT_WP
  to.smep = role.smep_andnot_wp;
#else
  to.smep = role.cr4_smep;
#endif
#ifdef HOSTED_TREE_ROLE_MIRROR
  to.is_mirror = role.is_mirror;
#endif
  return to;
}

/* ---- lists of SPTEs: struct pte_list_desc is private to mmu.c, and the tree's
 * own count says whether this is its shape. */
struct list_part {
  struct list_part *more;
  u32 count; /* some trees have 64 bits here, others a second number behind */
  u32 behind;
  u64 *sptes[];
};
typedef void (*on_place)(const struct hosted_view_sink *sink, unsigned level, u64 gfn, u64 *sptep);

static int each_in_list(struct kvm_rmap_head *head, const struct hosted_view_sink *sink,
                        unsigned level, u64 gfn, on_place tell) {
  unsigned long value = *(unsigned long *)head;
  struct list_part *part;
  unsigned seen = 0, i, count = pte_list_count(head);
  if (!value) return 0;
  if (!(value & 1)) {
    tell(sink, level, gfn, (u64 *)value);
    return 0;
  }
  for (part = (void *)(value & ~3ul); part && seen <= count; part = part->more)
    for (i = 0; i < part->count; ++i, ++seen) tell(sink, level, gfn, part->sptes[i]);
  return seen == count ? 0 : -EPROTO;
}

static void tell_parent(const struct hosted_view_sink *sink, unsigned level, u64 gfn, u64 *sptep) {
  struct hosted_view_place place = place_of(sptep);
  sink->parent(sink->context, &place);
}
static void tell_rmap(const struct hosted_view_sink *sink, unsigned level, u64 gfn, u64 *sptep) {
  struct hosted_view_place place = place_of(sptep);
  sink->rmap(sink->context, level, gfn, &place);
}

/* ---- shadow pages */
static u64 gfn_of(struct kvm_mmu_page *sp, int index) {
  if (sp->role.passthrough) return sp->gfn;
  if (!sp->role.direct && sp->shadowed_translation)
    return sp->shadowed_translation[index] >> PAGE_SHIFT;
  return sp->gfn + ((u64)index << ((sp->role.level - 1) * SPTE_LEVEL_BITS));
}

static unsigned bits_of(u64 spte, int leaf) {
  unsigned bits = 0;
  int ad = spte_ad_enabled(spte);
  if (spte & PT_PRESENT_MASK) bits |= HOSTED_VIEW_READABLE;
  if (is_writable_pte(spte)) bits |= HOSTED_VIEW_WRITABLE;
  if (is_executable_pte(spte)) bits |= HOSTED_VIEW_EXECUTABLE;
  if (!shadow_user_mask || (spte & shadow_user_mask)) bits |= HOSTED_VIEW_USER;
  if (ad && shadow_accessed_mask ? spte & shadow_accessed_mask : !is_access_track_spte(spte))
    bits |= HOSTED_VIEW_ACCESSED;
  if (!leaf) return bits;
  if (spte & shadow_host_writable_mask) bits |= HOSTED_VIEW_HOST_WRITABLE;
  if (is_mmu_writable_spte(spte)) bits |= HOSTED_VIEW_MMU_WRITABLE;
  if (ad && shadow_dirty_mask ? spte & shadow_dirty_mask : is_writable_pte(spte))
    bits |= HOSTED_VIEW_DIRTY;
  return bits;
}

static void decode(struct kvm *kvm, struct kvm_mmu_page *sp, int index, u64 spte,
                   struct hosted_view_entry *to) {
  memset(to, 0, sizeof(*to));
  to->index = (unsigned short)index;
  to->raw = spte;
  if (spte == FROZEN) {
    to->kind = HOSTED_VIEW_FROZEN;
  } else if (is_shadow_present_pte(spte)) {
    int leaf = is_last_spte(spte, sp->role.level);
    to->kind = leaf ? HOSTED_VIEW_LEAF : HOSTED_VIEW_LINK;
    to->bits = bits_of(spte, leaf);
    to->frame = spte_to_pfn(spte);
    to->gfn = gfn_of(sp, index);
    if (leaf && sp->role.level > PG_LEVEL_4K) to->bits |= HOSTED_VIEW_LARGE;
    to->access = leaf && !sp->role.direct && !sp->role.passthrough && sp->shadowed_translation
                     ? sp->shadowed_translation[index] & ACC_ALL
                     : sp->role.access;
  } else if (spte_is_mmio(kvm, spte)) {
    u64 gpa = (spte & shadow_nonpresent_or_rsvd_lower_gfn_mask) |
              ((spte >> SHADOW_NONPRESENT_OR_RSVD_MASK_LEN) & shadow_nonpresent_or_rsvd_mask);
    to->kind = HOSTED_VIEW_MMIO;
    to->gfn = gpa >> PAGE_SHIFT;
    to->access = (unsigned)(spte & shadow_mmio_access_mask);
    to->generation = get_mmio_spte_generation(spte);
  }
}

static struct hosted_view_entry entries[SPTE_ENT_PER_PAGE];

static int tell_page(struct kvm *kvm, const struct hosted_view_sink *sink,
                     struct kvm_mmu_page *sp) {
  struct hosted_view_page page = {.table = __pa(sp->spt) >> PAGE_SHIFT,
                                  .gfn = sp->gfn,
                                  .role = role_of(sp->role),
                                  .tdp_mmu = sp->tdp_mmu_page,
                                  .unsync = sp->unsync,
                                  .no_huge = NO_HUGE(sp),
                                  .entries = entries};
  int index;
  if (sp->tdp_mmu_page) {
    page.root_count = (int)refcount_read(&sp->tdp_mmu_root_count);
    page.obsolete = sp->role.invalid;
  } else {
    page.root_count = sp->root_count;
    page.valid_generation = sp->mmu_valid_gen;
    page.obsolete = sp->role.invalid || sp->mmu_valid_gen != kvm->arch.mmu_valid_gen;
    page.unsync_children = sp->unsync_children;
    page.unsync_child_bitmap = (const hosted_u64 *)sp->unsync_child_bitmap;
    page.write_flooding = (unsigned)atomic_read(&sp->write_flooding_count);
  }
  for (index = 0; index < SPTE_ENT_PER_PAGE; ++index) {
    u64 spte = READ_ONCE(sp->spt[index]);
    if (spte != NONPRESENT) decode(kvm, sp, index, spte, &entries[page.entry_count++]);
  }
  sink->page(sink->context, &page);
  if (!sp->tdp_mmu_page) return each_in_list(&sp->parent_ptes, sink, 0, 0, tell_parent);
  if (sp->ptep) tell_parent(sink, 0, 0, (u64 *)sp->ptep);
  return 0;
}

/* Below a page of the TDP MMU: its table is a tree, no list has its pages. */
static int tell_below(struct kvm *kvm, const struct hosted_view_sink *sink,
                      struct kvm_mmu_page *sp) {
  int index, result = tell_page(kvm, sink, sp);
  for (index = 0; !result && index < SPTE_ENT_PER_PAGE; ++index) {
    u64 spte = READ_ONCE(sp->spt[index]);
    if (is_shadow_present_pte(spte) && !is_last_spte(spte, sp->role.level))
      result = tell_below(kvm, sink, spte_to_child_sp(spte));
  }
  return result;
}

static int tell_pages(struct kvm *kvm, const struct hosted_view_sink *sink) {
  struct hlist_head *hash = kvm->arch.mmu_page_hash;
  struct kvm_mmu_page *sp;
  int bucket, result = 0;
  /* A zapped root leaves the active list at once, the hash when it is freed. */
  for (bucket = 0; hash && bucket < KVM_NUM_MMU_PAGES; ++bucket)
    hlist_for_each_entry(sp, &hash[bucket], hash_link)
      if (!result) result = tell_page(kvm, sink, sp);
  list_for_each_entry(sp, &kvm->arch.active_mmu_pages, link)
    sink->active(sink->context, __pa(sp->spt) >> PAGE_SHIFT);
  /* The list of a VM without TDP MMU may never have been set up. */
  if (!kvm->arch.tdp_mmu_roots.next) return result;
  list_for_each_entry(sp, &kvm->arch.tdp_mmu_roots, link)
    if (!result) result = tell_below(kvm, sink, sp);
  return result;
}

static void tell_recoverable(const struct hosted_view_sink *sink, struct list_head *list) {
  struct kvm_mmu_page *sp;
  list_for_each_entry(sp, list, NX_LINK) sink->recoverable(sink->context, __pa(sp->spt) >> PAGE_SHIFT);
}
static void tell_recoverables(struct kvm *kvm, const struct hosted_view_sink *sink) {
#ifdef HOSTED_TREE_NX_LISTS
  int type;
  for (type = 0; type < KVM_NR_MMU_TYPES; ++type)
    tell_recoverable(sink, &kvm->arch.possible_nx_huge_pages[type].pages);
#elif defined(HOSTED_TREE_NX_DISALLOWED)
  tell_recoverable(sink, &kvm->arch.possible_nx_huge_pages);
#else
  tell_recoverable(sink, &kvm->arch.lpage_disallowed_mmu_pages);
#endif
}

/* ---- memslots */
static int tell_slot(const struct hosted_view_sink *sink, unsigned as,
                     struct kvm_memory_slot *slot) {
  struct hosted_view_slot to = {.address_space = as,
                                .id = slot->id,
                                .gfn = slot->base_gfn,
                                .pages = slot->npages,
                                .address = slot->userspace_addr,
                                .flags = slot->flags,
                                .dirty = (const hosted_u64 *)slot->dirty_bitmap,
                                .rmaps = !!slot->arch.rmap[0],
                                .tracking = !!TRACKING(slot)};
  unsigned long i, count;
  int level, result = 0;
  sink->slot(sink->context, &to);
  for (level = 1; level <= LEVELS; ++level) {
    unsigned shift = (unsigned)(level - 1) * SPTE_LEVEL_BITS;
    u64 first = slot->base_gfn >> shift;
    count = (unsigned long)(((slot->base_gfn + slot->npages - 1) >> shift) - first + 1);
    for (i = 0; i < count; ++i) {
      u64 gfn = (first + i) << shift;
      if (slot->arch.rmap[level - 1] && !result)
        result = each_in_list(&slot->arch.rmap[level - 1][i], sink, (unsigned)level, gfn, tell_rmap);
      if (level > 1 && slot->arch.lpage_info[level - 2][i].disallow_lpage)
        sink->metadata(sink->context, HOSTED_VIEW_NO_HUGE, (unsigned)level, gfn,
                       slot->arch.lpage_info[level - 2][i].disallow_lpage);
    }
  }
  for (i = 0; TRACKING(slot) && i < slot->npages; ++i)
    if (TRACKING(slot)[i])
      sink->metadata(sink->context, HOSTED_VIEW_TRACKED, 1, slot->base_gfn + i, TRACKING(slot)[i]);
  return result;
}

static int tell_slots(struct kvm *kvm, const struct hosted_view_sink *sink) {
  int as, bucket, result = 0;
  for (as = 0; as < ADDRESS_SPACES(kvm); ++as) {
    struct kvm_memslots *slots = rcu_dereference_raw(kvm->memslots[as]);
    struct kvm_memory_slot *slot;
    kvm_for_each_memslot(slot, bucket, slots)
      if (!result) result = tell_slot(sink, (unsigned)as, slot);
  }
  return result;
}

/* ---- the VM and its vCPUs */
static void tell_vm(struct kvm *kvm, const struct hosted_view_sink *sink) {
  struct hosted_view_vm vm = {.tdp = tdp_enabled,
                              .valid_generation = kvm->arch.mmu_valid_gen,
                              .max_pages = kvm->arch.n_max_mmu_pages,
                              .requested_pages = kvm->arch.n_requested_mmu_pages,
                              .indirect_pages = kvm->arch.indirect_shadow_pages,
                              .nx_splits = kvm->stat.nx_lpage_splits,
                              .unsync_pages = kvm->stat.mmu_unsync,
                              .zapped = kvm->stat.mmu_shadow_zapped,
                              .recycled = kvm->stat.mmu_recycled,
                              .flooded = kvm->stat.mmu_flooded,
                              .pte_writes = kvm->stat.mmu_pte_write,
                              .cache_misses = kvm->stat.mmu_cache_miss,
                              .longest_rmap = kvm->stat.max_mmu_rmap_size,
                              .invalidations = kvm->mmu_invalidate_seq,
                              .invalidating = kvm->mmu_invalidate_in_progress,
                              .address_spaces = (unsigned)ADDRESS_SPACES(kvm),
                              .locks_held = hosted_locks_held,
                              .request_names = request_names};
  struct hosted_view_masks *masks = &vm.masks;
  long everywhere = hosted_shrinkable();
  unsigned i;
  masks->nonpresent = NONPRESENT;
  masks->frozen = FROZEN;
  masks->shadow_present = SPTE_MMU_PRESENT_MASK;
  masks->host_writable = shadow_host_writable_mask;
  masks->mmu_writable = shadow_mmu_writable_mask;
  masks->accessed = shadow_accessed_mask;
  masks->dirty = shadow_dirty_mask;
  masks->present = shadow_present_mask;
  masks->user = shadow_user_mask;
#ifdef HOSTED_TREE_XS_MASK
  masks->executable = shadow_xs_mask | shadow_xu_mask;
#else
  masks->executable = shadow_x_mask;
#endif
  masks->no_execute = shadow_nx_mask;
  masks->access_track = shadow_acc_track_mask;
  masks->mmio_value = mmio_value(kvm);
  masks->mmio_mask = shadow_mmio_mask;
  masks->mmio_access = shadow_mmio_access_mask;
  masks->mmio_generation = MMIO_SPTE_GEN_MASK;
  masks->encryption = shadow_me_mask;
  masks->nonpresent_or_reserved = shadow_nonpresent_or_rsvd_mask;
  masks->lower_gfn = shadow_nonpresent_or_rsvd_lower_gfn_mask;
  masks->access_writable = ACC_WRITE_MASK;
  masks->access_user = ACC_USER_MASK;
  masks->access_executable = ACC_EXEC_MASK;
#ifdef HOSTED_TREE_LOG_SIZE_PER_VM
  vm.logs_dirty_bits = kvm_cpu_dirty_log_size(kvm) != 0;
#else
  vm.logs_dirty_bits = kvm_cpu_dirty_log_size() != 0;
#endif
#ifdef HOSTED_TREE_TDP_MMU_GLOBAL
  vm.tdp_mmu = tdp_mmu_enabled;
#else
  vm.tdp_mmu = kvm->arch.tdp_mmu_enabled;
#endif
#ifdef HOSTED_TREE_SHADOW_PAGES_STAT
  vm.used_pages = kvm->stat.mmu_shadow_pages;
#else
  vm.used_pages = kvm->arch.n_used_mmu_pages;
#endif
  vm.used_pages_everywhere = everywhere < 0 ? HOSTED_VIEW_UNKNOWN : (hosted_u64)everywhere;
#ifdef HOSTED_TREE_TDP_PAGES
  vm.tdp_pages = (hosted_u64)atomic64_read(&kvm->arch.tdp_mmu_pages);
#else
  vm.tdp_pages = HOSTED_VIEW_UNKNOWN;
#endif
  for (i = 0; i < 3; ++i) vm.leaves[i] = (hosted_u64)atomic64_read(&kvm->stat.pages[i]);
  for (i = 0; i < vm.address_spaces && i < 2; ++i)
    vm.slot_generations[i] = ((struct kvm_memslots *)rcu_dereference_raw(kvm->memslots[i]))->generation;
  sink->vm(sink->context, &vm);
}

static struct hosted_view_mmu mmu_of(const struct kvm_vcpu *vcpu, const struct kvm_mmu *mmu) {
  struct hosted_view_mmu to = {.active = {mmu->root.pgd, mmu->root.hpa},
                               .role = role_of(mmu->root_role),
                               .cpu_role_extension = mmu->cpu_role.ext.word,
                               .used = vcpu->arch.mmu == mmu};
  unsigned long special[] = {(unsigned long)mmu->pae_root, (unsigned long)mmu->pml4_root,
                             (unsigned long)mmu->pml5_root};
  unsigned i;
  for (i = 0; i < KVM_MMU_NUM_PREV_ROOTS && i < 3; ++i) {
    to.previous[i].guest_root = mmu->prev_roots[i].pgd;
    to.previous[i].root = mmu->prev_roots[i].hpa;
  }
  for (i = 0; i < 3; ++i)
    if (special[i] && mmu->root.hpa == __pa(special[i])) to.paired = !!mmu->pae_root;
  for (i = 0; to.paired && i < 4; ++i) to.pae_root[i] = mmu->pae_root[i];
  return to;
}

#define TELL_CACHE(of, name)                                     \
  sink->cache(sink->context, #name, (hosted_u64)(of)->name.nobjs, \
              (hosted_u64)(of)->name.capacity)
static void tell_vcpus(struct kvm *kvm, const struct hosted_view_sink *sink) {
  struct kvm_vcpu *vcpu;
  unsigned long at;
  TELL_CACHE(&kvm->arch, split_shadow_page_cache);
  TELL_CACHE(&kvm->arch, split_page_header_cache);
  TELL_CACHE(&kvm->arch, split_desc_cache);
  kvm_for_each_vcpu(at, vcpu, kvm) {
    struct hosted_view_vcpu to = {.id = (unsigned)vcpu->vcpu_id, .requests = vcpu->requests};
    to.mmus[0] = mmu_of(vcpu, &vcpu->arch.root_mmu);
    to.mmus[1] = mmu_of(vcpu, &vcpu->arch.guest_mmu);
    to.flushes = !hosted_is_intel && hosted_svm_flushes(vcpu);
    sink->vcpu(sink->context, &to);
    TELL_CACHE(&vcpu->arch, mmu_pte_list_desc_cache);
    TELL_CACHE(&vcpu->arch, mmu_shadow_page_cache);
    TELL_CACHE(&vcpu->arch, mmu_shadowed_info_cache);
    TELL_CACHE(&vcpu->arch, mmu_page_header_cache);
#ifdef HOSTED_TREE_EXTERNAL_SPT
    TELL_CACHE(&vcpu->arch, mmu_external_spt_cache);
#endif
  }
}
#undef TELL_CACHE

int hosted_leaves(int vm_file, hosted_u64 leaves[3]) {
  struct kvm *kvm = hosted_file_private(vm_file);
  unsigned i;
  if (!kvm) return -EBADF;
  for (i = 0; i < 3; ++i) leaves[i] = (hosted_u64)atomic64_read(&kvm->stat.pages[i]);
  return 0;
}

int hosted_view(int vm_file, const struct hosted_view_sink *sink) {
  struct kvm *kvm = hosted_file_private(vm_file);
  int result;
  if (!kvm) return -EBADF;
  name_requests();
  tell_vm(kvm, sink);
#ifdef CONFIG_PROVE_LOCKING
  {
    int at, shared;
    const char *name;
    for (at = 0; (name = hosted_held_lock(at, &shared)); ++at)
      sink->lock(sink->context, name, shared);
  }
#endif
  tell_vcpus(kvm, sink);
  result = tell_pages(kvm, sink);
  if (!result) result = tell_slots(kvm, sink);
  tell_recoverables(kvm, sink);
  return result;
}
