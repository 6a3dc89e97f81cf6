/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's allocators by symbol. No kernel header is included: their
 * prototypes and macros changed often, the calling convention did not.
 */
#include "shim.h"
#include "schedule.h"

typedef unsigned long ul;
#define CALLER ((ul)__builtin_return_address(0))
#define ALIAS(new, old) extern __typeof__(old) new __attribute__((alias(#old)))

struct kmem_cache {
  unsigned size;
  const char *name;
  void (*constructor)(void *);
};

static void *allocate(ul bytes, unsigned gfp, unsigned kind, ul caller) {
  if (gfp & hosted_gfp_may_sleep) hosted_may_sleep("allocation");
  TELL(allocate, !!(gfp & hosted_gfp_may_sleep));
  return hosted_object(bytes, !!(gfp & hosted_gfp_zero), kind, caller);
}

struct kmem_cache *hosted_cache(const char *name, unsigned size, void (*constructor)(void *)) {
  struct kmem_cache *cache =
      hosted_object(sizeof(*cache), 1, HOSTED_SLAB, (ul)__builtin_return_address(0));
  if (!cache) return 0;
  cache->size = size;
  cache->name = name;
  cache->constructor = constructor;
  return cache;
}
struct kmem_cache *kmem_cache_create(const char *name, unsigned size, unsigned align,
                                     unsigned flags, void (*constructor)(void *)) {
  return hosted_cache(name, size, constructor);
}
struct kmem_cache *kmem_cache_create_usercopy(const char *name, unsigned size, unsigned align,
                                              unsigned flags, unsigned offset, unsigned usersize,
                                              void (*constructor)(void *)) {
  return hosted_cache(name, size, constructor);
}
void kmem_cache_destroy(struct kmem_cache *cache) { hosted_release(cache); }

void *kmem_cache_alloc(struct kmem_cache *cache, unsigned gfp) {
  void *object;
  if (!cache) hosted_fail(HOSTED_BUG, "allocation from a slab cache that does not exist");
  object = allocate(cache->size, gfp, HOSTED_SLAB, CALLER);
  if (object && cache->constructor) cache->constructor(object);
  return object;
}
void *kmem_cache_alloc_lru(struct kmem_cache *cache, void *lru, unsigned gfp) {
  return kmem_cache_alloc(cache, gfp);
}
void *kmem_cache_alloc_node(struct kmem_cache *cache, unsigned gfp, int node) {
  return kmem_cache_alloc(cache, gfp);
}
void kmem_cache_free(struct kmem_cache *cache, void *object) { hosted_release(object); }

void *kmalloc_trace(void *cache, unsigned gfp, ul bytes) {
  return allocate(bytes, gfp, HOSTED_SLAB, CALLER);
}
void *kmalloc_node_trace(void *cache, unsigned gfp, int node, ul bytes) {
  return allocate(bytes, gfp, HOSTED_SLAB, CALLER);
}
void *__kmalloc(ul bytes, unsigned gfp) { return allocate(bytes, gfp, HOSTED_SLAB, CALLER); }
void *__kmalloc_node(ul bytes, unsigned gfp, int node) {
  return allocate(bytes, gfp, HOSTED_SLAB, CALLER);
}
void *kvmalloc_node(ul bytes, unsigned gfp, int node) {
  return allocate(bytes, gfp, HOSTED_VMALLOC, CALLER);
}
void *__vmalloc(ul bytes, unsigned gfp) { return allocate(bytes, gfp, HOSTED_VMALLOC, CALLER); }
void *__vcalloc(ul count, ul bytes, unsigned gfp) {
  return allocate(count * bytes, gfp | hosted_gfp_zero, HOSTED_VMALLOC, CALLER);
}
void *vzalloc(ul bytes) {
  return allocate(bytes, hosted_gfp_zero | hosted_gfp_may_sleep, HOSTED_VMALLOC, CALLER);
}
void *vmalloc(ul bytes) { return allocate(bytes, hosted_gfp_may_sleep, HOSTED_VMALLOC, CALLER); }
void kfree(void *object) { hosted_release(object); }
void kvfree(void *object) { hosted_release(object); }
void vfree(void *object) { hosted_release(object); }

