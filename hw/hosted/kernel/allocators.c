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
  ul live; /* objects */
};

const char *hosted_owner_name(ul owner) {
  static const char *const names[HOSTED_OWNERS] = {"the kernel around KVM", "kmalloc()",
                                                   "kvmalloc()", "vmalloc()"};
  return owner < HOSTED_OWNERS ? names[owner] : ((const struct kmem_cache *)owner)->name;
}

static void *allocate(ul owner, ul bytes, unsigned gfp, ul caller) {
  unsigned kind = owner == HOSTED_OF_KVMALLOC || owner == HOSTED_OF_VMALLOC ? HOSTED_VMALLOC
                                                                            : HOSTED_SLAB;
  if (gfp & hosted_gfp_may_sleep) hosted_may_sleep("allocation");
  TELL(allocate, !!(gfp & hosted_gfp_may_sleep));
  return hosted_object_of(owner, bytes, !!(gfp & hosted_gfp_zero), kind, caller);
}

/* Null, or what kmalloc() of nothing gives. */
static int is_nothing(const void *object) { return (ul)object <= 16; }

/* `admitted`: a bit for each owner that is no cache. Caches count what they have. */
static void give_back(void *object, ul admitted, int of_caches, const char *function) {
  ul owner;
  if (is_nothing(object)) return;
  owner = hosted_owner(object);
  if (owner < HOSTED_OWNERS ? !(admitted >> owner & 1) : !of_caches)
    hosted_fail(HOSTED_MEMORY, "%s() of an object of %s", function, hosted_owner_name(owner));
  if (owner >= HOSTED_OWNERS) --((struct kmem_cache *)owner)->live;
  hosted_give_back(object);
}
#define OF(owner) (1ul << HOSTED_OF_##owner)
/* SLUB knows the cache of each object; since 6.4 kfree() says that it may be used so. */
#ifdef HOSTED_KFREE_OF_CACHES
#define KFREE_OF_CACHES 1
#else
#define KFREE_OF_CACHES 0
#endif

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
void kmem_cache_destroy(struct kmem_cache *cache) {
  if (!cache) return;
  if (cache->live)
    hosted_fail(HOSTED_MEMORY, "slab cache %s is destroyed with %lu objects", cache->name,
                cache->live);
  hosted_release(cache);
}

void *kmem_cache_alloc(struct kmem_cache *cache, unsigned gfp) {
  void *object;
  if (!cache) hosted_fail(HOSTED_BUG, "allocation from a slab cache that does not exist");
  object = allocate((ul)cache, cache->size, gfp, CALLER);
  if (!object) return 0;
  ++cache->live;
  if (cache->constructor) cache->constructor(object);
  return object;
}
void *kmem_cache_alloc_lru(struct kmem_cache *cache, void *lru, unsigned gfp) {
  return kmem_cache_alloc(cache, gfp);
}
void *kmem_cache_alloc_node(struct kmem_cache *cache, unsigned gfp, int node) {
  return kmem_cache_alloc(cache, gfp);
}
void kmem_cache_free(struct kmem_cache *cache, void *object) {
  if (!is_nothing(object) && hosted_owner(object) != (ul)cache)
    hosted_fail(HOSTED_MEMORY, "kmem_cache_free() to %s of an object of %s", cache->name,
                hosted_owner_name(hosted_owner(object)));
  give_back(object, 0, 1, "kmem_cache_free");
}

void *kmalloc_trace(void *cache, unsigned gfp, ul bytes) {
  return allocate(HOSTED_OF_KMALLOC, bytes, gfp, CALLER);
}
void *kmalloc_node_trace(void *cache, unsigned gfp, int node, ul bytes) {
  return allocate(HOSTED_OF_KMALLOC, bytes, gfp, CALLER);
}
void *__kmalloc(ul bytes, unsigned gfp) { return allocate(HOSTED_OF_KMALLOC, bytes, gfp, CALLER); }
void *__kmalloc_node(ul bytes, unsigned gfp, int node) {
  return allocate(HOSTED_OF_KMALLOC, bytes, gfp, CALLER);
}
void *kvmalloc_node(ul bytes, unsigned gfp, int node) {
  return allocate(HOSTED_OF_KVMALLOC, bytes, gfp, CALLER);
}
void *__vmalloc(ul bytes, unsigned gfp) {
  return allocate(HOSTED_OF_VMALLOC, bytes, gfp, CALLER);
}
void *__vcalloc(ul count, ul bytes, unsigned gfp) {
  return allocate(HOSTED_OF_VMALLOC, count * bytes, gfp | hosted_gfp_zero, CALLER);
}
void *vzalloc(ul bytes) {
  return allocate(HOSTED_OF_VMALLOC, bytes, hosted_gfp_zero | hosted_gfp_may_sleep, CALLER);
}
void *vmalloc(ul bytes) {
  return allocate(HOSTED_OF_VMALLOC, bytes, hosted_gfp_may_sleep, CALLER);
}
void kfree(void *object) { give_back(object, OF(KMALLOC), KFREE_OF_CACHES, "kfree"); }
void hosted_kvfree(void *object) {
  give_back(object, OF(KMALLOC) | OF(KVMALLOC) | OF(VMALLOC), KFREE_OF_CACHES, "kvfree");
}
void kvfree(void *object) { hosted_kvfree(object); }
void vfree(void *object) { give_back(object, OF(VMALLOC), 0, "vfree"); }

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

void *__alloc_percpu(ul bytes, ul align) { return hosted_percpu(bytes, align, CALLER); }
void *__alloc_percpu_gfp(ul bytes, ul align, unsigned gfp) {
  return hosted_percpu(bytes, align, CALLER);
}
void *pcpu_alloc_noprof(ul bytes, ul align, _Bool reserved, unsigned gfp) {
  return hosted_percpu(bytes, align, CALLER);
}
void free_percpu(void *memory) { hosted_percpu_free(memory); }

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
  return allocate(HOSTED_OF_KVMALLOC, bytes, gfp, CALLER);
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