static ul pages(unsigned gfp, unsigned order, ul caller) {
  if (gfp & hosted_gfp_may_sleep) hosted_may_sleep("page allocation");
  TELL(allocate, !!(gfp & hosted_gfp_may_sleep));
  return hosted_page(order, !!(gfp & hosted_gfp_zero), caller);
}
ul __get_free_pages(unsigned gfp, unsigned order) { return pages(gfp, order, CALLER); }
ul get_zeroed_page(unsigned gfp) { return pages(gfp | hosted_gfp_zero, 0, CALLER); }
void *__alloc_pages(unsigned gfp, unsigned order, int node, void *mask) {
  ul address = pages(gfp, order, CALLER);
  return address ? hosted_page_descriptor(address) : 0;
}
void free_pages(ul address, unsigned order) {
  if (address) hosted_page_release(address, order);
}
void __free_pages(void *page, unsigned order) {
  hosted_page_release(hosted_page_address(page), order);
}

/* Per-CPU memory of one CPU. */
void *__alloc_percpu(ul bytes, ul align) { return hosted_object(bytes, 1, HOSTED_SLAB, CALLER); }
void *__alloc_percpu_gfp(ul bytes, ul align, unsigned gfp) {
  return hosted_object(bytes, 1, HOSTED_SLAB, CALLER);
}
void *pcpu_alloc_noprof(ul bytes, ul align, _Bool reserved, unsigned gfp) {
  return hosted_object(bytes, 1, HOSTED_SLAB, CALLER);
}
void free_percpu(void *memory) { hosted_release(memory); }

/* Slab caches since 6.12 take their options in a structure whose constructor
 * comes after three words (struct kmem_cache_args). */
struct cache_arguments {
  unsigned align, useroffset, usersize, freeptr_offset;
  unsigned char use_freeptr_offset;
  void (*constructor)(void *);
};
struct kmem_cache *__kmem_cache_create_args(const char *name, unsigned size,
                                            struct cache_arguments *arguments, unsigned flags) {
  return hosted_cache(name, size, arguments ? arguments->constructor : 0);
}

/* Names since 6.10, when memory allocation profiling came. */
ALIAS(kmem_cache_alloc_noprof, kmem_cache_alloc);
ALIAS(kmem_cache_alloc_lru_noprof, kmem_cache_alloc_lru);
ALIAS(kmem_cache_alloc_node_noprof, kmem_cache_alloc_node);
ALIAS(__kmalloc_cache_noprof, kmalloc_trace);
ALIAS(__kmalloc_cache_node_noprof, kmalloc_node_trace);
ALIAS(__kmalloc_noprof, __kmalloc);
#ifdef HOSTED_KVMALLOC_ALIGN
void *__kvmalloc_node_noprof(ul bytes, ul align, unsigned gfp, int node) {
#else
void *__kvmalloc_node_noprof(ul bytes, unsigned gfp, int node) {
#endif
  return allocate(bytes, gfp, HOSTED_VMALLOC, CALLER);
}
ALIAS(__vmalloc_noprof, __vmalloc);
ALIAS(__vcalloc_noprof, __vcalloc);
void *vcalloc_noprof(ul count, ul bytes) {
  return __vcalloc(count, bytes, hosted_gfp_may_sleep);
}
void *vcalloc(ul count, ul bytes) { return __vcalloc(count, bytes, hosted_gfp_may_sleep); }
ALIAS(vzalloc_noprof, vzalloc);
ALIAS(vmalloc_noprof, vmalloc);
ALIAS(__get_free_pages_noprof, __get_free_pages);
ALIAS(get_free_pages_noprof, __get_free_pages);
ALIAS(get_zeroed_page_noprof, get_zeroed_page);
ALIAS(__alloc_pages_noprof, __alloc_pages);
